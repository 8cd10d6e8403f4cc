"""Videos in WebDataset's archives: plain tar files, whose members are found by reading their headers alone."""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from himmel.data.sources.folder import is_video
from himmel.data.sources.remote import is_address, open_address
from himmel.data.sources.video import SourceVideo
from himmel.errors import HimmelError
from himmel.video.file.source import show

# Headers of an archive that never ends are not read forever.
_MOST_MEMBERS: Final = 10_000_000


def list_archive(place: str, name: str, *, modified: int, every_file: bool) -> Iterator[SourceVideo]:
    """The videos in an archive, in its order; the second of the same name is called by its place too.

    Args:
        place: path or address of the archive.
        name: what it is called in the source; the videos' names begin with it.
        modified: its time of change.
        every_file: take members with any ending.

    Raises:
        HimmelError: it can't be read, or is no plain tar file, or is damaged.
    """
    names: set[str] = set()
    with _opened(place) as file:
        try:
            for member in _members(file, place):
                hidden = Path(member.name).name.startswith(".")
                if member.isfile() and not hidden and (every_file or is_video(member.name)):
                    again = f"@{member.offset_data}" if member.name in names else ""
                    names.add(member.name)
                    yield SourceVideo(
                        f"{name}/{member.name}{again}", place, member.size, modified, offset=member.offset_data
                    )
        except (tarfile.TarError, EOFError) as error:
            raise HimmelError(f"{show(place)} is no plain tar file, or is damaged ({error}); unpack it.") from error


def _members(file: IO[bytes], place: str) -> Iterator[tarfile.TarInfo]:
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for count, member in enumerate(archive):
            # What tarfile remembers of each member is of no use here, and grows.
            archive.members = []  # type: ignore[attr-defined]
            if count == _MOST_MEMBERS:
                raise HimmelError(f"{show(place)} has more than {_MOST_MEMBERS:,} members; split it.")
            yield member
        # A damaged header ends the iteration as the end does, which is a block of zeros.
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise tarfile.ReadError(f"header at byte {archive.offset:,}")


@contextmanager
def _opened(place: str) -> Iterator[IO[bytes]]:
    if is_address(place):
        with open_address(place) as file:
            yield file
        return
    try:
        with open(place, "rb") as file:
            yield file
    except OSError as error:
        raise HimmelError(f"{show(place)} cannot be read ({error.strerror}); check the path.") from error
