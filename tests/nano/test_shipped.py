"""The shipped checkpoint answers questions about clips that nothing else is measured on."""

import json
from collections.abc import Collection
from pathlib import Path

import pytest

from himmel.evaluation.motion import run_motion_benchmark
from himmel.methods.models import default_checkpoint
from himmel.nano.clips import FIRST_EVAL_SEED

PICTURES = ("colour", "number")
"""Kinds that the card says it reads off the pictures, and off the motion; the others need names, or counting."""
MOTION = ("action", "action order", "camera", "direction", "order", "place")


@pytest.mark.assets
@pytest.mark.slow
def test_the_shipped_checkpoint_reads_its_pictures_and_its_motion(tmp_path: Path) -> None:
    """Chance is one in four; the card tells what more clips gave."""
    file = tmp_path / "found.json"
    run_motion_benchmark(
        default_checkpoint(),
        num_clips=14,
        seed=FIRST_EVAL_SEED + 5_000_000,
        questions_per_clip=7,
        conditions=("motion", "shuffled"),
        output=file,
    )
    answers = json.loads(file.read_text(encoding="utf-8"))["answers"]

    def right(condition: str, kinds: Collection[str]) -> list[bool]:
        asked = [one for one in answers if one["condition"] == condition and one["kind"] in kinds]
        return [one["chosen"] == one["answer"] for one in asked]

    seen, moving, shuffled = right("motion", PICTURES), right("motion", MOTION), right("shuffled", MOTION)
    assert min(len(seen), len(moving)) >= 10
    assert sum(seen) > 0.6 * len(seen)
    assert sum(moving) > 0.5 * len(moving)
    assert sum(shuffled) < 0.5 * len(shuffled)
