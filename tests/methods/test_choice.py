"""Methods by name."""

from typing import get_args

from himmel.choices import MethodName
from himmel.methods.choice import METHODS


def test_the_named_methods_are_those_that_the_command_line_offers() -> None:
    assert tuple(sorted(METHODS)) == tuple(sorted(get_args(MethodName)))
    assert all(method.name == name for name, method in METHODS.items())
