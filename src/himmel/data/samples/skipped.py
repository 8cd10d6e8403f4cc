"""What training passed over, a JSON object a line, in a file that many processes append to."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

# Longer sentences are cut, so that a line goes out in one write, which other processes' writes don't part.
_MOST_SAID: Final = 600
_OF_FILES: Final = ("refused", "time", "memory", "crash", "unexpected", "picture", "subtitles")


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

    def add(self, entry: Skipped) -> None:
        """Write an entry, unless it was known when this process asked first or it has written it itself."""
        known = self._read_known()
        if (entry.what, entry.cause) in known:
            return
        known.add((entry.what, entry.cause))
        line = json.dumps(asdict(Skipped(entry.what, entry.cause, entry.why[:_MOST_SAID]))) + "\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def entries(self) -> list[Skipped]:
        """What is in the file, each thing once, in the order written."""
        found: dict[tuple[str, str], Skipped] = {}
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                # A line that a killed process left half written is none.
                if line.endswith("}"):
                    entry = Skipped(**json.loads(line))
                    found.setdefault((entry.what, entry.cause), entry)
        return list(found.values())

    def is_unreadable(self, path: str) -> bool:
        """Whether a file is known to be bad, so that its time limit isn't waited for again."""
        return any((path, cause) in self._read_known() for cause in _OF_FILES)

    def _read_known(self) -> set[tuple[str, str]]:
        if self._known is None:
            self._known = {(entry.what, entry.cause) for entry in self.entries()}
        return self._known
