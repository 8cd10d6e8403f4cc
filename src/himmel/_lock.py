"""One process at a time in a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from himmel.errors import HimmelError


@contextmanager
def alone_in(folder: Path, *, what: str) -> Iterator[None]:
    """Keep another process from writing to a folder; the system gives the lock back if this one is killed.

    Args:
        folder: is made if it is not there.
        what: it is called in messages, such as "run".

    Raises:
        HimmelError: another process is there, or the folder can't be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(blocking=False)
    except Timeout as error:
        raise HimmelError(
            f"Another process is writing to the {what} {str(folder)!r}; wait for it, or choose another folder."
        ) from error
    except OSError as error:
        raise HimmelError(
            f"Nothing can be written to {str(folder)!r} ({error.strerror}); choose another folder for the {what}."
        ) from error
    try:
        yield
    finally:
        lock.release()
