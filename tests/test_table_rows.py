"""The rows that `benchmarks.tables` trains are recipes that exist, and files of theirs don't collide."""

import statistics

import pytest
from benchmarks.table_rows import TABLES, Row
from benchmarks.tables import _by_duration

from himmel.evaluation.summary import Judged
from himmel.nano.draw import draw_spec
from himmel.training.resolve import resolve_recipe

_ROWS = [row for rows in TABLES.values() for row in rows]


@pytest.mark.parametrize("row", _ROWS, ids=lambda row: row.key)
def test_each_row_is_a_recipe(row: Row) -> None:
    recipe = resolve_recipe(row.recipe, base="nano", overrides=dict(row.overrides)).recipe
    # A row without motion has no adapter to align, and is asked without.
    assert (1 in recipe.stages) == (row.condition == "motion") or row.name == "no stage 1"


def test_rows_that_share_files_are_the_same_row() -> None:
    by_key: dict[str, list[tuple[object, ...]]] = {}
    for row in _ROWS:
        by_key.setdefault(row.key, []).append((row.recipe, dict(row.overrides), row.condition))
    assert all(one == alike[0] for alike in by_key.values() for one in alike)


def test_answers_are_divided_at_the_median_duration_of_their_clips() -> None:
    seconds = {clip: draw_spec(clip, "eval").seconds for clip in range(10_000_000, 10_000_009)}
    middle = statistics.median(seconds.values())
    judged = [
        Judged(clip, question, "camera", True, "motion", chosen=int(seconds[clip] > middle), answer=1)
        for clip in seconds
        for question in range(2)
    ]
    shorter, longer = _by_duration(judged)
    assert (shorter["most_seconds"], shorter["correct"], shorter["total"]) == (middle, 0, 10)
    assert (longer["most_seconds"], longer["correct"], longer["total"]) == (max(seconds.values()), 8, 8)


def test_one_clip_has_no_longer_half() -> None:
    assert len(_by_duration([Judged(10_000_000, 0, "camera", True, "motion", chosen=0, answer=0)])) == 1
