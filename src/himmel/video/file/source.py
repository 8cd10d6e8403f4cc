"""Where a video comes from: a path, or bytes and file objects, which are copied to a temporary file.

Several workers open a video at once, each at a place of its own; one file object can't serve them.
"""

import errno
import os
import re
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol, cast

from himmel.errors import UsageError, VideoError

_COPIED = 2**20
_SHOWN = 120
# More than one letter before the colon: with one it is a drive. `Path` leaves one of two slashes.
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/{1,2}(.*)", re.IGNORECASE | re.DOTALL)


class Readable(Protocol):
    """A binary file object."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


VideoSource = str | os.PathLike[str] | bytes | bytearray | memoryview | Readable


def show(path: str | os.PathLike[str]) -> str:
    """A path as messages quote it, shortened if it is very long."""
    text = os.fspath(path)
    return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]}...{text[-_SHOWN // 2 :]}")


def check_file(path: Path) -> None:
    """Raise VideoError for what cannot be a video, before FFmpeg is asked."""
    shown = show(path)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        address = _ADDRESS.fullmatch(str(path))
        if address is None:
            raise VideoError(f"There is no file {shown}; check the path.") from None
        scheme, rest = address.groups()
        what = "give the path alone" if scheme.lower() == "file" else "download the video and name the file"
        raise VideoError(f"{show(f'{scheme}://{rest}')} is an address, but himmel only reads files; {what}.") from None
    except ValueError as error:
        raise VideoError(f"{shown} cannot be the name of a file ({error}); check the path.") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise VideoError(
                f"{shown} is too long for a path ({len(str(path))} characters); check the path."
            ) from error
        reason = (error.strerror or "unknown error").lower()
        raise VideoError(f"{shown} cannot be opened ({reason}); check the path.") from error
    if path.is_dir():
        raise VideoError(f"{shown} is a folder; name a video file inside it.")
    if not path.is_file():
        raise VideoError(f"{shown} is not a regular file; copy the video to a file first.")
    if not os.access(path, os.R_OK):
        raise VideoError(f"{shown} cannot be read by this user; change its permissions.")
    if status.st_size == 0:
        raise VideoError(f"{shown} is empty (0 bytes); copy or download it again.")


class Spooled:
    """A temporary file with a video's bytes; it is removed with this object, or when the program ends.

    Args:
        source: file objects are read from their beginning if they can be sought, else from where they are, to the end.

    Attributes:
        name: what messages call it.

    Raises:
        UsageError: it is nothing that can be read, or gives text.
        VideoError: there is no room for a copy, or reading fails.
    """

    def __init__(self, source: bytes | bytearray | memoryview | Readable) -> None:
        self.name = f"<{type(source).__name__}>"
        folder = tempfile.mkdtemp(prefix="himmel-video-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.path = Path(folder) / "video"
        try:
            with self.path.open("wb") as file:
                self._copy(source, file)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise VideoError(
                f"The bytes of {self.name} cannot be copied to {folder!r} ({reason}); free some space there, or set"
                " TMPDIR."
            ) from error

    def _copy(self, source: bytes | bytearray | memoryview | Readable, file: IO[bytes]) -> None:
        if isinstance(source, bytes | bytearray | memoryview):
            file.write(source)
            return
        try:
            with suppress(AttributeError, OSError):
                cast(IO[bytes], source).seek(0)
            while piece := source.read(_COPIED):
                file.write(piece)
        except AttributeError as error:
            raise UsageError(
                f"{self.name} is not a video; give a path, the bytes of a file, or a file opened for reading."
            ) from error
        except TypeError as error:
            raise UsageError(f"{self.name} gives text, not bytes; open the video with mode 'rb'.") from error
        except ValueError as error:
            raise UsageError(f"{self.name} cannot be read ({error}); open the video again.") from error
