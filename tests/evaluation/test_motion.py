from pathlib import Path

import pytest

from himmel.errors import UsageError
from himmel.evaluation.motion import run_motion_benchmark


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
