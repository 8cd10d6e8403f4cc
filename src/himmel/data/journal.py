"""The lines of an audit: a JSON object a file, appended as soon as it is known, so that nothing is asked twice."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from himmel._trouble import explain
from himmel.data.facts import VideoFacts
from himmel.data.workers import Cause
from himmel.errors import HimmelError, UsageError

_FACTS = tuple(field.name for field in fields(VideoFacts))
# Of each line of an audit.
BEGINNING = b'{"path": "'


@dataclass(frozen=True)
class Audited:
    """One line.

    Attributes:
        path: of the file, relative to the audited folder, with slashes.
        bytes, modified: its size and time of change (nanoseconds since 1970) by which a changed file is known.
        seconds: wall time that it took.
        video: what is known of it; None if it cannot be read.
        cause, error: why it cannot be read: the kind of trouble (see `workers.Failure`) and one sentence; else None.
    """

    path: str
    bytes: int
    modified: int
    seconds: float
    video: VideoFacts | None
    cause: Cause | None = None
    error: str | None = None

    def to_line(self) -> str:
        """JSON in ASCII, since names of files may be no Unicode; the video's fields are beside the others."""
        own = {name: value for name, value in asdict(self).items() if name != "video"}
        return json.dumps(own | (asdict(self.video) if self.video is not None else {})) + "\n"

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Audited":
        """The line that was written.

        Raises:
            KeyError: it lacks a field.
        """
        own = {name: found[name] for name in ("path", "bytes", "modified", "seconds", "cause", "error")}
        if own["error"] is not None:
            return cls(video=None, **own)
        facts = {name: found[name] for name in _FACTS} | {"notes": tuple(found["notes"])}
        return cls(video=VideoFacts(**facts), **own)


def read_audit(path: Path) -> Iterator[Audited]:
    """The lines of an audit, in the order in which files were read; a file that was read again has several.

    Raises:
        HimmelError: there is no such file, or it cannot be read.
        UsageError: it is no text, or one of its lines is none of an audit.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                # What a killed run left of its last line.
                if line.endswith("\n"):
                    yield _parse(line, path, number)
    except OSError as error:
        raise HimmelError(explain(error, place=path) or f"{str(path)!r} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{str(path)!r} is no text, and so not an audit; name a new file.") from error


def mend(path: Path, *, beginning: bytes = b"") -> None:
    """Cut off the part of a line with which a killed run may have ended, so that lines can be appended.

    Args:
        beginning: of each line, where the file may be another one of the user's; a part that begins otherwise is left.

    Raises:
        HimmelError: the file can't be changed.
        UsageError: what would be cut off does not begin like that.
    """
    try:
        with path.open("r+b") as file:
            file.seek(0, 2)
            end = start = file.tell()
            tail = b""
            # A line is some hundred bytes; it is looked for from the end in growing pieces.
            while start and b"\n" not in tail:
                start = max(0, start - 2**16)
                file.seek(start)
                tail = file.read(end - start)
            whole = tail.rfind(b"\n") + 1
            if not beginning.startswith(tail[whole : whole + len(beginning)]):
                raise UsageError(f"{str(path)!r} ends with something else than lines of himmel; name a new file.")
            file.truncate(start + whole)
    except OSError as error:
        raise HimmelError(
            explain(error, place=path) or f"{str(path)!r} cannot be written ({error.strerror}); name another file."
        ) from error


def _parse(line: str, path: Path, number: int) -> Audited:
    try:
        return Audited.from_json(json.loads(line))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"Line {number} of {str(path)!r} is not one of an audit; name a new file, or remove that line."
        ) from error
