"""The moments of a decomposition, its anchors and steps in the order of time, with small pictures of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from himmel.video.map_pictures import Image, fit, full_residual, full_speed, motion_picture, residual_picture
from himmel.video.results import Decomposition, StepMaps
from himmel.video.video import Video

LONGEST_SIDE: Final = 448
"""Pixels of the longer side of a moment's pictures."""
_AT_ONCE: Final = 32
"""Pictures that are decoded before they are compressed, so that memory does not grow with their number."""
_QUALITY: Final = 82


@dataclass(frozen=True, eq=False)
class Moment:
    """An anchor, or a step of an interval.

    Attributes:
        frame: index of its picture in the stretch, in presentation order.
        time: in seconds of the video.
        interval: which one, from 0.
        anchor: whether it is the interval's anchor.
        bits: that the file spends on its picture.
        intra: share of it that is predicted from no other picture, 0 to 1; NaN where that isn't known.
        picture: JPEG; None where it cannot be decoded.
        motion, residual: PNG, as `motion_picture` and `residual_picture` draw them; None of anchors.
    """

    frame: int
    time: float
    interval: int
    anchor: bool
    bits: int
    intra: float
    picture: bytes | None
    motion: bytes | None
    residual: bytes | None


@dataclass(frozen=True)
class Scales:
    """What gets full colour in all moments of a video: pixels a frame, and luma RMS in code values."""

    speed: float
    residual: float


def picture_size(video: Video) -> tuple[int, int]:
    """Width and height of a moment's pictures."""
    return fit(video.width, video.height, LONGEST_SIDE)


def scales_of(decomposition: Decomposition) -> Scales:
    """By all steps."""
    maps = [interval.maps for interval in decomposition.intervals]
    return Scales(full_speed(maps), full_residual(maps))


def read_moments(
    part: Video, decomposition: Decomposition, scales: Scales, *, begin: float, threads: int | None
) -> Iterator[Moment]:
    """All moments in the order of time, a few held at a time.

    Args:
        part: the video or stretch that was decomposed.
        decomposition: with images of about `picture_size`.
        scales: see `scales_of`.
        begin: seconds at which the stretch begins in the video.
        threads: see `Video.decompose`.

    Raises:
        VideoError: none of some dozens of neighbouring steps can be decoded.
    """
    size = picture_size(part)
    places = _places(decomposition)
    spent = part.spending([frame for frame, _, _ in places], steps=0, threads=threads)
    for first in range(0, len(places), _AT_ONCE):
        some = places[first : first + _AT_ONCE]
        images = _decode(part, [frame for frame, _, step in some if step >= 0], size, threads)
        for number, (frame, interval, step) in enumerate(some, start=first):
            anchor = decomposition.anchors[interval]
            maps = None if step < 0 else decomposition.intervals[interval].maps.step(step)
            image = anchor.image if step < 0 else images.get(frame)
            yield Moment(
                frame=frame,
                time=begin + float(part.times[frame]),
                interval=interval,
                anchor=step < 0,
                bits=int(spent.bits[number]),
                intra=float(spent.intra[number]),
                picture=None if image is None else compress(_sized(image, size), ".jpg"),
                motion=None if maps is None else compress(_motion(maps, decomposition, scales, size), ".png"),
                residual=None if maps is None else compress(_residual(maps, decomposition, scales, size), ".png"),
            )


def _places(decomposition: Decomposition) -> list[tuple[int, int, int]]:
    """(frame, interval, step) in order; step -1 is the anchor."""
    places = []
    for number, (anchor, interval) in enumerate(zip(decomposition.anchors, decomposition.intervals, strict=True)):
        places.append((anchor.frame, number, -1))
        places += [(frame, number, step) for step, frame in enumerate(interval.frames.tolist())]
    return places


def _decode(part: Video, frames: Sequence[int], size: tuple[int, int], threads: int | None) -> dict[int, Image]:
    if not frames:
        return {}
    found = part.frames(frames, max_pixels=size[0] * size[1], threads=threads).frames
    return {one.frame: one.image for one in found}


def _sized(image: Image, size: tuple[int, int]) -> Image:
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _motion(maps: StepMaps, decomposition: Decomposition, scales: Scales, size: tuple[int, int]) -> Image:
    displayed = decomposition.width, decomposition.height
    return motion_picture(maps, full=scales.speed, displayed=displayed, cell=decomposition.cell, size=size)


def _residual(maps: StepMaps, decomposition: Decomposition, scales: Scales, size: tuple[int, int]) -> Image:
    displayed = decomposition.width, decomposition.height
    return residual_picture(maps, full=scales.residual, displayed=displayed, cell=decomposition.cell, size=size)


def compress(image: npt.NDArray[Any], suffix: Literal[".jpg", ".png"]) -> bytes:
    """RGB or RGBA, uint8 [H, W, 3 or 4], as the bytes of a file."""
    order = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
    # With its highest level, OpenCV also lets rows be told by the rows above, which is how cells are.
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY] if suffix == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 9]
    return cv2.imencode(suffix, cv2.cvtColor(image, order), options)[1].tobytes()
