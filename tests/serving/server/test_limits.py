"""Limits are numbers, and the page lists all of them."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from himmel.errors import UsageError
from himmel.serving.server.limits import Limits

PAGE = Path(__file__).parents[3] / "docs" / "serving.md"


@pytest.mark.parametrize("given", [{"requests": 0}, {"requests": 1.5}, {"queue": "many"}, {"read_seconds": -1}])
def test_limits_are_positive_numbers(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(given))):
        Limits(**given)


def test_the_page_lists_each_limit_with_its_default() -> None:
    listed = re.findall(r"^\| `(\w+)` \| ([\d.]+) \| .+ \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert listed == [(item.name, str(item.default)) for item in fields(Limits)]
