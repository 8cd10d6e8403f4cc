"""What is said about a stream while it runs."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from himmel.video.describe.results import CameraSegment, Cut, MovingRegion

EventKind = Literal["camera", "region", "cut", "notice"]
"""What an event is about: the camera, something that moves, a cut to another scene, or the stream itself."""


@dataclass(frozen=True)
class LiveSpan:
    """A part of a stream.

    Attributes:
        start, end: seconds since the stream's first picture.
        wall_start, wall_end: the same as times of day, see `LiveEvent`.
    """

    start: float
    end: float
    wall_start: datetime
    wall_end: datetime

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; times of day in ISO 8601."""
        return {
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "wall_start": self.wall_start.isoformat(timespec="milliseconds"),
            "wall_end": self.wall_end.isoformat(timespec="milliseconds"),
        }


@dataclass(frozen=True)
class LiveEvent(LiveSpan):
    """Something that happened in a stream, or to it; a cut and a notice have one moment for both ends.

    Attributes:
        kind: what it is about.
        wall_start, wall_end: when the picture arrived, less the delay that arrivals vary by, with the machine's time
            zone. Of a file that was written before it was read, when it was read.
        words: a clause without a full stop, such as "the camera pans right by 8 % a second".
        what: the camera's segment, the region or the cut, with times as `start` and `end`; None for a notice.
    """

    kind: EventKind
    words: str
    what: CameraSegment | MovingRegion | Cut | None = None

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; times of day in ISO 8601."""
        what = None if self.what is None else asdict(self.what)
        return {"kind": self.kind, **super().to_dict(), "words": self.words, "what": what}
