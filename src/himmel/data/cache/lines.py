"""JSON objects, a line each, that carry a sum over themselves, so that a changed letter is found."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from himmel._trouble import explain
from himmel.errors import HimmelError

Line = TypeVar("Line")
_SUM = 16


class DamagedLine(ValueError):
    """A line is not what was written."""


def to_line(content: dict[str, Any]) -> str:
    """JSON in ASCII, since names of files may be no Unicode, with a sum at its end."""
    return json.dumps(content | {"sum": _sum(content)}) + "\n"


def from_line(line: str) -> dict[str, Any]:
    """What `to_line` was given.

    Raises:
        DamagedLine: it is not what `to_line` wrote, letter by letter.
    """
    try:
        content = json.loads(line)
        found = content.pop("sum")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedLine("it cannot be parsed") from error
    if found != _sum(content) or to_line(content) != line:
        raise DamagedLine("its sum does not fit")
    return dict(content)


def read_lines(path: Path, parse: Callable[[dict[str, Any]], Line]) -> Iterator[Line]:
    """The lines of a file, without the part of one with which a killed run may have ended; none if there is no file.

    Raises:
        HimmelError: it can't be read, or one of its lines is damaged.
    """
    try:
        with path.open(encoding="ascii", errors="replace", newline="\n") as file:
            for number, line in enumerate(file, 1):
                if line.endswith("\n"):
                    yield _parse(line, parse, path, number)
    except FileNotFoundError:
        return
    except OSError as error:
        raise HimmelError(explain(error, place=path) or f"{str(path)!r} cannot be read ({error.strerror}).") from error


def write_through(path: Path) -> None:
    """See that a file, or the names in a folder, are on the disk before anything that relies on them is."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:_SUM]


def _parse(line: str, parse: Callable[[dict[str, Any]], Line], path: Path, number: int) -> Line:
    try:
        return parse(from_line(line))
    except (DamagedLine, KeyError, TypeError, ValueError) as error:
        raise HimmelError(
            f"Line {number} of {str(path)!r} is damaged ({error}); bring the file back from a copy, or remove "
            "that line and prepare its videos again."
        ) from error
