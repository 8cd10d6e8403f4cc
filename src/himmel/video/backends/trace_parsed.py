"""Accumulation over the H.264 stream itself: exact references, exact residuals, nothing decoded."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from himmel.video.backends import engine
from himmel.video.backends.protocol import Extract, Plan, Step
from himmel.video.backends.trace import Job, Run, Window, block_canvas, make_step, residual_sums
from himmel.video.file.decoder import Decoder, Segment, read_with_retries
from himmel.video.file.index import PictureIndex
from himmel.video.maps.accumulate import BlockList, Links

if TYPE_CHECKING:
    from himmel_bitstream import Picture


def trace_parsed(decoder: Decoder, segment: Segment, *, plan: Plan, runs: tuple[Run, ...]) -> Extract:
    """Maps of the runs' steps; pictures whose references are missing are tried again from earlier keyframes."""
    result = Extract()

    def read(start: int, left: tuple[Run, ...]) -> tuple[Run, ...]:
        return _read(decoder, plan, start, left, result)

    read_with_retries(plan.file.index, segment.start, runs, read)
    return result


def _read(decoder: Decoder, plan: Plan, start: int, runs: tuple[Run, ...], result: Extract) -> tuple[Run, ...]:
    """One pass from `start`; steps go into `result`. Returns the runs that did not come, or not whole."""
    index, canvas = plan.file.index, block_canvas(plan.file.format)
    listed = _walk_headers(decoder, index, start, {step for run in runs for step in run.steps})
    jobs = [Job(index.rank, run, lambda number: listed.get(number, ()), canvas) for run in runs]
    for job in jobs:
        # A base that is a step as well: a keyframe, or one after which nothing is shown.
        result.steps.update({step: Step.empty(plan.grid) for step in job.run.steps - job.upon.keys()})
    needed = {number for job in jobs for number in job.upon}
    if not needed:
        return ()
    lost: set[int] = set()
    for picture in engine.parse(decoder, Segment(start, tuple(sorted(needed))), keep=needed):
        if picture.number in needed and not _trace(plan, picture, jobs, canvas, result):
            lost.add(picture.number)
    return tuple(job.run for job in jobs if not lost.isdisjoint(job.upon) or not job.run.steps <= result.steps.keys())


def _walk_headers(decoder: Decoder, index: PictureIndex, start: int, steps: set[int]) -> dict[int, set[int]]:
    """What each picture may be predicted from, by its slices' reference lists."""
    listed: dict[int, set[int]] = {}
    for picture in engine.parse(decoder, Segment(start, tuple(sorted(steps))), keep=frozenset()):
        entries = [entry for one in picture.slices() for side in one.ref_lists for entry in side]
        # The nearest one besides, where pixels without a vector are taken to come from.
        listed[picture.number] = {entry[0] for entry in entries} | {index.references_for(picture.number)[0]}
    return listed


def _trace(plan: Plan, picture: "Picture", jobs: list[Job], canvas: tuple[int, int], result: Extract) -> bool:
    """Trace a picture in each job that needs it; False if it is damaged, of another size, or lacks references."""
    if picture.coded_size != canvas[::-1]:
        result.mark(picture.number, damaged=False, resized=True)
        return False
    picture.parse(residual=True)
    result.mark(picture.number, damaged=picture.is_damaged, resized=False)
    if picture.damaged == len(picture.macroblocks()):
        return False
    number, rank = picture.number, plan.file.index.rank
    vectors, delta = picture.vectors(), picture.residual()
    links = link_vectors(vectors, number, rank, canvas)
    fallback = plan.file.index.references_for(number)[0]
    for job in jobs:
        if number not in job.upon:
            continue
        traced = job.add(number, links, fallback, delta)
        if number in job.run.steps:
            distance = int(rank[number] - rank[job.run.base])
            result.steps[number] = _make_step(plan, picture, Window.of(traced, *_place(plan)), distance, len(vectors))
    return not picture.missing_references


def _place(plan: Plan) -> tuple[tuple[int, int], int, int]:
    return plan.file.format.crop, plan.file.format.width, plan.file.format.height


def _make_step(plan: Plan, picture: "Picture", window: Window, distance: int, num_vectors: int) -> Step:
    luma, chroma = (2.0 ** (8 - depth) for depth in picture.bit_depth)
    residual = residual_sums(plan, window, (luma, chroma))
    return make_step(plan, window, distance=distance, residual=residual, num_vectors=num_vectors)


def link_vectors(
    vectors: npt.NDArray[np.void], number: int, rank: npt.NDArray[np.signedinteger[Any]], canvas: tuple[int, int]
) -> Links:
    """Links of a picture's vectors (`himmel_bitstream.VECTOR`).

    Where a block has two, the one that leads to a picture shown earlier counts, then the nearer one, then list 0.
    """
    reference = vectors["ref_number"].astype(np.int64)
    away = rank[number] - rank[np.maximum(reference, 0)]
    order = np.lexsort((vectors["list"], np.abs(away), away < 0))[::-1]
    vectors, reference = vectors[order], reference[order]
    in_field = vectors["field"] > 0
    dx, dy = engine.displacements(vectors)
    x, y, width, height = (vectors[name].astype(np.int64) for name in ("x", "y", "w", "h"))
    return BlockList(x, y, width, height, 1 + in_field.astype(np.int64), dx, dy, reference).link(canvas)
