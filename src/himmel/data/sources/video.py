"""One video of a source, wherever it lies, and its bytes as a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SourceVideo:
    """A video that is to be read.

    Attributes:
        name: what it is called in its source, with slashes; no other video of the source has it.
        place: path of its file.
        bytes, modified: size of the file, and its time of change in nanoseconds since 1970, by which a changed one is
            known; 0 where they can't be had.
        error: why it cannot be read, if that is known already, as of a folder that can't be listed.
    """

    name: str
    place: str
    bytes: int
    modified: int
    error: str | None = None


@contextmanager
def as_file(video: SourceVideo) -> Iterator[Path]:
    """The path of a file with a video's bytes, for as long as the block takes."""
    yield Path(video.place)
