"""Accumulation over decoded pictures: FFmpeg's exported vectors (libav, coviar), or optical flow (proxy).

The accumulated residual is taken as CoViAR's data loader takes it: the picture minus the base's pixels to which its own
are traced back, which is what the sum of all residuals on the way comes to.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple, Protocol

from av.video.reformatter import VideoReformatter

from himmel.choices import PictureType
from himmel.video.backends.decoded import PATIENCE, fit, mark, read_blocks, type_of
from himmel.video.backends.protocol import Extract, Found, IntArray, Plan, Reading, Step, Wanted
from himmel.video.backends.trace import Job, Run, Window, make_step, plan_traces
from himmel.video.file.decoder import Decoder, Segment, read_with_retries
from himmel.video.maps.accumulate import Links, Traced
from himmel.video.maps.raster import Blocks
from himmel.video.maps.residual import Planes, Prediction, copy_planes, residual_maps


class TraceReader(Protocol):
    """How pixels are followed from picture to picture.

    Attributes:
        vectors: exported vectors are read, and pixels of the base and the steps alone; otherwise those of all pictures.
        canvas: (rows, columns) in which pixels are traced.
        corner: (x, y) of the displayed picture inside it, before it is turned.
    """

    vectors: bool
    canvas: tuple[int, int]
    corner: tuple[int, int]

    def sources(self, number: int) -> tuple[int, int]:
        """(past, future) pictures that a picture is taken to be predicted from, or NOBODY."""

    def is_mute(self, number: int) -> bool:
        """Whether a picture's motion is unknown."""

    def links(self, number: int, blocks: Blocks, pixels: Mapping[int, Planes]) -> Links:
        """Where a picture's pixels come from."""


def plan_decoded_traces(wanted: Wanted, reader: TraceReader, *, ends: IntArray) -> Reading:
    """`plan_traces` with pictures that are decoded."""
    return plan_traces(wanted, partial(_trace_decoded, reader=reader), ends=ends, vectors=reader.vectors)


def _trace_decoded(
    decoder: Decoder, segment: Segment, *, plan: Plan, runs: tuple[Run, ...], reader: TraceReader
) -> Extract:
    """Maps of the runs' steps; those that do not come are tried once more from earlier keyframes."""
    result = Extract()

    def read(start: int, left: tuple[Run, ...]) -> tuple[Run, ...]:
        readings = [_Reading(plan, run, reader) for run in left]
        for reading in readings:
            result.steps.update({number: Step.empty(plan.grid) for number in reading.unmoved})
        for found in _read(decoder, start, readings, result):
            result.steps[found.number] = found.step
        return tuple(run for run in left if not run.steps <= result.steps.keys())

    read_with_retries(plan.file.index, segment.start, runs, read)
    return result


def trace_run(decoder: Decoder, start: int, plan: Plan, run: Run, reader: TraceReader) -> Iterator[Found]:
    """One pass over one run from a keyframe: its steps as soon as each has been traced, the base among them."""
    return _read(decoder, start, [_Reading(plan, run, reader)], Extract())


def _read(decoder: Decoder, start: int, readings: "list[_Reading]", result: Extract) -> Iterator[Found]:
    """One pass from a keyframe, during which each picture is traced in all runs that it belongs to."""
    wanted = tuple(sorted({number for reading in readings for number in reading.awaited}))
    reader, fmt, reformatter = readings[0].reader, readings[0].plan.file.format, VideoReformatter()
    for number, frame in decoder.pictures(Segment(start, wanted)):
        takers = [reading for reading in readings if number in reading.awaited]
        if not takers:
            continue
        mark(result, number, frame, fmt)
        blocks = read_blocks(frame, fmt) if reader.vectors else Blocks.empty()
        frame = fit(frame, fmt, reformatter)
        needs_pixels = any(reading.needs_pixels(number) for reading in takers)
        planes = copy_planes(frame, reformatter) if needs_pixels else None
        seen = _Seen(type_of(frame), frame.is_corrupt, blocks)
        del frame
        for reading in takers:
            yield from reading.arrive(number, seen, planes)
    for reading in readings:
        yield from reading.advance(to_the_end=True)


class _Seen(NamedTuple):
    """What is kept of a decoded picture besides its pixels."""

    type: PictureType
    damaged: bool
    blocks: Blocks


class _Reading:
    """A run whose pictures arrive in the order in which they are shown, each traced as soon as that is possible.

    Attributes:
        awaited: pictures that have not arrived.
        unmoved: steps that need no tracing: the base itself, or what is not shown after it.
    """

    def __init__(self, plan: Plan, run: Run, reader: TraceReader) -> None:
        self.plan, self.reader = plan, reader
        self._run = run
        self._job = Job(plan.file.index.rank, run, reader.sources, reader.canvas)
        self._planes: dict[int, Planes] = {}
        self._waiting: dict[int, _Seen] = {}
        self._done: set[int] = set()
        self.awaited = {run.base, *self._job.upon}
        self.unmoved = run.steps - self._job.upon.keys()

    def needs_pixels(self, number: int) -> bool:
        """Whether a picture's samples are looked at."""
        return not self.reader.vectors or number == self._run.base or number in self._run.steps

    def arrive(self, number: int, seen: _Seen, planes: Planes | None) -> Iterator[Found]:
        """Take a decoded picture, and trace all pictures that can be traced now."""
        if number in self.unmoved:
            yield Found(number, seen.type, Step.empty(self.plan.grid), damaged=seen.damaged)
        self.awaited.discard(number)
        if planes is not None:
            self._planes[number] = planes
        if number != self._run.base:
            self._waiting[number] = seen
        yield from self.advance()

    def advance(self, *, to_the_end: bool = False) -> Iterator[Found]:
        """Trace pictures that wait, in the order in which each follows those that it is traced to.

        Args:
            to_the_end: pictures that are missing will not come.
        """
        while self._waiting:
            impatient = to_the_end or len(self._waiting) > PATIENCE
            # Vectors lead to what was decoded before, flow to what is shown before.
            turns = sorted(self._waiting, key=None if self.reader.vectors else self.plan.file.index.rank.__getitem__)
            ready = [number for number in turns if impatient or self._is_ready(number)]
            if not ready:
                break
            seen = self._waiting.pop(ready[0])
            step = self._trace(ready[0], seen.blocks)
            if step is not None:
                yield Found(ready[0], seen.type, step, damaged=seen.damaged)

    def _is_ready(self, number: int) -> bool:
        return self._run.base in self._planes and self._job.upon[number] <= self._done

    def _trace(self, number: int, blocks: Blocks) -> Step | None:
        """Follow a picture's pixels; its maps, if it is a step and its own and the base's pixels have come."""
        past = self.reader.sources(number)[0]
        links = self.reader.links(number, blocks, self._planes)
        traced = self._job.add(number, links, fallback=past)
        self._done.add(number)
        own, base = self._planes.get(number), self._planes.get(self._run.base)
        step = None
        if number in self._run.steps and own is not None and base is not None:
            step = self._make_step(number, traced, own, base, len(blocks.past))
        # Flow looks at the picture before. Apart from that and the base, no picture is looked at twice.
        spent = number if self.reader.vectors else past
        if spent != self._run.base:
            self._planes.pop(spent, None)
        return step

    def _make_step(self, number: int, traced: Traced, own: Planes, base: Planes, num_vectors: int) -> Step:
        plan, fmt, rank = self.plan, self.plan.file.format, self.plan.file.index.rank
        if self.reader.is_mute(number):
            return Step.empty(plan.grid)
        window = Window.of(traced, self.reader.corner, fmt.width, fmt.height)
        prediction = Prediction.along(base, -window.dx, -window.dy, window.known)
        residual = residual_maps(own, [prediction], fmt.orientation, plan.cell)
        distance = int(rank[number] - rank[self._run.base])
        return make_step(plan, window, distance=distance, residual=residual, num_vectors=num_vectors)
