"""Chosen pictures of a file, decoded; nothing is read of what lies between them."""

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from himmel.choices import AnchorMode
from himmel.errors import VideoError
from himmel.video.backends.decoded import plan_anchors
from himmel.video.backends.protocol import Extract, Wanted
from himmel.video.backends.workers import run_work
from himmel.video.file.opened import VideoFile
from himmel.video.repair import replace_damaged
from himmel.video.results import Anchor
from himmel.video.schedule import Clock, place_anchors

IntArray = npt.NDArray[np.int64]
# Nothing is made of cells here, but a plan names their size.
_CELL = 16


@dataclass(frozen=True, eq=False)
class Frames:
    """Decoded pictures in the order of time.

    Attributes:
        frames: the pictures; those that cannot be decoded are left out.
        num_damaged: how many of the wanted pictures are damaged or missing, without those that were replaced.
        notes: sentences about what was unusual.
        seconds: wall time by stage: "open", "extract".
    """

    frames: tuple[Anchor, ...]
    num_damaged: int
    notes: tuple[str, ...]
    seconds: dict[str, float]


def place_frames(file: VideoFile, count: int, mode: AnchorMode) -> tuple[IntArray, tuple[str, ...]]:
    """Indices of at most `count` pictures, uniform over the duration as anchors are, and sentences about it."""
    clock = Clock.without_pauses(file.times, file.duration, count)
    notes = tuple(filter(None, [clock.note]))
    return place_anchors(clock.times, clock.duration, file.keyframes, count, mode), notes


def read_frames(
    file: VideoFile, indices: IntArray, *, max_pixels: int | None, threads: int, open_seconds: float
) -> Frames:
    """Decode pictures; a damaged one is replaced by an undamaged one nearby, as anchors are.

    Args:
        indices: int64 [n], strictly increasing presentation indices.
        max_pixels: shrink pictures to at most so many pixels.
        threads: workers.
        open_seconds: what opening the file took.

    Raises:
        VideoError: none of the pictures can be decoded.
    """
    begin = time.perf_counter()
    extract = _decode(file, indices, max_pixels, threads)
    moved, repairs = replace_damaged(file, indices, extract)
    if not np.array_equal(moved, indices):
        extract = _decode(file, moved, max_pixels, threads)
    keys = set(file.keyframes.tolist())
    found, notes = [], [*file.notes, *repairs]
    for frame in moved.tolist():
        image = extract.images.get(int(file.index.order[frame]))
        if image is None:
            notes.append(f"The picture at {file.times[frame]:.3f} s cannot be decoded: it is left out.")
        else:
            found.append(Anchor(frame, float(file.times[frame]), frame in keys, image))
    if not found:
        raise VideoError(f"None of the pictures asked for of {str(file.path)!r} can be decoded; the file is damaged.")
    return Frames(
        frames=tuple(found),
        num_damaged=len(extract.damaged) + len(moved) - len(found),
        notes=tuple(notes),
        seconds={"open": open_seconds, "extract": time.perf_counter() - begin},
    )


def _decode(file: VideoFile, indices: IntArray, max_pixels: int | None, threads: int) -> Extract:
    wanted = Wanted(file, file, indices, (np.zeros(0, np.int64),), _CELL, max_pixels, False)
    return run_work(plan_anchors(wanted.plan_anchors()), threads)
