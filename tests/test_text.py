"""Sentences that depend on a number."""

import pytest

from himmel._text import by_number


@pytest.mark.parametrize(
    ("count", "sentence"),
    [(0, "0 steps are left out."), (1, "1 step is left out."), (2, "2 steps are left out.")],
)
def test_one_is_singular_and_all_else_plural(count: int, sentence: str) -> None:
    assert by_number(count, "{} step is left out.", "{} steps are left out.") == sentence
