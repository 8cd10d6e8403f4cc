"""One video of a source, wherever it lies, and its bytes as a file."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from himmel._trouble import explain
from himmel.data.sources.remote import is_address, open_address
from himmel.errors import HimmelError, VideoError
from himmel.video.file.source import show

_PIECE: Final = 2**20


@dataclass(frozen=True)
class SourceVideo:
    """A video that is to be read.

    Attributes:
        name: what it is called in its source, with slashes; no other video of the source has it.
        place: path of its file, or its address; of a video in an archive, those of the archive.
        bytes, modified: size of the file, and its time of change in nanoseconds since 1970, by which a changed one is
            known; 0 where they can't be had.
        error: why it cannot be read, if that is known already, as of a folder that can't be listed.
        offset: where its bytes begin in an archive.
    """

    name: str
    place: str
    bytes: int
    modified: int
    error: str | None = None
    offset: int | None = None


class NoRoomError(HimmelError):
    """There is no room for a copy of a video, which is not the video's fault."""


@contextmanager
def as_file(video: SourceVideo, scratch: Path) -> Iterator[Path]:
    """The path of a file with a video's bytes, for as long as the block takes.

    Args:
        scratch: folder for a copy, where the video is no file of this machine by itself.

    Raises:
        VideoError: the bytes can't be had, or not all of them; or what the block raises, by the video's name.
        NoRoomError: a copy can't be written.
    """
    if video.offset is None and not is_address(video.place):
        yield Path(video.place)
        return
    try:
        handle, name = tempfile.mkstemp(prefix=".source.", suffix=Path(video.name).suffix, dir=scratch)
    except OSError as error:
        raise _no_room(error, scratch) from error
    try:
        try:
            with os.fdopen(handle, "wb") as target, _opened(video) as source:
                if video.offset is not None:
                    source.seek(video.offset)
                _copy(source, target, video)
        except OSError as error:
            # The copy can't be closed either; of the source, `_opened` tells.
            raise _no_room(error, name) from error
        yield Path(name)
    except VideoError as error:
        raise VideoError(str(error).replace(show(name), show(video.name))) from error
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def _opened(video: SourceVideo) -> Iterator[IO[bytes]]:
    if is_address(video.place):
        with open_address(video.place) as source:
            yield source
        return
    try:
        with open(video.place, "rb") as source:
            yield source
    except OSError as error:
        raise VideoError(f"{show(video.place)} cannot be read ({error.strerror}); check the path.") from error


def _copy(source: IO[bytes], target: IO[bytes], video: SourceVideo) -> None:
    left = video.bytes
    while piece := source.read(_PIECE if video.offset is None else min(_PIECE, left)):
        left -= len(piece)
        try:
            target.write(piece)
        except OSError as error:
            raise _no_room(error, target.name) from error
    # Of an address it may be unknown how many there are (0), or the file may have grown since.
    if left > 0:
        advice = "download it again" if video.offset is not None else "try again (--retry)"
        raise VideoError(f"{show(video.place)} ends before {show(video.name)} does; {advice}.")
    try:
        target.flush()
    except OSError as error:
        raise _no_room(error, target.name) from error


def _no_room(error: OSError, place: str | os.PathLike[str]) -> NoRoomError:
    return NoRoomError(
        explain(error, place=place) or f"A copy cannot be written to {show(place)} ({error.strerror}); check the disk."
    )
