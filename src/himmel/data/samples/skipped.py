"""What training passed over, a JSON object a line, in a file that many processes append to."""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

# Longer sentences are cut, so that a line goes out in one write, which other processes' writes don't part.
_MOST_SAID: Final = 600
_OF_FILES: Final = ("refused", "time", "memory", "crash", "unexpected", "picture", "subtitles")
_DEAR: Final = ("time", "memory", "crash")


@dataclass(frozen=True)
class Skipped:
    """One thing that was passed over.

    Attributes:
        what: name of a video, picture or subtitle file (see `Sample.sources`), id of a sample, or file and row of
            annotations.
        cause: of a video as in `himmel.data.workers.Failure` ("refused", "time", "memory", "crash", "unexpected"); or
            "picture", "subtitles", "row" (of annotations), "sample" (its text or picture is refused by a host), "long"
            (over the budget of tokens).
        why: a sentence or a clause.
    """

    what: str
    cause: str
    why: str


class SkippedList:
    """The list of a run; the file is made at the first entry.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: set[tuple[str, str]] | None = None
        self._own: set[str] = set()

    def add(self, entry: Skipped) -> None:
        """Write an entry, unless it was known when this process asked first or it has written it itself."""
        known = self._read_known()
        if entry.cause in _OF_FILES:
            self._own.add(entry.what)
        if (entry.what, entry.cause) in known:
            return
        known.add((entry.what, entry.cause))
        line = json.dumps(asdict(Skipped(entry.what, entry.cause, entry.why[:_MOST_SAID]))) + "\n"
        with self.path.open("ab+", buffering=0) as file:
            # A killed process, or a full disk, may have left half a line.
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            torn = end > 0 and file.read(1) != b"\n"
            file.write((b"\n" if torn else b"") + line.encode())

    def entries(self) -> list[Skipped]:
        """What is in the file, each thing once, in the order written; half a line is none."""
        found: dict[tuple[str, str], Skipped] = {}
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                with suppress(ValueError, TypeError):
                    entry = Skipped(**json.loads(line))
                    found.setdefault((entry.what, entry.cause), entry)
        return list(found.values())

    def is_unreadable(self, path: str) -> bool:
        """Whether a file is known to be bad, so that it isn't read again.

        What this process has found itself counts, and of the list what is dear to find out again: too much time, too
        much memory, a crash. Anything else may have been mended since, such as a file that was missing.
        """
        return path in self._own or any((path, cause) in self._read_known() for cause in _DEAR)

    def _read_known(self) -> set[tuple[str, str]]:
        if self._known is None:
            self._known = {(entry.what, entry.cause) for entry in self.entries()}
        return self._known
