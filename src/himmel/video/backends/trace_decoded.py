"""Accumulation over decoded pictures: FFmpeg's exported vectors (libav, coviar), or optical flow (proxy).

The accumulated residual is taken as CoViAR's data loader takes it: the picture minus the base's pixels to which its own
are traced back, which is what the sum of all residuals on the way comes to.
"""

import gc

import numpy as np
from av.video.reformatter import VideoReformatter

from himmel.video.backends.extract import Extract, Plan, Step, read_blocks
from himmel.video.backends.trace import Job, Run, Window, block_canvas, keyframe_step, link_blocks, make_step
from himmel.video.file.decoder import Decoder, Segment, retry_starts
from himmel.video.maps import flow
from himmel.video.maps.accumulate import NOBODY, Links, Traced
from himmel.video.maps.raster import Blocks
from himmel.video.maps.residual import Planes, Prediction, copy_planes, residual_maps

# Decoders hold back at most 16 pictures: one that is waited for longer is lost.
_PATIENCE = 32


def trace_decoded(decoder: Decoder, plan: Plan, segment: Segment, runs: tuple[Run, ...]) -> Extract:
    """Maps of the runs' steps; those that do not come are tried once more from earlier keyframes."""
    result = Extract()
    left = runs
    for start in retry_starts(plan.index, segment.start):
        left = _read(decoder, plan, start, left, result)
        if not left:
            break
    return result


def _read(decoder: Decoder, plan: Plan, start: int, runs: tuple[Run, ...], result: Extract) -> tuple[Run, ...]:
    """One pass from `start`; steps go into `result`. Returns the runs with steps that did not come."""
    readings = [_Reading(plan, run, result) for run in runs]
    wanted = tuple(sorted({number for reading in readings for number in reading.awaited}))
    reformatter = VideoReformatter()
    for number, frame in decoder.pictures(Segment(start, wanted)):
        takers = [reading for reading in readings if number in reading.awaited]
        if not takers:
            continue
        if (frame.width, frame.height) != (plan.format.width, plan.format.height):
            frame = reformatter.reformat(frame, width=plan.format.width, height=plan.format.height, threads=1)
        needs_pixels = any(reading.needs_pixels(number) for reading in takers)
        planes = copy_planes(frame, reformatter) if needs_pixels else None
        blocks = Blocks.empty()
        if plan.backend == "libav":
            blocks = read_blocks(frame, plan.format)
        del frame
        if plan.backend == "libav":
            # PyAV's side data and its picture refer to each other: only the collector frees them.
            gc.collect(1)
        for reading in takers:
            reading.arrive(number, blocks, planes)
    for reading in readings:
        reading.advance(to_the_end=True)
    return tuple(run for run in runs if not run.steps <= result.steps.keys())


class _Reading:
    """A run whose pictures arrive in the order in which they are shown, each traced as soon as that is possible.

    Attributes:
        awaited: pictures that have not arrived.
    """

    def __init__(self, plan: Plan, run: Run, result: Extract) -> None:
        self._plan, self._run, self._result = plan, run, result
        self._by_flow = plan.backend == "proxy"
        self._shown_ranks = plan.index.rank[plan.index.order]
        canvas = (plan.format.height, plan.format.width) if self._by_flow else block_canvas(plan.format)
        self._job = Job(plan, run, self._sources, canvas)
        self._planes: dict[int, Planes] = {}
        self._waiting: dict[int, Blocks] = {}
        self._done: set[int] = set()
        self.awaited = {run.base, *self._job.upon}
        result.steps.update({step: keyframe_step(plan) for step in run.steps - self._job.upon.keys()})

    def needs_pixels(self, number: int) -> bool:
        """Whether a picture's samples are looked at."""
        return self._by_flow or number == self._run.base or number in self._run.steps

    def arrive(self, number: int, blocks: Blocks, planes: Planes | None) -> None:
        """Take a decoded picture and trace whatever has become possible."""
        self.awaited.discard(number)
        if planes is not None:
            self._planes[number] = planes
        if number != self._run.base:
            self._waiting[number] = blocks
        self.advance()

    def advance(self, *, to_the_end: bool = False) -> None:
        """Trace pictures that wait, in the order in which they were decoded.

        Args:
            to_the_end: whatever is missing will not come.
        """
        while self._waiting:
            impatient = to_the_end or len(self._waiting) > _PATIENCE
            ready = [number for number in sorted(self._waiting) if impatient or self._is_ready(number)]
            if not ready:
                break
            self._trace(ready[0], self._waiting.pop(ready[0]))

    def _sources(self, number: int) -> tuple[int, int]:
        """(past, future) pictures that a picture is taken to be predicted from."""
        index = self._plan.index
        if self._by_flow:
            place = int(np.searchsorted(self._shown_ranks, index.rank[number]))
            return int(index.order[place - 1]), NOBODY
        return index.references_for(number)

    def _is_ready(self, number: int) -> bool:
        return self._run.base in self._planes and self._job.upon[number] <= self._done

    def _trace(self, number: int, blocks: Blocks) -> None:
        sources = self._sources(number)
        if self._by_flow:
            links = self._flow_links(number, sources[0])
        else:
            links = link_blocks(blocks, sources, block_canvas(self._plan.format))
        traced = self._job.add(number, links, fallback=sources[0])
        self._done.add(number)
        own, base = self._planes.get(number), self._planes.get(self._run.base)
        if number in self._run.steps and own is not None and base is not None:
            self._result.steps[number] = self._make_step(number, traced, own, base, len(blocks.past))
        # Flow looks at the picture before; nothing else is looked at twice, but for the base.
        past = sources[0] if self._by_flow else number
        if past != self._run.base:
            self._planes.pop(past, None)

    def _flow_links(self, number: int, before: int) -> Links:
        own, other = self._planes[number], self._planes.get(before)
        if other is None:
            shape = self._plan.format.height, self._plan.format.width
            still = np.zeros(shape, np.float32)
            return Links(still, still, np.full(shape, NOBODY, np.int64), (1, 1))
        offset = flow.dense_offset(own.luma, other.luma, self._plan.cell)
        return Links(offset[..., 0], offset[..., 1], np.full(own.luma.shape, before, np.int64), (1, 1))

    def _make_step(self, number: int, traced: Traced, own: Planes, base: Planes, num_vectors: int) -> Step:
        plan, fmt = self._plan, self._plan.format
        if number in plan.without_vectors:
            return keyframe_step(plan)
        window = Window.of(traced, (0, 0) if self._by_flow else fmt.crop, fmt.width, fmt.height)
        prediction = Prediction.along(base, -window.dx, -window.dy, window.known)
        residual = residual_maps(own, [prediction], fmt.orientation, plan.cell)
        distance = int(plan.index.rank[number] - plan.index.rank[self._run.base])
        return make_step(plan, window, distance=distance, residual=residual, num_vectors=num_vectors)
