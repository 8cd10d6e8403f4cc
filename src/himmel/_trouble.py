"""What went wrong outside this program (disk, permissions, memory, network), in one sentence."""

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_BROKEN = {errno.EIO, errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, errno.ENFILE}
# Native writers (safetensors, torch) raise errors of their own kinds, in which only the text says what happened.
_FULL_IN_WORDS = (f"os error {errno.ENOSPC}", os.strerror(errno.ENOSPC), "inline_container.cc")
_LARGE_IN_WORDS = f"os error {errno.EFBIG}"
_LONGEST = 100


def explain(error: BaseException, *, place: str | os.PathLike[str] | None = None) -> str | None:
    """One sentence about an error that this program can't help; None about any other.

    Args:
        error: as it was raised; what caused it counts where libraries wrap errors of a full disk or of the network.
        place: the file or folder that was being written, where the error doesn't name one.
    """
    for cause in _chain(error):
        code = cause.errno if isinstance(cause, OSError) else None
        if code == errno.EFBIG or _LARGE_IN_WORDS in str(cause):
            limit = "this disk or the limit on file sizes allows"
            return f"{_name(place)} would be larger than {limit}; write to another disk."
        if code in _FULL or any(words in str(cause) for words in _FULL_IN_WORDS):
            if place is not None:
                return f"No space is left on the disk to write {_name(place)}; free some, or use another disk."
            moving = "HIMMEL_CACHE sets where the cache is, TMPDIR where temporary files are"
            return f"No space is left on the disk; free some, or use another one ({moving})."
        if isinstance(cause, socket.gaierror | ConnectionError | TimeoutError) and not isinstance(
            cause, BrokenPipeError
        ):
            return f"The network cannot be reached ({_words(cause)}); connect and try again."
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "There is not enough memory for this; ask for fewer anchors or steps, or use a smaller host."
    if isinstance(error, OSError) and error.errno in _REFUSED:
        name = _name(place or error.filename)
        return f"Access to {name} is refused ({error.strerror}); change its permissions or choose another place."
    if isinstance(error, OSError) and error.errno in _BROKEN:
        return f"{_name(place or error.filename)} cannot be used ({error.strerror}); choose another place."
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from or while handling, and so on; `from None`, as in httpx, hides nothing."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _name(place: str | bytes | os.PathLike[str] | int | None) -> str:
    if place is None or isinstance(place, int):
        return "a file"
    text = os.fsdecode(place)
    shown = text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}...{Path(text).name[-_LONGEST // 2 :]}"
    return repr(shown)


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
