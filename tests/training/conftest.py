"""A tiny host, and a store filled with samples that needed no rendering."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from himmel.nano.clips import CLASS_COLUMNS, VALUE_COLUMNS
from himmel.nano.questions import Question
from himmel.training.store import ClipStore
from tiny_hosts import Setup, build, nano_config, nano_folder, tiny_host

__all__ = ["nano_folder", "tiny_host"]


@pytest.fixture(scope="session")
def setup(nano_folder: str) -> Setup:
    torch.set_num_threads(1)
    return build(nano_config(nano_folder, num_anchors=2, steps_per_interval=3))


@pytest.fixture
def filled_store(setup: Setup, tmp_path: Path) -> Callable[[int], ClipStore]:
    """Fill a store with `count` copies of one sample, whose truth and questions tell the seed."""

    def fill(count: int) -> ClipStore:
        store = ClipStore(setup.config, split="train", root=tmp_path)
        store.folder.mkdir(parents=True)
        sample = setup.samples[0]
        for seed in range(count):
            questions = [
                Question(
                    kind="direction", text=f"Which way, {seed}?", choices=("left", "right", "up", "down"), answer=1
                ),
                Question(
                    kind="colour", text=f"Which colour, {seed}?", choices=("red", "blue", "black", "white"), answer=0
                ),
            ]
            truth = torch.full((sample.num_intervals, len(VALUE_COLUMNS)), float(seed))
            classes = torch.zeros(sample.num_intervals, len(CLASS_COLUMNS), dtype=torch.long)
            facts = {"questions": [asdict(question) for question in questions], "returns": seed % 2 == 0}
            tensors = {**sample.tensors(), "truth.values": truth, "truth.classes": classes}
            save_file(tensors, store.path(seed), metadata={"facts": json.dumps(facts)})
        return store

    return fill
