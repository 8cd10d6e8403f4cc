"""What became of each video of a source: a line each in the cache's journal."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from himmel.data.cache.lines import to_line
from himmel.data.workers import Cause


@dataclass(frozen=True)
class Found:
    """What a video was found to be; see `Decomposition` for the fields of these names.

    Attributes:
        pictures: how many are shown.
    """

    codec: str
    backend: str
    width: int
    height: int
    duration: float
    pictures: int
    num_vectors: int
    num_damaged: int
    notes: tuple[str, ...]

    @classmethod
    def of(cls, about: dict[str, Any]) -> Self:
        """From the attributes of a `Decomposition`."""
        same = ("codec", "backend", "width", "height", "duration", "num_vectors", "num_damaged")
        return cls(**{name: about[name] for name in same}, pictures=about["num_frames"], notes=tuple(about["notes"]))


@dataclass(frozen=True)
class Prepared:
    """One line.

    Attributes:
        name: of the video in its source, such as its path below the folder, with slashes.
        place: path of its file, whole, or its address.
        bytes, modified: of its file, by which a changed one is known; `modified` in nanoseconds since 1970, 0 where
            there is no such time.
        seconds: wall time that it took.
        sha256: of its bytes; None if it could not be read.
        video: what it is; None likewise.
        cause, error: why it could not be read: the kind of trouble (see `workers.Failure`) and one sentence; else None.
    """

    name: str
    place: str
    bytes: int
    modified: int
    seconds: float
    sha256: str | None = None
    video: Found | None = None
    cause: Cause | None = None
    error: str | None = None

    def to_line(self) -> str:
        """The line that is written."""
        return to_line(asdict(self))

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """The line that was written.

        Raises:
            KeyError, TypeError: it lacks a field, or has another.
        """
        video = found["video"]
        given = None if video is None else Found(**video | {"notes": tuple(video["notes"])})
        return cls(**found | {"video": given})
