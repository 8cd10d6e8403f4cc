"""A tiny model and a folder of clips; all is skipped where the extra `serve` is not installed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.methods.session import Session
from tiny_hosts import build, host_config, tiny_host

__all__ = ["tiny_host"]

for package in ("fastapi", "prometheus_client", "python_multipart", "uvicorn"):
    pytest.importorskip(package, reason=f"{package} of the extra 'serve' is not installed")


@pytest.fixture(scope="module")
def session(tiny_host: Callable[[str], str]) -> Session:
    """A tiny Qwen with an adapter."""
    return Session(build(host_config("qwen2_5_vl", tiny_host("qwen2_5_vl"), num_anchors=3, steps_per_interval=2)).model)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    """A folder with two clips."""
    folder = tmp_path_factory.mktemp("media")
    write_clip(folder / "clip.mp4", num_frames=24, options={"g": "8"})
    write_clip(folder / "other.mp4", "still", num_frames=12)
    return folder
