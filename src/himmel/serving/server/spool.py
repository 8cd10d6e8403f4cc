"""Uploads and downloads on the disk, each once, by the hash of its content."""

import errno
import hashlib
import os
import secrets
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from himmel.serving.server.limits import Limits
from himmel.serving.server.refusal import Refusal

_PIECE: Final = 2**20
# A small file counts for this much, which bounds how many there are.
_LEAST: Final = 2**16
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_KNOWN: Final = 4096
_PREFIX: Final = "himmel-spool-"
# Seconds before a folder that nobody has locked is taken for one that was left behind.
_YOUNG: Final = 60.0
if sys.platform != "win32":
    import fcntl
if sys.platform == "linux":
    # Folders on the way need not be readable.
    _FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
elif sys.platform != "win32":
    _FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


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
        _remove_abandoned(Path(tempfile.gettempdir()) if folder is None else folder)
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
        # Held until this process ends, however it does.
        self._lock_file = _lock(self._folder)
        self._files: OrderedDict[str, Stored] = OrderedDict()
        # Of the files, and of what is being written, as they count.
        self._total = self._writing = 0
        # To be removed once nobody holds them.
        self._discarded: set[str] = set()
        self._held: Counter[str] = Counter()
        self._hashes: OrderedDict[tuple[str, int, int, int, int], str] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def num_bytes(self) -> int:
        """Bytes kept now, what is being written among them; a small file counts for 64 KiB."""
        return self._total + self._writing

    @property
    def num_files(self) -> int:
        """Files kept now."""
        return len(self._files)

    def has(self, sha256: str) -> bool:
        """Whether a file is kept."""
        return sha256 in self._files and sha256 not in self._discarded

    def discard(self, sha256: str) -> None:
        """Remove a file, at once or when nobody holds it any more."""
        with self._lock:
            if self._held[sha256]:
                self._discarded.add(sha256)
            else:
                self._remove(sha256)

    def keep(self, sha256: str) -> None:
        """Keep a file that is held, also after that, though it was discarded meanwhile."""
        with self._lock:
            self._discarded.discard(sha256)

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

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
            with self._lock:
                self._writing -= writer.counted

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
            raise no_such_file()
        with self._released(sha256):
            yield found

    @contextmanager
    def adding(self, writer: "Writer", sha256: str) -> Iterator[Stored]:
        """Take in a file that was written whole, and keep it where it is within the block.

        Raises:
            Refusal: there is no room for it beside the files that are held.
        """
        with self._lock:
            stored = Stored(self._folder / sha256, sha256, writer.size)
            self._discarded.discard(sha256)
            self._writing -= writer.counted
            writer.counted = 0
            if sha256 not in self._files:
                self._make_room(_count(stored.size))
                os.replace(writer.path, stored.path)
                self._files[sha256] = stored
                self._total += _count(stored.size)
            self._files.move_to_end(sha256)
            self._held[sha256] += 1
        with self._released(sha256):
            yield stored

    def hash_of(self, path: Path, most: int) -> Stored:
        """A file that lies elsewhere, with its hash; one that did not change since is not read again.

        Args:
            path: without links; one that was put there meanwhile is not followed.
            most: bytes.

        Raises:
            OSError: it can't be read, or is no file.
            Refusal: it is larger.
        """
        with _open_file(path) as file:
            state = os.fstat(file.fileno())
            # A file can be given another time of change, but not another ctime.
            key = str(path), state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino
            with self._lock:
                known = self._hashes.get(key)
            if known is None:
                digest, size = hashlib.sha256(), 0
                while piece := file.read(_PIECE):
                    digest.update(piece)
                    size += len(piece)
                    if size > most:
                        raise too_large(most)
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
                    if sha256 in self._discarded:
                        self._remove(sha256)

    def _remove(self, sha256: str) -> None:
        self._discarded.discard(sha256)
        found = self._files.pop(sha256, None)
        if found is not None:
            found.path.unlink(missing_ok=True)
            self._total -= _count(found.size)

    def _drop(self, most: int) -> None:
        """Remove what was used longest ago and nobody holds, until at most so many bytes are left."""
        if self._total <= most:
            return
        for sha256 in list(self._files):
            if sha256 not in self._held:
                self._remove(sha256)
            if self._total <= most:
                return

    def _make_room(self, size: int) -> None:
        """See that there is room for so many bytes beside what is being written."""
        most = self._limits.spool_bytes - self._writing - size
        self._drop(most)
        if self._total > most:
            raise _full()

    def _reserve(self, size: int) -> None:
        """Count bytes that are about to be written."""
        with self._lock:
            self._make_room(size)
            self._writing += size

    def _no_room(self, error: OSError) -> Refusal:
        """The refusal after an error of the disk; a full one is emptied of what nobody holds."""
        if error.errno in _FULL:
            with self._lock:
                self._drop(0)
        return _full()


class Writer:
    """A file that is being written, see `Spool.writing`."""

    def __init__(self, spool: Spool, file: int, path: Path, most: int) -> None:
        self._spool, self._file, self._most = spool, file, most
        self.path = path
        self._digest = hashlib.sha256()
        self.size = self.counted = 0

    def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            Refusal: they are too many, or the disk is full.
        """
        self.size += len(data)
        if self.size > self._most:
            raise too_large(self._most)
        self._spool._reserve(len(data))
        self.counted += len(data)
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
        with self._spool.adding(self, self._digest.hexdigest()) as stored:
            yield stored


def _lock(folder: Path) -> int | None:
    """A descriptor that locks a folder; None where another process has it, or the system has no such locks."""
    if sys.platform == "win32":
        return None
    try:
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(number)
        return None
    return number


def _remove_abandoned(folder: Path) -> None:
    """Remove what servers left behind that were killed."""
    for left in folder.glob(f"{_PREFIX}*"):
        # A folder that was only just made is not locked yet.
        with suppress(OSError):
            if time.time() - left.lstat().st_mtime < _YOUNG:
                continue
        number = _lock(left)
        if number is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(number)


def _open_file(path: Path) -> BinaryIO:
    """A file by its whole path without links: one that takes a folder's place meanwhile is not followed.

    Raises:
        OSError: it can't be opened, or is no file.
    """
    if sys.platform == "win32":
        return path.open("rb", buffering=0)
    place = os.open(path.anchor, _FOLDER)
    try:
        for name in path.parts[1:-1]:
            inner = os.open(name, _FOLDER, dir_fd=place)
            os.close(place)
            place = inner
        # A pipe is not waited for.
        number = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
    finally:
        os.close(place)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "no file")
    return os.fdopen(number, "rb", buffering=0)


def _count(size: int) -> int:
    return max(size, _LEAST)


def no_such_file() -> Refusal:
    """For an upload that is not there, or not there for this key."""
    return Refusal(
        404, "There is no such file here, or it was removed to make room; upload it again.", code="no_such_file"
    )


def too_large(most: int) -> Refusal:
    """For a file that is over a limit."""
    return Refusal(413, f"The file is larger than {most:,} bytes.", code="source_too_large")


def _full() -> Refusal:
    return Refusal(
        503, "The server has no room on its disk for this file now; try again.", code="no_room", retry_after=10
    )
