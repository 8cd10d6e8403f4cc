"""A tiny host, and a store filled with samples that needed no rendering."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from himmel.choices import SOUND_SHAPE
from himmel.hosts import load_host
from himmel.model import HimmelProcessor, PreparedSample
from himmel.nano.clips import CLASS_COLUMNS, VALUE_COLUMNS
from himmel.nano.questions import Question
from himmel.nano.stills import Still
from himmel.training.store import ClipStore
from himmel.video import Decomposition
from tiny_hosts import Setup, build, make_decomposition, nano_config, nano_folder, seeing_nano, tiny_host

__all__ = ["nano_folder", "seeing_nano", "tiny_host"]


@pytest.fixture(scope="session")
def setup(nano_folder: str) -> Setup:
    torch.set_num_threads(1)
    return build(nano_config(nano_folder, num_anchors=2, steps_per_interval=3))


def write_clip(path: Path, sample: PreparedSample, seed: int) -> None:
    """A stored clip whose truth and questions tell the seed; every other one ends where it began."""
    questions = [
        Question(kind="direction", text=f"Which way, {seed}?", choices=("left", "right", "up", "down"), answer=1),
        Question(kind="colour", text=f"Which colour, {seed}?", choices=("red", "blue", "black", "white"), answer=0),
    ]
    truth = torch.full((sample.num_intervals, len(VALUE_COLUMNS)), float(seed))
    classes = torch.zeros(sample.num_intervals, len(CLASS_COLUMNS), dtype=torch.long)
    facts = {
        "questions": [asdict(question) for question in questions],
        "sentences": [("What is this?", f"I see seed {seed}.")],
        "returns": seed % 2 == 0,
    }
    tensors = {**sample.tensors(), "truth.values": truth, "truth.classes": classes}
    save_file(tensors, path, metadata={"facts": json.dumps(facts)})


@pytest.fixture
def filled_store(setup: Setup, tmp_path: Path) -> Callable[[int], ClipStore]:
    """Fill a store with `count` copies of one sample, see `write_clip`."""

    def fill(count: int) -> ClipStore:
        store = ClipStore(setup.config, split="train", root=tmp_path)
        store.folder.mkdir(parents=True)
        for seed in range(count):
            write_clip(store.path(seed), setup.samples[0], seed)
        return store

    return fill


def _with_extras(clip: Decomposition) -> Decomposition:
    shape = (3, *clip.grid)
    intervals = (
        replace(
            one,
            rgb_difference=np.full((len(one.frames), *shape), one.anchor + 1, np.float32),
            sound=np.full(SOUND_SHAPE, one.anchor + 1, np.float32),
        )
        for one in clip.intervals
    )
    return replace(clip, intervals=tuple(intervals))


@pytest.fixture
def unrendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips and stills of noise in place of rendered ones, which take seconds; as many anchors as a store asks for."""

    def prepare(store: ClipStore, seeds: Iterable[int], *, workers: int) -> None:
        store.folder.mkdir(parents=True, exist_ok=True)
        config = store.config
        processor = HimmelProcessor(config, load_host(config.host, max_anchor_tokens=config.max_anchor_tokens))
        for seed in seeds:
            clip = _with_extras(make_decomposition((config.steps_per_interval,) * config.num_anchors, seed=seed))
            sample = processor.prepare(clip, far_image=clip.anchors[0].image)
            if processor.host.tower_map is not None:
                # Such a tower is frozen, and of real size even here.
                shape = (config.num_anchors + 1, *processor.host.tower_map)
                # Drawn apart from what training draws, which clips that are there already must not change.
                features = torch.rand(shape, generator=torch.Generator().manual_seed(seed)).half()
                sample = replace(
                    sample, images={"tower_features": features[1:]}, far_images={"tower_features": features[:1]}
                )
            write_clip(store.path(seed), sample, seed)

    def draw(seed: int) -> Still:
        picture = np.random.default_rng(seed).integers(0, 256, (160, 160, 3), np.uint8)
        words = (None, "dog", "red", "square", *["."] * 12)
        return Still(picture=picture, words=words, reserved=np.arange(16) == 1)

    monkeypatch.setattr(ClipStore, "prepare", prepare)
    monkeypatch.setattr("himmel.training.stills.draw_still", draw)
    monkeypatch.setenv("HIMMEL_CACHE", str(tmp_path / "cache"))
