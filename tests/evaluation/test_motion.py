from collections.abc import Sequence
from pathlib import Path

import pytest

from himmel.errors import UsageError
from himmel.evaluation.motion import choose_questions, run_motion_benchmark
from himmel.nano.clips import Kind
from himmel.nano.questions import Question


def _asked(kinds: Sequence[Kind]) -> list[Question]:
    return [Question(kind=kind, text="?", choices=("a", "b", "c", "d"), answer=0) for kind in kinds]


@pytest.mark.parametrize(
    ("kinds", "most", "chosen"),
    [
        (("colour", "direction", "count", "number"), 2, [1, 0]),
        (("colour", "direction", "count", "number"), 3, [1, 0, 2]),
        (("colour", "number"), 2, [0, 1]),
        (("direction",), 5, [0]),
    ],
)
def test_motion_and_still_questions_take_turns(kinds: Sequence[Kind], most: int, chosen: list[int]) -> None:
    assert choose_questions(_asked(kinds), most=most) == chosen


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"seed": 5}, "may have been trained on"),
        ({"num_clips": 1}, "too few"),
        ({"conditions": ("sound",)}, "choose among motion"),
    ],
)
def test_impossible_runs_are_refused_before_anything_is_loaded(options: dict, match: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=match):
        run_motion_benchmark(tmp_path, **options)
