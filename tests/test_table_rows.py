"""The rows that `benchmarks.tables` trains are recipes that exist, and files of theirs don't collide."""

import pytest
from benchmarks.table_rows import TABLES, Row

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
