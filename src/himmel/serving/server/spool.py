"""Uploads and downloads on the disk, each once, by the hash of its content."""

import errno
import hashlib
import os
import secrets
import shutil
import tempfile
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from himmel.serving.server.limits import Limits
from himmel.serving.server.refusal import Refusal

_PIECE: Final = 2**20
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_KNOWN: Final = 4096


@dataclass(frozen=True)
class Stored:
    """A file whose content is known.

    Attributes:
        path: where it lies.
        sha256: of its bytes, hexadecimal.
        size: in bytes.
    """

    path: Path
    sha256: str
    size: int


class Spool:
    """A folder of files by hash, at most so many bytes of them; for any number of threads.

    A file that is held is not removed. Where the disk is full, what nobody holds goes, and the request is refused.

    Args:
        limits: see `Limits`.
        folder: where to put it; None for the system's place for temporary files.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, limits: Limits, folder: Path | None = None) -> None:
        self._limits = limits
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix="himmel-serve-", dir=folder))
        self._files: OrderedDict[str, Stored] = OrderedDict()
        self._held: Counter[str] = Counter()
        self._hashes: OrderedDict[tuple[str, int, int, int], str] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def num_bytes(self) -> int:
        """Bytes kept now."""
        with self._lock:
            return sum(one.size for one in self._files.values())

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def writing(self, most: int) -> Iterator["Writer"]:
        """Write a new file of at most `most` bytes; `Writer.kept` then takes it in.

        Raises:
            Refusal: it is larger, or the disk is full.
        """
        path = self._folder / f".{secrets.token_hex(8)}"
        try:
            file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except OSError as error:
            raise self._no_room(error) from error
        writer = Writer(self, file, path, most)
        try:
            yield writer
        finally:
            os.close(file)
            path.unlink(missing_ok=True)

    @contextmanager
    def holding(self, sha256: str) -> Iterator[Stored]:
        """Keep a file where it is within the block.

        Raises:
            Refusal: there is no such file, or no longer.
        """
        with self._lock:
            found = self._files.get(sha256)
            if found is not None:
                self._files.move_to_end(sha256)
                self._held[sha256] += 1
        if found is None:
            raise Refusal(
                404, "There is no such file here, or it was removed to make room; upload it again.", code="no_such_file"
            )
        with self._released(sha256):
            yield found

    @contextmanager
    def adding(self, path: Path, sha256: str, size: int) -> Iterator[Stored]:
        """Take in a file that was written whole, and keep it where it is within the block.

        Raises:
            Refusal: there is no room for it beside the files that are held.
        """
        with self._lock:
            stored = Stored(self._folder / sha256, sha256, size)
            if sha256 not in self._files:
                self._drop(self._limits.spool_bytes - size)
                if sum(one.size for one in self._files.values()) + size > self._limits.spool_bytes:
                    raise _full()
                os.replace(path, stored.path)
                self._files[sha256] = stored
            self._files.move_to_end(sha256)
            self._held[sha256] += 1
        with self._released(sha256):
            yield stored

    def hash_of(self, path: Path) -> Stored:
        """A file that lies elsewhere, with its hash; one that did not change since is not read again.

        Raises:
            OSError: it can't be read.
        """
        state = path.stat()
        key = str(path), state.st_size, state.st_mtime_ns, state.st_ino
        with self._lock:
            known = self._hashes.get(key)
        if known is None:
            digest = hashlib.sha256()
            with path.open("rb", buffering=0) as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
            known = digest.hexdigest()
            with self._lock:
                self._hashes[key] = known
                while len(self._hashes) > _KNOWN:
                    self._hashes.popitem(last=False)
        return Stored(path, known, state.st_size)

    @contextmanager
    def _released(self, sha256: str) -> Iterator[None]:
        """Let go of a held file after the block."""
        try:
            yield
        finally:
            with self._lock:
                self._held[sha256] -= 1
                if not self._held[sha256]:
                    del self._held[sha256]

    def _drop(self, most: int) -> None:
        """Remove what was used longest ago and nobody holds, until at most so many bytes are left."""
        total = sum(one.size for one in self._files.values())
        for one in list(self._files.values()):
            if total <= most:
                return
            if not self._held[one.sha256]:
                one.path.unlink(missing_ok=True)
                del self._files[one.sha256]
                total -= one.size

    def _no_room(self, error: OSError) -> Refusal:
        """The refusal after an error of the disk; a full one is emptied of what nobody holds."""
        if error.errno in _FULL:
            with self._lock:
                self._drop(0)
        return _full()


class Writer:
    """A file that is being written, see `Spool.writing`."""

    def __init__(self, spool: Spool, file: int, path: Path, most: int) -> None:
        self._spool, self._file, self._path, self._most = spool, file, path, most
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            Refusal: they are too many, or the disk is full.
        """
        self.size += len(data)
        if self.size > self._most:
            raise Refusal(413, f"The file is larger than {self._most:,} bytes.", code="source_too_large")
        self._digest.update(data)
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as error:
            raise self._spool._no_room(error) from error

    @contextmanager
    def kept(self) -> Iterator[Stored]:
        """Take the file into the spool, and keep it where it is within the block.

        Raises:
            Refusal: it is empty, or there is no room.
        """
        if not self.size:
            raise Refusal(400, "The file is empty; send its bytes.", code="empty_file")
        with self._spool.adding(self._path, self._digest.hexdigest(), self.size) as stored:
            yield stored


def _full() -> Refusal:
    return Refusal(
        503, "The server has no room on its disk for this file now; try again.", code="no_room", retry_after=10
    )
