"""Random tiny hosts of the real classes, made once a session, and decompositions without a file."""

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from himmel.adapter import AdapterConfig
from himmel.hosts import load_host
from himmel.model import HimmelConfig, HimmelForConditionalGeneration, HimmelProcessor, PreparedSample
from himmel.model.inputs import ModelInputs
from himmel.video import Anchor, Decomposition, Interval, StepMaps

# Tensors this small gain nothing from threads, which only wait for each other on a busy machine.
torch.set_num_threads(1)

_SCRIPT = Path(__file__).parents[1] / "scripts" / "make_tiny_hosts.py"
_spec = importlib.util.spec_from_file_location("make_tiny_hosts", _SCRIPT)
assert _spec is not None
assert _spec.loader is not None
make_tiny_hosts = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_tiny_hosts)


# A mixture of experts has tests of its own, and shares all code with its dense kin.
HOST_KINDS = tuple(kind for kind in make_tiny_hosts.MAKERS if kind != "qwen3_vl_moe")


@pytest.fixture(scope="session")
def tiny_host(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Folder of a tiny host of a kind, made when it is first asked for."""

    @cache
    def make(kind: str) -> str:
        folder = tmp_path_factory.mktemp("hosts") / kind
        make_tiny_hosts.MAKERS[kind](folder)
        return str(folder)

    return make


@pytest.fixture(scope="session")
def nano_folder(tiny_host: Callable[[str], str]) -> str:
    return tiny_host("nano")


@pytest.fixture(scope="session")
def seeing_nano(nano_folder: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny nano whose random tower makes something of a picture: the other's is 0 in half precision."""
    network = load_host(nano_folder).load_network()
    with torch.no_grad():
        for weight in network.model.tower.parameters():
            if weight.ndim == 4:
                weight.mul_(1.5 / (weight.std() * weight[0].numel() ** 0.5))
    folder = tmp_path_factory.mktemp("hosts") / "seeing"
    shutil.copytree(nano_folder, folder)
    network.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def qwen_folder(tiny_host: Callable[[str], str]) -> str:
    return tiny_host("qwen2_5_vl")


@pytest.fixture(scope="session", params=HOST_KINDS)
def host_kind(request: pytest.FixtureRequest) -> str:
    """Every kind of host in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def host_folder(host_kind: str, tiny_host: Callable[[str], str]) -> str:
    """Folder of a tiny host of each kind in turn."""
    return tiny_host(host_kind)


@pytest.fixture(scope="session")
def host_setup(host_kind: str, host_folder: str) -> "Setup":
    """A tiny model of each kind in turn; made once for all tests, so leave it as it was."""
    return build(host_config(host_kind, host_folder))


def tiny_adapter(host_hidden_size: int, **changes: object) -> AdapterConfig:
    fields: dict[str, object] = {
        "hidden_size": 32,
        "host_hidden_size": host_hidden_size,
        "tokens_per_interval": 4,
        "map_size": 12,
        "context_size": 16,
        "context_channels": 3,
        "branch": "conv",
        "conv_channels": (8, 8, 8),
        "conv_grid": 3,
        "context_width": 4,
        "ssm_layers": 1,
        "ssm_expand": 1,
        "ssm_state_size": 8,
        "ssm_head_dim": 16,
        "ssm_chunk_size": 4,
        "attention_heads": 4,
        "alignment_hidden_size": 40,
    }
    return AdapterConfig(**{**fields, **changes})


def nano_config(folder: str, **changes: object) -> HimmelConfig:
    adapter = tiny_adapter(32, context_size=7, context_channels=1472)
    fields = {"host": folder, "adapter_config": adapter, "context_source": "tower", "lora_rank": 4, "lora_alpha": 8}
    return HimmelConfig(**{**fields, **changes})


def qwen_config(folder: str, **changes: object) -> HimmelConfig:
    """For every kind of host but nano."""
    fields = {"host": folder, "adapter_config": tiny_adapter(48), "max_anchor_tokens": 12, "lora_rank": 4}
    return HimmelConfig(**{**fields, **changes})


def host_config(kind: str, folder: str, **changes: object) -> HimmelConfig:
    """A configuration that suits the tiny host of a kind; at 12 tokens an anchor, and 4 an interval."""
    return nano_config(folder, **changes) if kind == "nano" else qwen_config(folder, **changes)


def make_maps(steps: int, grid: tuple[int, int] = (6, 8), *, seed: int = 0) -> StepMaps:
    """Maps of noise in which every cell is half covered."""
    rng = np.random.default_rng(seed)
    half = np.full((steps, *grid), 0.5, np.float32)
    return StepMaps(
        past=rng.normal(0, 4, (steps, 2, *grid)).astype(np.float32),
        future=rng.normal(0, 4, (steps, 2, *grid)).astype(np.float32),
        past_valid=half,
        future_valid=half,
        past_distance=np.full(steps, 2, np.float32),
        future_distance=np.full(steps, 1, np.float32),
        residual=rng.uniform(0, 20, (steps, 3, *grid)).astype(np.float32),
        covered=half,
    )


def make_decomposition(
    steps: tuple[int, ...] = (3, 2), *, size: tuple[int, int] = (128, 96), seed: int = 0
) -> Decomposition:
    """A video of `size` (width, height) with one anchor of noise, and so many steps, per interval."""
    rng = np.random.default_rng(seed)
    width, height = size
    anchors, intervals = [], []
    for index, count in enumerate(steps):
        start = 10 * index
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        anchors.append(Anchor(frame=start, time=start / 25, keyframe=True, image=image))
        frames = np.arange(start + 1, start + 1 + count, dtype=np.int64)
        maps = make_maps(count, seed=seed * 100 + index)
        intervals.append(
            Interval(anchor=index, start=start + 1, stop=start + 10, frames=frames, times=frames / 25, maps=maps)
        )
    return Decomposition(
        path="none.mp4",
        sha256=None,
        codec="h264",
        width=width,
        height=height,
        duration=10 * len(steps) / 25,
        num_frames=10 * len(steps),
        average_rate=25.0,
        backend="libav",
        backend_reason="made up",
        residual_kind="approximate",
        distance_kind="estimated",
        accumulated=False,
        cell=16,
        grid=(6, 8),
        anchors=tuple(anchors),
        intervals=tuple(intervals),
        num_vectors=0,
        num_damaged=0,
        notes=(),
        seconds={},
    )


def host_arguments(inputs: ModelInputs) -> dict[str, torch.Tensor]:
    """Inputs without motion, as arguments of transformers' own classes."""
    assert inputs.motion is None
    text = {"input_ids": inputs.input_ids, "attention_mask": inputs.attention_mask, "position_ids": inputs.position_ids}
    return {**text, **inputs.images}


def with_motion(inputs: ModelInputs, **changes: object) -> ModelInputs:
    """The same inputs with some fields of their motion changed."""
    assert inputs.motion is not None
    return replace(inputs, motion=replace(inputs.motion, **changes))


@dataclass(frozen=True)
class Setup:
    """A tiny model with everything that belongs to it; two samples with different numbers of intervals and steps."""

    config: HimmelConfig
    model: HimmelForConditionalGeneration
    processor: HimmelProcessor
    samples: tuple[PreparedSample, PreparedSample]


def build(config: HimmelConfig) -> Setup:
    torch.manual_seed(0)
    model = HimmelForConditionalGeneration.from_config(config)
    # Fresh LoRA computes nothing; a trained one does.
    for name, parameter in model.network.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=0.05)
    processor = HimmelProcessor(config, model.host)
    decompositions = [make_decomposition((3, 2), seed=1), make_decomposition((1, 0, 4), size=(96, 128), seed=2)]
    far = make_decomposition((1,), size=(128, 96), seed=3).anchors[0].image
    first, second = (model.keep_features(processor.prepare(item, far_image=far)) for item in decompositions)
    return Setup(config, model, processor, (first, second))
