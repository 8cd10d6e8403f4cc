"""Backend "proxy": optical flow between decoded pictures, for files that yield no vectors."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from himmel.video.backends.decoded import decode_steps, plan_steps
from himmel.video.backends.protocol import Backend, Extract, Found, Plan, Reading, Step, Wanted
from himmel.video.backends.trace_decoded import plan_decoded_traces
from himmel.video.file.decoder import Decoder, Segment
from himmel.video.file.opened import VideoFile
from himmel.video.maps import flow
from himmel.video.maps.accumulate import NOBODY, Links
from himmel.video.maps.raster import Blocks
from himmel.video.maps.residual import Planes


class Proxy(Backend):
    """Reads everything that can be decoded."""

    name = "proxy"
    residual_kind = "estimated"
    distance_kind = "exact"
    step_cost = "decoding all pictures from the keyframe before it, and optical flow"
    has_vectors = False

    def reason(self, file: VideoFile, *, asked: bool) -> str:
        """Nothing better reads the file."""
        return "requested" if asked else ""

    def plan(self, wanted: Wanted) -> Reading:
        """Anchors, steps and the picture before each are decoded."""
        if wanted.accumulate:
            # Flow is followed across keyframes, vectors are not.
            reader = _Traces(wanted.source, wanted.cell)
            return plan_decoded_traces(wanted, reader, ends=np.zeros(0, np.int64))
        plan = wanted.plan()
        return Reading(plan_steps(plan, _Steps(plan)))

    def every(self, file: VideoFile, segments: Iterable[Segment], cell: int) -> Iterator[Found]:
        """Each picture is decoded once; the first of a segment needs the one before it."""
        with Decoder(file.path, file.index, vectors=False) as decoder:
            for segment in segments:
                plan = Plan(file, frozenset(), frozenset(segment.wanted), cell, None)
                reader = _Steps(plan)
                decoded = {number for step in segment.wanted for number in reader.pictures_of(step)}
                start = min([segment.start, *map(file.index.start_for, decoded - plan.steps)])
                yield from decode_steps(decoder, Segment(start, tuple(sorted(decoded))), plan, reader, Extract())


class _Steps:
    """Motion since the picture before."""

    vectors = False

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        before = _Before(plan.file)
        self._before = {step: before(step) for step in plan.steps}

    def pictures_of(self, step: int) -> set[int]:
        """The step and the picture before it, which may belong to another keyframe."""
        return {step, self._before[step]} - {NOBODY}

    pixels_of = pictures_of

    def has_blocks(self, step: int) -> bool:
        """No vectors are read."""
        return False

    def make(self, step: int, pixels: Mapping[int, Planes], blocks: Blocks) -> Step:
        """Flow since the picture before as past motion; nothing if one of the two did not come."""
        grid = self._plan.grid
        own, before = pixels.get(step), pixels.get(self._before[step])
        if before is None or own is None:
            return Step.empty(grid)
        past, residual = flow.estimate(own, before, self._plan.file.format.orientation, self._plan.cell)
        none, zero, one = np.zeros((2, *grid), np.float32), np.zeros(grid, np.float32), np.ones(grid, np.float32)
        return Step(past, none, one, zero, 1.0, 0.0, residual, one, 0)


class _Traces:
    """Pixels are followed along the flow from each picture to the one before."""

    vectors = False
    corner = 0, 0

    def __init__(self, file: VideoFile, cell: int) -> None:
        self._before, self._cell = _Before(file), cell
        self.canvas = file.format.height, file.format.width

    def sources(self, number: int) -> tuple[int, int]:
        """The picture before."""
        return self._before(number), NOBODY

    def is_mute(self, number: int) -> bool:
        """Any picture has flow."""
        return False

    def links(self, number: int, blocks: Blocks, pixels: Mapping[int, Planes]) -> Links:
        """By the flow; unmoved if the picture before did not come."""
        before = self._before(number)
        own, other = pixels[number], pixels.get(before)
        if other is None:
            still = np.zeros(self.canvas, np.float32)
            return Links(still, still, np.full(self.canvas, NOBODY, np.int64), (1, 1))
        offset = flow.dense_offset(own.luma, other.luma, self._cell)
        return Links(offset[..., 0], offset[..., 1], np.full(own.luma.shape, before, np.int64), (1, 1))


class _Before:
    """The picture that is shown before a picture, by decode-order numbers; NOBODY for the first."""

    def __init__(self, file: VideoFile) -> None:
        self._order, self._rank = file.index.order, file.index.rank
        self._shown = self._rank[self._order]

    def __call__(self, number: int) -> int:
        place = int(np.searchsorted(self._shown, self._rank[number]))
        return int(self._order[place - 1]) if place else NOBODY
