"""What a question may be about, and files by the state they were found in."""

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self

from PIL.Image import Image

from himmel.methods.protocol import Read, Reading
from himmel.video import Video
from himmel.video.file.source import VideoSource


class Readable(ABC):
    """A video or pictures that know how they are read, for callers that read elsewhere than in this process.

    Two of them are equal, and have the same hash, if and only if their content is the same: what a session keeps of one
    then serves the other.
    """

    @property
    def lasts(self) -> bool:
        """Whether the same may be asked about again; of what does not last, nothing is kept."""
        return True

    @abstractmethod
    def read(self, reading: Reading, *, threads: int | None = None) -> Read:
        """What `reading` reads of it.

        Raises:
            UsageError, VideoError: as `Reading.read`.
        """


MediaSource = VideoSource | Video | Image | Readable
"""A video file, its bytes, a file object or an open video; a single picture; or what reads itself."""


@dataclass(frozen=True)
class FileState:
    """A file as it was found: another size, time of change or place on the disk is another file."""

    path: str
    size: int
    modified: int
    device: int
    inode: int

    @classmethod
    def of(cls, path: Any) -> Self | None:
        """The state of a file now; None if it is not a file on a disk."""
        if not isinstance(path, str | os.PathLike):
            return None
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return None
        return cls(os.fspath(path), found.st_size, found.st_mtime_ns, found.st_dev, found.st_ino)

    def is_unchanged(self) -> bool:
        """Whether the file is still as it was found."""
        return FileState.of(self.path) == self
