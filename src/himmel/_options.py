"""Options as people type them: NAME=VALUE."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from himmel.errors import UsageError


def read_options(
    entries: Sequence[str], given: Mapping[str, Any], *, name: str = "--option", example: str = "merge=average"
) -> dict[str, Any]:
    """Options by name: those that are given already, and what `--option NAME=VALUE` adds to them.

    Args:
        entries: each NAME=VALUE.
        given: those that are given already.
        name, example: of the command line's option, for messages.

    Raises:
        UsageError: an entry is not NAME=VALUE, or an option is given twice.
    """
    options = dict(given)
    for entry in entries:
        key, equals, value = entry.partition("=")
        if not key or not equals:
            raise UsageError(f"{name} {entry!r} is not of the form NAME=VALUE; write for example {example}.")
        if key in options:
            raise UsageError(f"The option {key!r} is given twice; give it once.")
        options[key] = _read_value(value)
    return options


def _read_value(text: str) -> Any:
    """A number, true, false or null as such, anything else as text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, list | dict) else value
