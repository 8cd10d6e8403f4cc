"""Steps whose motion and residual are accumulated back to a base: which pictures that takes, and the maps it gives.

The base of a step is the anchor of its interval or, if the file's vectors are followed and a keyframe lies between, the
last one: no vector crosses a keyframe, and CoViAR's groups of pictures begin with one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from himmel._text import by_number
from himmel.video.backends.decoded import plan_anchors
from himmel.video.backends.protocol import Extract, Plan, Reading, Step, Wanted, Work
from himmel.video.file.decoder import Decoder, Segment
from himmel.video.file.index import PictureIndex
from himmel.video.file.picture import PictureFormat
from himmel.video.maps.accumulate import NOBODY, BlockList, Links, Residual, Trace, Traced
from himmel.video.maps.raster import Blocks
from himmel.video.maps.residual import ByteArray, FloatArray, cell_means

IntArray = npt.NDArray[np.int64]

_MACROBLOCK = 16


@dataclass(frozen=True)
class Run:
    """Steps that are traced back to one base, by decode-order numbers."""

    base: int
    steps: frozenset[int]


class ReadRuns(Protocol):
    """What gives the maps of a segment's runs; `plan` names the file and the cells."""

    def __call__(self, decoder: Decoder, segment: Segment, *, plan: Plan, runs: tuple[Run, ...]) -> Extract:
        """Read one segment."""


def plan_traces(wanted: Wanted, read: ReadRuns, *, ends: IntArray, vectors: bool = False) -> Reading:
    """Anchors, and steps that are traced back to where their interval begins.

    Args:
        ends: presentation indices of pictures at which traces end.
        vectors: the decoder has to export motion vectors.
    """
    index = wanted.source.index
    runs = make_runs(index, wanted.anchors, wanted.steps, ends)
    work = plan_anchors(wanted.plan_anchors(), vectors=vectors and not wanted.is_copy)
    for segment, group in plan_runs(index, runs):
        read_group = partial(read, plan=wanted.plan_steps(), runs=group)
        work.append(Work(read_group, wanted.source, (segment,), vectors=vectors))
    anchors = frozenset(index.order[wanted.anchors].tolist())
    short = sum(len(run.steps) for run in runs if run.base not in anchors)
    if not short:
        return Reading(work)
    note = by_number(
        short,
        "{} step is traced back only to a keyframe after its anchor, because no vector crosses a keyframe.",
        "{} steps are traced back only to a keyframe after their anchor, because no vector crosses a keyframe.",
    )
    return Reading(work, (note,))


def make_runs(
    index: PictureIndex, anchors: IntArray, steps: Sequence[IntArray], keyframes: IntArray
) -> tuple[Run, ...]:
    """Give each step its base.

    Args:
        anchors, steps, keyframes: presentation indices; traces end at `keyframes`.
    """
    runs: dict[int, set[int]] = {}
    for anchor, frames in zip(anchors.tolist(), steps, strict=True):
        at = np.searchsorted(keyframes, frames, side="right") - 1
        last = keyframes[np.maximum(at, 0)] if len(keyframes) else np.zeros_like(frames)
        bases = np.where(at >= 0, np.maximum(last, anchor), anchor)
        for base, frame in zip(bases.tolist(), frames.tolist(), strict=True):
            runs.setdefault(int(index.order[base]), set()).add(int(index.order[frame]))
    return tuple(Run(base, frozenset(numbers)) for base, numbers in runs.items())


def plan_runs(index: PictureIndex, runs: Iterable[Run]) -> list[tuple[Segment, tuple[Run, ...]]]:
    """Runs that are read from the same keyframe are read together."""
    groups: dict[int, list[Run]] = {}
    for run in runs:
        start = min(index.start_for(number) for number in (run.base, *run.steps))
        groups.setdefault(start, []).append(run)
    return [
        (Segment(start, tuple(sorted({n for run in group for n in (run.base, *run.steps)}))), tuple(group))
        for start, group in sorted(groups.items())
    ]


class Job:
    """One run while it is read: what is still needed, and the pictures traced so far.

    Args:
        rank: integers [P], place of each picture in presentation order.
        sources: the pictures that a picture may be predicted from, all of them decoded before it.
        canvas: (rows, columns) in which pixels are traced.

    Attributes:
        upon: each picture that has to be traced -> those of its sources that are traced as well.
        trace: holds the pictures that others still build upon.
    """

    def __init__(
        self,
        rank: npt.NDArray[np.signedinteger[Any]],
        run: Run,
        sources: Callable[[int], Iterable[int]],
        canvas: tuple[int, int],
    ) -> None:
        self.run = run
        self.upon: dict[int, frozenset[int]] = {}
        todo = [step for step in run.steps if rank[step] > rank[run.base]]
        while todo:
            number = todo.pop()
            if number not in self.upon:
                after = {one for one in sources(number) if one not in (NOBODY, number) and rank[one] > rank[run.base]}
                self.upon[number] = frozenset(after)
                todo.extend(after)
        self._users = Counter(source for sources_ in self.upon.values() for source in sources_)
        self.trace = Trace(rank, run.base, canvas)

    def add(self, number: int, links: Links, fallback: int, delta: Residual | None = None) -> Traced:
        """Trace one picture, and forget those that nothing else builds upon; see `Trace.add`."""
        traced = self.trace.add(number, links, fallback=fallback, delta=delta)
        for source in self.upon[number]:
            self._users[source] -= 1
        for one in (number, *self.upon[number]):
            if not self._users[one]:
                self.trace.drop(one)
        return traced


def block_canvas(fmt: PictureFormat) -> tuple[int, int]:
    """(rows, columns) in which blocks lie: whole macroblocks, up to whose border decoders look."""
    return (
        -(-fmt.coded_height // _MACROBLOCK) * _MACROBLOCK,
        -(-fmt.coded_width // _MACROBLOCK) * _MACROBLOCK,
    )


def link_blocks(blocks: Blocks, references: tuple[int, int], canvas: tuple[int, int]) -> Links:
    """Links of FFmpeg's exported blocks; where a block looks both ways, the past counts.

    Args:
        references: the picture that past, and that future vectors are taken to lead to, or NOBODY.
    """
    order = np.argsort(blocks.past, kind="stable")
    x0, y0, x1, y1 = blocks.boxes[order].T
    reference = np.where(blocks.past[order], references[0], references[1]).astype(np.int64)
    moves = blocks.dx[order].astype(np.float32), blocks.dy[order].astype(np.float32)
    return BlockList(x0, y0, x1 - x0, y1 - y0, np.ones_like(x0), *moves, reference).link(canvas)


@dataclass(frozen=True, repr=False)
class Window:
    """The part of a traced picture that is shown, before it is turned.

    Attributes:
        dx, dy: float32 [H, W], accumulated displacement, forward in time.
        known: uint8 [H, W], 1 where the way back follows any vector.
        luma, chroma: accumulated residual, see `Traced`.
    """

    dx: FloatArray
    dy: FloatArray
    known: ByteArray
    luma: FloatArray
    chroma: npt.NDArray[np.complex64]

    @classmethod
    def of(cls, traced: Traced, crop: tuple[int, int], width: int, height: int) -> "Window":
        """Cut out `width` x `height` pixels from `crop` (x, y) on."""
        part = np.s_[crop[1] : crop[1] + height, crop[0] : crop[0] + width]
        moved = traced.displacement[part]
        dx, dy = np.ascontiguousarray(moved.real), np.ascontiguousarray(moved.imag)
        return cls(dx, dy, traced.met[part].astype(np.uint8), traced.luma[part], traced.chroma[part])


def make_step(plan: Plan, window: Window, *, distance: int, residual: FloatArray, num_vectors: int) -> Step:
    """Maps of one traced picture: displacement since the base as past motion, no future."""
    orientation, cell = plan.file.format.orientation, plan.cell
    past = np.stack(cell_means(list(orientation.vectors(window.dx, window.dy)), window.known, orientation, cell))
    everywhere = np.ones_like(window.known)
    (share,) = cell_means([window.known.astype(np.float32)], everywhere, orientation, cell)
    none, zero = np.zeros_like(past), np.zeros_like(share)
    return Step(past, none, share, zero, float(distance) if share.any() else 0.0, 0.0, residual, share, num_vectors)


def residual_sums(plan: Plan, window: Window, scale: tuple[float, float]) -> FloatArray:
    """Maps of an accumulated residual, float32 [3, R, C] as in `StepMaps`.

    Args:
        scale: what makes 8-bit code values of luma and of chroma.
    """
    orientation, cell = plan.file.format.orientation, plan.cell
    luma = window.luma * window.known * np.float32(scale[0])
    colour = window.chroma * window.known * np.float32(scale[1])
    power = (np.square(colour.real) + np.square(colour.imag)) / 2
    mean, square, chroma = cell_means([luma, luma * luma, power], window.known, orientation, cell)
    return np.stack((np.sqrt(square), mean, np.sqrt(chroma)))
