"""One segment of a file -> images of its anchors and maps of its steps, by either backend."""

import gc
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from av.sidedata.motionvectors import MotionVectors
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from himmel.video.file.decoder import Decoder, Segment, retry_starts
from himmel.video.file.index import PictureIndex
from himmel.video.file.picture import PictureFormat, anchor_image
from himmel.video.file.side_data import side_data
from himmel.video.maps import flow
from himmel.video.maps.raster import Blocks, covered_share, dense_moves, grid_shape, raster_blocks
from himmel.video.maps.residual import Planes, Prediction, copy_planes, residual_maps

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Plan:
    """What to read, by decode-order numbers, the same for all segments.

    Attributes:
        anchors, steps: pictures of which the image, or the maps, are wanted.
        references: for each step its (past, future) reference, -1 for none.
        without_vectors: steps whose exported vectors mean nothing.
        cell: side of a cell in luma pixels.
        max_anchor_pixels: size to which anchors' images are shrunk, None for never.
    """

    path: Path
    index: PictureIndex
    format: PictureFormat
    backend: str
    anchors: frozenset[int]
    steps: frozenset[int]
    references: dict[int, tuple[int, int]]
    without_vectors: frozenset[int]
    cell: int
    max_anchor_pixels: int | None

    @property
    def displayed_size(self) -> tuple[int, int]:
        """(width, height) of the displayed picture in pixels."""
        return self.format.orientation.size(self.format.width, self.format.height)

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of the maps."""
        return grid_shape(*self.displayed_size, self.cell)


@dataclass(frozen=True, repr=False)
class Step:
    """Maps of one picture; the fields of `StepMaps` without their first axis."""

    past: FloatArray
    future: FloatArray
    past_valid: FloatArray
    future_valid: FloatArray
    past_distance: float
    future_distance: float
    residual: FloatArray
    covered: FloatArray
    num_vectors: int


@dataclass(repr=False)
class Extract:
    """What one or several segments gave."""

    images: dict[int, npt.NDArray[np.uint8]] = field(default_factory=dict)
    steps: dict[int, Step] = field(default_factory=dict)


def extract_segment(decoder: Decoder, plan: Plan, segment: Segment) -> Extract:
    """Decode a segment and read everything that is wanted; what does not come is tried from earlier keyframes."""
    result = Extract()
    missing = set(segment.wanted)
    for start in retry_starts(plan.index, segment.start):
        result = merge([result, _extract_once(decoder, plan, Segment(start, tuple(sorted(missing))))])
        missing = _wanted(plan.anchors, segment) - result.images.keys()
        missing |= _wanted(plan.steps, segment) - result.steps.keys()
        if not missing:
            break
    return result


def _wanted(kind: frozenset[int], segment: Segment) -> set[int]:
    return {number for number in segment.wanted if number in kind}


def _extract_once(decoder: Decoder, plan: Plan, segment: Segment) -> Extract:
    """One pass over a segment.

    Pixels are held only as long as a step still needs them: its own and those of its one or two references.
    """
    result = Extract()
    steps = [number for number in segment.wanted if number in plan.steps]
    users: Counter[int] = Counter(n for step in steps for n in _pixels_of(plan, step))
    held: dict[int, Planes] = {}
    blocks: dict[int, Blocks] = {}
    waiting: list[int] = []
    reformatter = VideoReformatter()

    def finish(number: int) -> None:
        result.steps[number] = _make_step(plan, number, held, blocks.pop(number))
        waiting.remove(number)
        for used in _pixels_of(plan, number):
            users[used] -= 1
            if not users[used]:
                held.pop(used, None)

    for number, frame in decoder.pictures(segment):
        if (frame.width, frame.height) != (plan.format.width, plan.format.height):
            frame = reformatter.reformat(frame, width=plan.format.width, height=plan.format.height, threads=1)
        if number in plan.anchors:
            image = anchor_image(frame, plan.format.orientation, plan.max_anchor_pixels, reformatter)
            result.images[number] = image
        if users[number]:
            held[number] = copy_planes(frame, reformatter)
        if number in plan.steps and number not in result.steps and number not in waiting:
            waiting.append(number)
            blocks[number] = Blocks.empty()
            if plan.backend == "libav" and number not in plan.without_vectors:
                blocks[number] = read_blocks(frame, plan.format)
        del frame
        if number in blocks:
            # PyAV's side data and its picture refer to each other: only the collector frees them.
            gc.collect(1)
        for step in [s for s in waiting if all(n in held for n in _pixels_of(plan, s))]:
            finish(step)
    for step in list(waiting):
        finish(step)
    return result


def _pixels_of(plan: Plan, step: int) -> set[int]:
    return {step, *(n for n in plan.references[step] if n >= 0)}


def read_blocks(frame: VideoFrame, fmt: PictureFormat) -> Blocks:
    """Copy the exported vectors of a picture; no blocks if there are none."""
    data = side_data(frame, "MOTION_VECTORS")
    if not isinstance(data, MotionVectors):
        return Blocks.empty()
    # Two directions of 4x4 blocks is more than any codec has.
    limit = 2 * (fmt.coded_width // 4 + 4) * (fmt.coded_height // 4 + 4)
    return Blocks.from_side_data(data.to_ndarray(), limit)


def _make_step(plan: Plan, number: int, held: dict[int, Planes], blocks: Blocks) -> Step:
    if plan.backend == "proxy":
        return _proxy_step(plan, number, held)
    return _libav_step(plan, number, held, blocks)


def _libav_step(plan: Plan, number: int, held: dict[int, Planes], blocks: Blocks) -> Step:
    fmt, rank = plan.format, plan.index.rank
    place = fmt.orientation, fmt.crop, *plan.displayed_size, plan.cell
    maps: list[tuple[FloatArray, FloatArray, float]] = []
    predictions: list[Prediction] = []
    used = np.zeros(len(blocks.past), np.bool_)
    for reference, chosen, sign in zip(plan.references[number], (blocks.past, ~blocks.past), (-1, 1), strict=True):
        # Without a reference to divide by, vectors of that direction mean nothing.
        chosen = chosen & (reference >= 0)
        part = blocks.select(chosen)
        used |= chosen
        displacement, share = raster_blocks(part, *place)
        distance = float(abs(rank[number] - rank[reference])) if share.any() else 0.0
        maps.append((sign * displacement, share, distance))
        if distance and reference in held:
            moves = dense_moves(part, fmt.crop, fmt.width, fmt.height)
            predictions.append(Prediction(held[reference], *moves))
    residual = np.zeros((3, *plan.grid), np.float32)
    if predictions and number in held:
        residual = residual_maps(held[number], predictions, fmt.orientation, plan.cell)
    (past, past_valid, past_distance), (future, future_valid, future_distance) = maps
    return Step(
        past=past,
        future=future,
        past_valid=past_valid,
        future_valid=future_valid,
        past_distance=past_distance,
        future_distance=future_distance,
        residual=residual,
        covered=covered_share(blocks.select(used), *place),
        num_vectors=len(blocks.past),
    )


def _proxy_step(plan: Plan, number: int, held: dict[int, Planes]) -> Step:
    none, zero = np.zeros((2, *plan.grid), np.float32), np.zeros(plan.grid, np.float32)
    before = held.get(plan.references[number][0])
    own = held.get(number)
    if before is None or own is None:
        return Step(none, none, zero, zero, 0.0, 0.0, np.zeros((3, *plan.grid), np.float32), zero, 0)
    past, residual = flow.estimate(own, before, plan.format.orientation, plan.cell)
    one = np.ones(plan.grid, np.float32)
    return Step(past, none, one, zero, 1.0, 0.0, residual, one, 0)


def merge(extracts: Iterable[Extract]) -> Extract:
    """Join the results of several segments."""
    whole = Extract()
    for extract in extracts:
        whole.images.update(extract.images)
        whole.steps.update(extract.steps)
    return whole
