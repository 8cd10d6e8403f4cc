"""What a description of a video's motion holds: a time line of cuts, camera motion and moving regions.

Directions are those that a person would name. The camera's motion is what the camera does, which is opposite to how the
picture's content moves: where a camera pans right, everything in its picture moves left. All of it is in displayed
orientation, times are seconds since the first shown picture, and lengths are per cent of the picture: of its width
for what goes sideways, of its height for what goes up or down.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from html import escape
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from himmel._html import picture
from himmel.choices import BackendName

FloatArray = npt.NDArray[np.float64]

Direction = Literal["right", "down right", "down", "down left", "left", "up left", "up", "up right"]


@dataclass(frozen=True)
class CameraMotion:
    """How a camera moves.

    A camera that is carried past a flat scene gives the same picture as one that turns, and one that comes closer the
    same as one that zooms: those are not told apart.

    Attributes:
        pan: per cent of the picture's width a second, positive to the right.
        tilt: per cent of the picture's height a second, positive upwards.
        zoom: growth of what is shown in per cent a second (100 times the derivative of the logarithm of its size),
            positive where the camera zooms in.
        roll: degrees a second, positive clockwise as seen by the person behind the camera.
    """

    pan: float = 0.0
    tilt: float = 0.0
    zoom: float = 0.0
    roll: float = 0.0


@dataclass(frozen=True)
class CameraSegment:
    """A stretch of time in which the camera moves in one way.

    Attributes:
        start, end: seconds.
        motion: its mean motion; None where the vectors follow no common motion, so that it can't be told.
        shake: standard deviation of pan and tilt around that mean, in per cent of the picture a second; the larger one.
    """

    start: float
    end: float
    motion: CameraMotion | None
    shake: float = 0.0


@dataclass(frozen=True)
class Box:
    """A rectangle in per cent of the picture: left and right of its width, top and bottom of its height."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def centre(self) -> tuple[float, float]:
        """(across, down) in per cent."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def joined(self, other: "Box") -> "Box":
        """The smallest box around both."""
        return Box(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )


@dataclass(frozen=True)
class MovingRegion:
    """A part of the picture that moves against the rest of the scene, followed over time.

    Attributes:
        start, end: seconds; when it was first and last seen to move.
        first_box, last_box: where it was then.
        dx, dy: its mean motion against the scene, the camera's own motion taken off, in per cent of the picture's width
            and height a second; positive to the right and down.
        direction: the same in a word, by its angle in pixels.
        area: mean share of the picture that it covers, in per cent.
        seen: in how many of the pictures that were read it was found.
    """

    start: float
    end: float
    first_box: Box
    last_box: Box
    dx: float
    dy: float
    direction: Direction
    area: float
    seen: int

    @property
    def speed(self) -> float:
        """Per cent of the picture a second."""
        return float(np.hypot(self.dx, self.dy))


@dataclass(frozen=True)
class Cut:
    """A change of scene.

    Attributes:
        time: of the first picture of the new scene, in seconds.
        reason: what showed it: "keyframe" (one ahead of its regular time), "bits" or "intra", see `scene.find_changes`.
    """

    time: float
    reason: str


@dataclass(frozen=True, eq=False)
class Samples:
    """The camera's motion at each picture that was read.

    Attributes:
        times: float64 [S], seconds, in order: the middle between a picture and what its vectors lead to.
        motion: float64 [S, 4], the fields of `CameraMotion` in their order; NaN where it can't be told.
    """

    times: FloatArray
    motion: FloatArray

    def __repr__(self) -> str:
        return f"Samples({len(self.times)} pictures)"


@dataclass(frozen=True, eq=False)
class Timeline:
    """What moves in a video, and when, read from its motion vectors.

    Attributes:
        path, codec: the file, and FFmpeg's name of its codec.
        width, height: displayed size in pixels.
        duration: seconds.
        backend, backend_reason: where the vectors come from, and why from there.
        num_frames, num_read: pictures of the video, and of these how many were read.
        camera: in order, without gaps, from 0 to the duration; a cut always begins a new one.
        regions: in the order of their beginning.
        cuts: in order.
        samples: what the camera's segments were made of.
        notes: sentences about what was unusual in the file or in what was asked.
        seconds: wall time by stage: "open", "cuts", "motion".
    """

    path: str
    codec: str
    width: int
    height: int
    duration: float
    backend: BackendName
    backend_reason: str
    num_frames: int
    num_read: int
    camera: tuple[CameraSegment, ...]
    regions: tuple[MovingRegion, ...]
    cuts: tuple[Cut, ...]
    samples: Samples
    notes: tuple[str, ...]
    seconds: dict[str, float]

    def __repr__(self) -> str:
        return (
            f"Timeline({self.path!r}, {self.duration:.3f} s, backend={self.backend!r}, {self.num_read} pictures read,"
            f" {len(self.camera)} camera segments, {len(self.regions)} regions, {len(self.cuts)} cuts)"
        )

    def _repr_html_(self) -> str:
        """In Jupyter: the picture of `draw_timeline`, and the sentences."""
        from himmel.video.describe.draw import timeline_figure
        from himmel.video.draw import drawing_bytes

        says = f"Camera motion, moving regions and cuts of {os.path.basename(self.path)}"
        lines = "".join(f"<li>{escape(sentence)}</li>" for sentence in self.sentences())
        return picture(drawing_bytes(timeline_figure(self)), "image/png", says=says) + f"<ul>{lines}</ul>"

    def sentences(self) -> list[str]:
        """The time line in words, a sentence for each event, in order of time."""
        from himmel.video.describe.words import sentences

        return sentences(self)

    def text(self, *, budget: int | None = None, count: Callable[[str], int] | None = None) -> str:
        """The sentences as one text, within a budget by leaving out what matters least.

        Args:
            budget: the most that `count` may say of the text; None for no limit.
            count: how long a text is, such as the number of tokens that a tokenizer makes of it; None counts words.

        Raises:
            UsageError: not even the first line fits in the budget, or it is no whole number.
        """
        from himmel.video.describe.words import text

        return text(self, budget=budget, count=count)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the samples, ready for JSON; directions and boxes spelled out."""
        told = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "samples"}
        return told | {
            "camera": [_segment(segment) for segment in self.camera],
            "regions": [_region(region) for region in self.regions],
            "cuts": [{"time": cut.time, "reason": cut.reason} for cut in self.cuts],
            "notes": list(self.notes),
        }


def _segment(segment: CameraSegment) -> dict[str, Any]:
    motion = segment.motion
    told = None if motion is None else {item.name: getattr(motion, item.name) for item in fields(motion)}
    return {"start": segment.start, "end": segment.end, "motion": told, "shake": segment.shake}


def _region(region: MovingRegion) -> dict[str, Any]:
    return {
        "start": region.start,
        "end": region.end,
        "direction": region.direction,
        "speed": region.speed,
        "dx": region.dx,
        "dy": region.dy,
        "area": region.area,
        "first_box": _box(region.first_box),
        "last_box": _box(region.last_box),
        "seen": region.seen,
    }


def _box(box: Box) -> list[float]:
    return [box.left, box.top, box.right, box.bottom]
