"""A file that another program is still writing, as a file object that waits for more."""

import os
import threading
import time
from pathlib import Path
from typing import Final

# How often the file is looked at, in seconds.
_EVERY: Final = 0.1


class GrowingFile:
    """A file read to its end, and on as it grows; it cannot be sought, as what is yet to come cannot.

    PyAV calls it from FFmpeg's thread and drops what it raises, so that it raises nothing.

    Args:
        patience: seconds without anything new after which the file counts as finished.
        stop: once it is set, the file ends.

    Attributes:
        name: the path, by whose suffix FFmpeg guesses a format where the bytes leave that open.
        ended: why it ended: "quiet", "replaced" (another file has its name now) or "shortened"; "" before that.
    """

    def __init__(self, path: Path, *, patience: float, stop: threading.Event) -> None:
        self.name = str(path)
        self.ended = ""
        self._path = path
        self._patience = patience
        self._stop = stop
        self._file = path.open("rb", buffering=0)
        self._heard = time.monotonic()

    def read(self, size: int) -> bytes:
        """At least a byte and at most `size`; none at the end."""
        while not self._stop.is_set():
            try:
                found = self._file.read(size)
                if found:
                    self._heard = time.monotonic()
                    return found
                self.ended = self._why_ended()
            except (OSError, ValueError):
                self.ended = "replaced"
            if self.ended:
                return b""
            self._stop.wait(_EVERY)
        return b""

    def _why_ended(self) -> str:
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            return "shortened"
        try:
            replaced = not os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except OSError:
            replaced = False
        if replaced:
            return "replaced"
        return "quiet" if time.monotonic() - self._heard > self._patience else ""

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
