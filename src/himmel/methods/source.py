"""What a question may be about, and files by the state they were found in."""

import os
from dataclasses import dataclass
from typing import Any, Self

from PIL.Image import Image

from himmel.video import Video
from himmel.video.file.source import VideoSource

MediaSource = VideoSource | Video | Image
"""A video file, its bytes, a file object or an open video; or a single picture."""


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
