"""A method's options as people type them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from himmel.errors import UsageError


def read_options(entries: Sequence[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Options by name: those that are given already, and what `--option NAME=VALUE` adds to them.

    Raises:
        UsageError: an entry is not NAME=VALUE, or an option is given twice.
    """
    options = dict(given)
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not name or not equals:
            raise UsageError(f"--option {entry!r} is not of the form NAME=VALUE; write for example merge=average.")
        if name in options:
            raise UsageError(f"The option {name!r} is given twice; give it once.")
        options[name] = _read_value(value)
    return options


def _read_value(text: str) -> Any:
    """A number, true, false or null as such, anything else as text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, list | dict) else value
