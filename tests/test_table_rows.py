"""The rows that `benchmarks.tables` trains are recipes that exist, and files of theirs don't collide."""

import pytest
from benchmarks.table_rows import TABLES, Row

from himmel.training.resolve import resolve_recipe

_ROWS = [row for rows in TABLES.values() for row in rows]


@pytest.mark.parametrize("row", _ROWS, ids=lambda row: row.key)
def test_each_row_is_a_recipe(row: Row) -> None:
    recipe = resolve_recipe(row.recipe, base="nano", overrides=dict(row.overrides)).recipe
    # A row without motion has no adapter to align, and is asked without.
    assert (1 in recipe.stages or row.aligned) == (row.condition == "motion") or row.name == "no stage 1"


def test_rows_that_share_files_are_the_same_row() -> None:
    by_key: dict[str, list[tuple[object, ...]]] = {}
    for row in _ROWS:
        by_key.setdefault(row.key, []).append((row.recipe, dict(row.overrides), row.condition, row.aligned))
    assert all(one == alike[0] for alike in by_key.values() for one in alike)


def test_an_aligned_row_is_not_taken_for_one_without_stage_1() -> None:
    keys = [row.key for row in _ROWS if dict(row.overrides) == {"stages": "[2]"}]
    assert len(set(keys)) == len(keys) == 2
