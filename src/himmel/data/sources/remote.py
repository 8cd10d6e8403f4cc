"""Files of other machines, by their addresses: whatever fsspec reaches, such as s3://, gs://, hf:// or https://."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import IO, Any, Final

from himmel.errors import HimmelError, VideoError
from himmel.video.file.source import show

# More than one letter before the colon: with one it is a drive.
_ADDRESS: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+(?:::[^/]+)*://")
_TIMES: Final = ("mtime", "LastModified", "Last-Modified", "last_modified", "updated", "created")


@dataclass(frozen=True)
class RemoteFile:
    """A file that was listed: its address, its name below the listed folder, and what is known of it."""

    address: str
    name: str
    bytes: int
    modified: int


def is_address(text: str) -> bool:
    """Whether it is an address, and no path of this machine."""
    return _ADDRESS.match(text) is not None


def local_path(text: str) -> str:
    """The path in a file:// address; anything else as it is."""
    from urllib.parse import unquote

    return unquote(text.removeprefix("file://")) if text.startswith("file://") else text


def list_addresses(address: str) -> Iterator[RemoteFile]:
    """The files below a folder, or that a pattern such as `s3://bucket/*/*.mp4` fits, sorted by name; or one file.

    Raises:
        HimmelError: they can't be listed.
    """
    system, path = _system(address)
    is_pattern = any(sign in path for sign in "*?[")
    try:
        listed = system.glob(path, detail=True) if is_pattern else _find(system, path)
    except Exception as error:
        raise HimmelError(f"{show(address)} cannot be listed ({_said(error)}); check the address.") from error
    fixed = path
    while any(sign in fixed for sign in "*?["):
        fixed = fixed.rpartition("/")[0]
    for name in sorted(listed):
        about = listed[name]
        if about.get("type") == "file":
            below = name.removeprefix(fixed).lstrip("/") or name.rpartition("/")[2]
            yield RemoteFile(system.unstrip_protocol(name), below, int(about.get("size") or 0), _modified(about))


def _find(system: Any, path: str) -> dict[str, dict[str, Any]]:
    # Over HTTP, nothing is told of a file that is named itself.
    return {name: about or system.info(name) for name, about in system.find(path, detail=True).items()}


@contextmanager
def open_address(address: str) -> Iterator[IO[bytes]]:
    """A file to read from, in which places can be sought where its server allows that.

    Raises:
        VideoError: it can't be read.
    """
    try:
        system, path = _system(address)
        with system.open(path, "rb") as file:
            yield file
    except HimmelError:
        raise
    except FileNotFoundError as error:
        raise VideoError(f"There is no file {show(address)}; check the address.") from error
    except Exception as error:
        # Each kind of server has errors of its own.
        raise VideoError(f"{show(address)} cannot be read ({_said(error)}); try again.") from error


def _system(address: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(address)
        return system, path
    except (ValueError, ImportError) as error:
        # An unknown kind of address, or one that wants another package; fsspec says which.
        raise HimmelError(f"{show(address)} cannot be reached ({_said(error)}).") from error


def _modified(about: dict[str, Any]) -> int:
    for name in _TIMES:
        time = about.get(name)
        if isinstance(time, datetime):
            return int(time.timestamp() * 1e9)
        if isinstance(time, int | float):
            return int(time * 1e9)
        if isinstance(time, str):
            with suppress(ValueError):
                return int(parsedate_to_datetime(time).timestamp() * 1e9)
    return 0


def _said(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
