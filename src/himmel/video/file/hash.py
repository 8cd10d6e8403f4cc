"""The hash of a file's bytes, made while other things are read."""

import hashlib
import threading
import time
from concurrent.futures import Future
from pathlib import Path

from himmel._interrupts import interrupts_held


class FileHash:
    """SHA-256 of a file, hexadecimal; made once, when first asked for or, in a thread of its own, after `start`.

    Attributes:
        seconds: how long callers of `value` have waited for it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: Future[str] | None = None
        self._lock = threading.Lock()
        self.seconds = 0.0

    @property
    def known(self) -> str | None:
        """The hash if it was made; None else."""
        found = self._found
        return found.result() if found is not None and found.done() and found.exception() is None else None

    def start(self) -> None:
        """Begin, unless that has been done."""
        with self._lock:
            if self._found is not None:
                return
            self._found = Future()
            thread = threading.Thread(target=_hash, args=(self._path, self._found), name="himmel-hash", daemon=True)
            with interrupts_held():
                thread.start()

    def value(self) -> str:
        """The hash.

        Raises:
            OSError: the file can't be read.
        """
        begin = time.perf_counter()
        try:
            self.start()
            assert self._found is not None
            return self._found.result()
        finally:
            self.seconds += time.perf_counter() - begin


def _hash(path: Path, found: "Future[str]") -> None:
    try:
        with path.open("rb") as file:
            found.set_result(hashlib.file_digest(file, "sha256").hexdigest())
    except BaseException as error:
        found.set_exception(error)
