"""An extension of Griffe: a line of a docstring that is about several names becomes a line for each of them.

`start, end: seconds` documents two arguments, which Griffe takes for one with a strange name.
"""

import re
from typing import Any

from griffe import Extension, Object

_SECTION = re.compile(r"^(?:Args|Attributes):(?:\n(?: {4}.*)?)+", flags=re.M)
_SHARED = re.compile(r"^ {4}(?P<names>\w+(?:, \w+)+):(?P<text>.*(?:\n {5,}.*)*)", flags=re.M)


class SharedLines(Extension):
    """Rewrites docstrings when they are collected, so that every name is shown with its type, and checked."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Split the shared lines of one object's docstring."""
        del kwargs
        if obj.docstring:
            obj.docstring.value = split_shared_lines(obj.docstring.value)


def split_shared_lines(docstring: str) -> str:
    """A docstring (without indentation) with a line for each name in its sections "Args" and "Attributes"."""
    return _SECTION.sub(lambda section: _SHARED.sub(_split, section[0]), docstring)


def _split(line: re.Match[str]) -> str:
    return "\n".join(f"    {name}:{line['text']}" for name in line["names"].split(", "))
