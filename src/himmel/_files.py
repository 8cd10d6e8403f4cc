"""Writing files so that a half-written one is never taken for a whole one."""

import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_cache_path

from himmel._trouble import explain
from himmel.errors import HimmelError

# Raised whenever the conversion's outcome changes, so that an old cache is not taken for a new one.
NANO_HOST_VERSION = "4"
# Bytes of a temporary name. Neither `tempfile`, which makes what only this user may read, nor `os.umask`, which would
# tell what others may, is of use: threads share the latter, and to ask it is to change it.
_RANDOM = 4


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well, remove it otherwise.

    The temporary name keeps the suffix, since writers such as `numpy.savez` and matplotlib choose the format by it.

    Raises:
        HimmelError: the folder of `path` does not exist or cannot be written, or the disk is full.
    """
    target = Path(path)
    temporary = target.parent / f".{target.stem}.{secrets.token_hex(_RANDOM)}{target.suffix}"
    try:
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except OSError as error:
        raise HimmelError(
            explain(error, place=target)
            or f"Cannot write {str(target)!r} ({error.strerror}); name a file in a folder that exists."
        ) from error
    mode = stat.S_IMODE(os.fstat(handle).st_mode)
    os.close(handle)
    try:
        with told_by_name(target):
            yield temporary
        # Some writers make a file anew, for this user alone; results are ordinary files.
        temporary.chmod(mode)
        with told_by_name(target):
            os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; it becomes `path` when the block ends well, else it vanishes.

    Missing parents are made. A folder that already is at `path` is replaced; where two processes build the same
    folder at once, the later one wins and neither reader ever sees a part of it.

    Raises:
        HimmelError: the parent of `path` cannot be made or written, or the disk is full.
    """
    target = Path(path)
    temporary = target.parent / f".{target.name}.{secrets.token_hex(_RANDOM)}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
    except OSError as error:
        raise HimmelError(
            explain(error, place=target)
            or f"Cannot write {str(target)!r} ({error.strerror}); choose another folder (the cache's: HIMMEL_CACHE)."
        ) from error
    mode = stat.S_IMODE(temporary.stat().st_mode)
    try:
        with told_by_name(target):
            yield temporary
        for file in temporary.iterdir():
            if file.is_file():
                file.chmod(mode & 0o666)  # safetensors writes private files
        with told_by_name(target):
            _replace_folder(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def told_by_name(target: Path) -> Iterator[None]:
    """Turn a full disk and the like into a sentence that names what was being written, not its temporary name."""
    try:
        yield
    except HimmelError:
        raise
    except Exception as error:
        sentence = explain(error, place=target)
        if sentence is None:
            raise
        raise HimmelError(sentence) from error


def _replace_folder(new: Path, target: Path) -> None:
    # A folder can't be renamed onto one that holds files, so the old one steps aside first.
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    try:
        if target.exists():
            os.replace(target, aside / target.name)
        os.replace(new, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def cache_root() -> Path:
    """The folder for everything that himmel fetches or makes once: $HIMMEL_CACHE, or where this system keeps caches.

    That is ~/.cache/himmel on Linux (or himmel in $XDG_CACHE_HOME), ~/Library/Caches/himmel on macOS.
    """
    chosen = os.environ.get("HIMMEL_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("himmel", appauthor=False)


def nano_host_folder() -> Path:
    """Where `himmel nano get` puts the default host; nothing is made or fetched here.

    It is here and not beside the host, so that checking whether the host is there doesn't load torch.
    """
    return cache_root() / "nano-host" / NANO_HOST_VERSION
