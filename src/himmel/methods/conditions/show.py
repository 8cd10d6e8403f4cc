"""A video as the pictures of one condition, and the parts of a prompt that shows them: texts and pictures in turn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from himmel.choices import Backend, Interleaving
from himmel.errors import VideoError
from himmel.methods.conditions.layout import LAYOUTS, PictureKind
from himmel.methods.parts import Image, Part
from himmel.video import Decomposition, StepMaps, Video
from himmel.video.draw import brief, clock
from himmel.video.map_pictures import (
    fit,
    full_residual,
    full_speed,
    motion_picture,
    residual_picture,
)

LONGEST_SIDE: Final = 768
"""Most pixels along a picture's longer side, for frames and maps alike."""

_NAMES: Final[dict[PictureKind, str]] = {"frame": "frame", "motion": "motion map", "residual": "residual map"}
_MOTION = (
    "A motion map shows which way each part of the picture moves at that moment, as the video file stores it. Red "
    "moves right, yellow-green down, cyan left, violet up. The stronger the colour, the faster: full colour is "
    "{speed}% of the picture's width a second. White does not move, grey is unknown."
)
_RESIDUAL = (
    "A residual map shows where the picture changes at that moment in a way that motion does not explain, as the video "
    "file stores it: black hardly changes, purple, orange and pale yellow change more and more. Grey is unknown."
)


@dataclass(frozen=True, eq=False)
class Shown:
    """One picture that the model is shown.

    Attributes:
        kind: a frame, or a map of the motion or the residual of one moment.
        frame: index of that moment's picture in the video, in presentation order.
        time: of that picture, in seconds since the first shown one.
        image: uint8 [H, W, 3], RGB.
    """

    kind: PictureKind
    frame: int
    time: float
    image: Image

    def __repr__(self) -> str:
        return f"Shown({self.kind!r}, frame={self.frame}, time={self.time:.3f}, image=uint8{list(self.image.shape)})"


@dataclass(frozen=True)
class Showing:
    """The pictures of one condition.

    Attributes:
        condition: "A" to "E".
        pictures: in time order, all of one size.
        speed: what gets full colour in the motion maps, in per cent of the picture's width a second; None without such
            maps.
        residual: the luma RMS, in code values, that gets the brightest colour in the residual maps; None without such.
        notes: sentences about what was unusual in the video.
    """

    condition: Interleaving
    pictures: tuple[Shown, ...]
    speed: float | None
    residual: float | None
    notes: tuple[str, ...]

    @property
    def visual(self) -> tuple[Part, ...]:
        """What comes before the question: what the pictures are, then each of them after a line that names it."""
        kinds = {shown.kind for shown in self.pictures}
        head = [f"The following {len(self.pictures)} pictures are from one video, in the order of time."]
        if self.speed is not None:
            head.append(_MOTION.format(speed=brief(self.speed)))
        if "residual" in kinds:
            head.append(_RESIDUAL)
        parts: list[Part] = [" ".join(head) + "\n"]
        for number, shown in enumerate(self.pictures, start=1):
            parts += [f"\nPicture {number}, {_NAMES[shown.kind]} at {clock(shown.time)}:\n", shown.image]
        return (*parts, "\n\n")


def decompose(
    video: Video,
    condition: Interleaving,
    *,
    longest: int = LONGEST_SIDE,
    backend: Backend = "auto",
    threads: int | None = None,
) -> Decomposition:
    """Read what a condition shows of a video.

    Args:
        video: an open file.
        condition: see `LAYOUTS`.
        longest: most pixels along the longer side of each picture.
        backend, threads: see `Video.decompose`.

    Raises:
        VideoError: the file cannot be read.
    """
    width, height = fit(video.width, video.height, longest)
    layout = LAYOUTS[condition]
    return video.decompose(
        num_anchors=len(layout.intervals),
        anchor_mode="keyframe",
        steps_per_interval=layout.steps_per_interval,
        backend=backend,
        max_anchor_pixels=width * height,
        threads=threads,
    )


def show(video: Video, condition: Interleaving, *, longest: int = LONGEST_SIDE, backend: Backend = "auto") -> Showing:
    """`decompose` and `draw` in one go."""
    return draw(decompose(video, condition, longest=longest, backend=backend), condition, longest=longest)


def draw(decomposition: Decomposition, condition: Interleaving, *, longest: int = LONGEST_SIDE) -> Showing:
    """What a condition shows of a video that was decomposed by `decompose`.

    A video of fewer pictures than the condition asks for shows fewer; a note says so.

    Raises:
        VideoError: the video is so short that nothing is left to show.
    """
    moments = _choose(decomposition, condition)
    if not moments:
        raise VideoError(
            f"{decomposition.path!r} has {decomposition.num_frames} pictures and none with a map, so condition "
            f"{condition} has nothing to show; leave this video out."
        )
    shown, speed, residual = _draw(decomposition, moments, fit(decomposition.width, decomposition.height, longest))
    notes = decomposition.notes
    wanted = LAYOUTS[condition].num_pictures
    if len(shown) < wanted:
        notes = (*notes, f"Condition {condition} shows {len(shown)} pictures of this video in place of {wanted}.")
    return Showing(condition, shown, speed, residual, notes)


@dataclass(frozen=True)
class _Moment:
    kind: PictureKind
    frame: int
    time: float
    interval: int
    maps: StepMaps | None = None


def _choose(decomposition: Decomposition, condition: Interleaving) -> list[_Moment]:
    moments = []
    pairs = zip(decomposition.intervals, LAYOUTS[condition].intervals, strict=False)
    for number, (interval, kinds) in enumerate(pairs):
        steps = iter(range(len(interval.frames)))
        for kind in kinds:
            if kind == "frame":
                anchor = decomposition.anchors[number]
                moments.append(_Moment(kind, anchor.frame, anchor.time, number))
            elif (step := next(steps, None)) is not None:
                frame, time = int(interval.frames[step]), float(interval.times[step])
                moments.append(_Moment(kind, frame, time, number, interval.maps.step(step)))
    return moments


def _draw(
    decomposition: Decomposition, moments: Sequence[_Moment], size: tuple[int, int]
) -> tuple[tuple[Shown, ...], float | None, float | None]:
    """The moments as pictures, and what gets full colour: a speed and a residual (see `Showing`)."""
    maps: dict[PictureKind, list[StepMaps]] = {"motion": [], "residual": []}
    for moment in moments:
        if moment.maps is not None:
            maps[moment.kind].append(moment.maps)
    speed = full_speed(maps["motion"]) if maps["motion"] else None
    residual = full_residual(maps["residual"]) if maps["residual"] else None
    displayed, cell = (decomposition.width, decomposition.height), decomposition.cell
    shown = []
    for moment in moments:
        if moment.maps is None:
            picture = decomposition.anchors[moment.interval].image
            image = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        elif moment.kind == "motion":
            image = motion_picture(moment.maps, full=speed or 1.0, displayed=displayed, cell=cell, size=size)
        else:
            image = residual_picture(moment.maps, full=residual or 1.0, displayed=displayed, cell=cell, size=size)
        shown.append(Shown(moment.kind, moment.frame, moment.time, image))
    share = None if speed is None else 100 * speed * decomposition.average_rate / decomposition.width
    return tuple(shown), share, residual
