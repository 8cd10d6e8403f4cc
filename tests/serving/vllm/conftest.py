"""A tiny merged checkpoint that vLLM's attention on processors can compute: its heads are 32 wide."""

from pathlib import Path

import pytest

from himmel.model import HimmelConfig
from tiny_hosts import Setup, build, make_tiny_hosts, nano_folder, qwen_config, tiny_adapter, tiny_host

__all__ = ["nano_folder", "tiny_host"]


@pytest.fixture(scope="session")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    """Its model, LoRA beside the host; a session's, so leave it as it was."""
    folder = tmp_path_factory.mktemp("vllm") / "host"
    make_tiny_hosts.make_qwen2_5_vl(folder, heads=2, head_size=32)
    return build(served_config(str(folder)))


@pytest.fixture(scope="session")
def merged(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the same with LoRA merged."""
    folder = tmp_path_factory.mktemp("vllm") / "merged"
    model = build(setup.config).model
    model.merge_lora()
    model.save_pretrained(folder)
    return folder


def served_config(host: str) -> HimmelConfig:
    return qwen_config(host, adapter_config=tiny_adapter(64), num_anchors=3, steps_per_interval=4)
