"""Tiny models of every kind of host, and a clip."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tiny_hosts import host_folder, host_kind, host_setup, nano_folder, qwen_folder, tiny_host

__all__ = ["host_folder", "host_kind", "host_setup", "nano_folder", "qwen_folder", "tiny_host"]


@pytest.fixture
def clip(encode_clip: Callable[..., Path]) -> Path:
    return encode_clip("clip.mp4", num_frames=24, options={"g": "8"})
