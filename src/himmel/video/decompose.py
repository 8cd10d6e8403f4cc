"""From a request to a `Decomposition`: schedule, choice of backend, extraction by workers, assembly."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from himmel.errors import VideoError
from himmel.video.backends.bitstream import CODEC, extract_steps, is_available
from himmel.video.backends.coviar import must_be_recoded, recode
from himmel.video.backends.extract import Extract, Plan, Step, extract_segment, merge
from himmel.video.backends.probe import choose_backend
from himmel.video.backends.trace import make_runs, plan_runs
from himmel.video.backends.trace_decoded import trace_decoded
from himmel.video.backends.trace_parsed import trace_parsed
from himmel.video.file.decoder import Decoder, Segment, plan_segments
from himmel.video.file.index import PictureIndex, with_references
from himmel.video.file.picture import PictureFormat
from himmel.video.file.reference import ZERO_B_VECTORS
from himmel.video.results import Anchor, Decomposition, Interval, StepMaps
from himmel.video.scene import place_scene_anchors, read_changes
from himmel.video.schedule import place_anchors, place_steps

IntArray = npt.NDArray[np.int64]
_PARSED_PER_ANCHOR = 4
# Keyframes that one worker decodes in a row.
_KEYFRAMES = 8
_RESIDUAL_KINDS = {"bitstream": "exact", "libav": "approximate", "coviar": "approximate", "proxy": "estimated"}


@dataclass(frozen=True)
class Request:
    """Checked arguments of `Video.decompose`."""

    num_anchors: int
    anchor_mode: str
    steps_per_interval: int
    cell: int
    backend: str
    max_anchor_pixels: int | None
    accumulate: bool
    threads: int


class Work(NamedTuple):
    """Stretches of the file and what to do with each."""

    extract: Callable[[Decoder, Plan, Segment], Extract]
    plan: Plan
    segments: tuple[Segment, ...]


class Source(Protocol):
    """What is read of a `Video`."""

    path: Path
    codec: str
    width: int
    height: int
    duration: float
    average_rate: float
    times: npt.NDArray[np.float64]
    keyframes: IntArray
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Schedule:
    """Presentation indices: anchors [n] and why each is one, the end of each interval [n], and the steps of each."""

    anchors: IntArray
    reasons: tuple[str, ...]
    stops: IntArray
    steps: tuple[IntArray, ...]


def decompose(
    video: Source, index: PictureIndex, fmt: PictureFormat, request: Request, open_seconds: float
) -> Decomposition:
    """Carry out `Video.decompose`."""
    begin = time.perf_counter()
    schedule = make_schedule(video, index, request)
    notes = list(video.notes)
    if len(schedule.anchors) < request.num_anchors:
        notes.append(
            f"{request.num_anchors} anchors were asked for, but the video has {len(video.times)} pictures:"
            f" {len(schedule.anchors)} are taken."
        )
    has_steps = any(len(steps) for steps in schedule.steps)
    backend, reason = choose_backend(video.path, video.codec, index, fmt, request.backend, has_steps)
    probed = time.perf_counter()

    accumulated = request.accumulate or backend == "coviar"
    if backend == "coviar" and has_steps and must_be_recoded(video.path, video.codec, index, fmt):
        schedule, plan, extract = _read_recoded(video, index, fmt, request, schedule, notes)
    else:
        source = "libav" if backend == "coviar" else backend
        plan = make_plan(video, index, fmt, replace(request, accumulate=accumulated), source, schedule)
        if plan.without_vectors:
            notes.append(
                f"{len(plan.without_vectors)} steps are B pictures, whose vectors {video.codec} does not yield."
            )
        work = plan_accumulation(plan, schedule, video.keyframes, notes) if accumulated else plan_work(plan)
        extract = run_segments(plan, work, request.threads)
    done = time.perf_counter()

    anchors, intervals = _assemble(video, index, plan, schedule, extract, notes)
    return Decomposition(
        path=str(video.path),
        sha256=video.__dict__.get("sha256"),
        codec=video.codec,
        width=video.width,
        height=video.height,
        duration=video.duration,
        num_frames=len(video.times),
        average_rate=video.average_rate,
        backend=backend,
        backend_reason=reason,
        residual_kind=_RESIDUAL_KINDS[backend],
        distance_kind="estimated" if backend == "libav" else "exact",
        accumulated=accumulated,
        cell=request.cell,
        grid=plan.grid,
        anchors=anchors,
        intervals=intervals,
        num_vectors=sum(step.num_vectors for step in extract.steps.values()),
        notes=tuple(notes),
        seconds={"open": open_seconds, "probe": probed - begin, "extract": done - probed},
    )


def make_schedule(video: Source, index: PictureIndex, request: Request) -> Schedule:
    """Place anchors and steps from times alone, the same for every backend; in the mode "scene" see `read_changes`."""
    times, keys = video.times, video.keyframes
    if request.anchor_mode == "scene":
        parse = video.codec == CODEC and is_available() and request.backend in ("auto", "bitstream")
        changes = read_changes(video.path, index, parse=parse, most=_PARSED_PER_ANCHOR * request.num_anchors)
        anchors, reasons = place_scene_anchors(times, video.duration, keys, changes, request.num_anchors)
    else:
        anchors = place_anchors(times, video.duration, keys, request.num_anchors, request.anchor_mode)
        reasons = ("uniform",) * len(anchors)
    stops = np.append(anchors[1:], len(times))
    return Schedule(anchors, reasons, stops, _place_all_steps(video, anchors, stops, keys, request.steps_per_interval))


def _place_all_steps(
    video: Source, anchors: IntArray, stops: IntArray, keyframes: IntArray, max_steps: int
) -> tuple[IntArray, ...]:
    ends = np.append(video.times[anchors[1:]], video.duration)
    return tuple(
        place_steps(video.times, int(anchor), int(stop), float(end), keyframes, max_steps)
        for anchor, stop, end in zip(anchors, stops, ends, strict=True)
    )


def _read_recoded(
    video: Source, index: PictureIndex, fmt: PictureFormat, request: Request, schedule: Schedule, notes: list[str]
) -> tuple[Schedule, Plan, Extract]:
    """Anchors from the file, steps from its copy in MPEG-4 Part 2 and beside the copy's keyframes."""
    with recode(video.path, index, fmt) as copy:
        if copy.repeated:
            notes.append(f"{copy.repeated} pictures cannot be decoded: the one before stands in for each.")
        steps = _place_all_steps(video, schedule.anchors, schedule.stops, copy.keyframes, request.steps_per_interval)
        schedule = replace(schedule, steps=steps)
        # No step is read from the file itself, so that its plan needs no references.
        plan = make_plan(video, index, fmt, request, "proxy", schedule)
        anchors = run_segments(plan, _plan_anchors(plan), request.threads)
        numbers = {int(copy.index.order[f]): int(index.order[f]) for f in np.concatenate(steps).tolist()}
        inner = replace(
            plan,
            path=copy.path,
            index=copy.index,
            format=copy.format,
            backend="libav",
            anchors=frozenset(),
            steps=frozenset(numbers),
            references={},
        )
        runs = make_runs(copy.index, schedule.anchors, steps, copy.keyframes)
        work = [Work(partial(trace_decoded, runs=group), inner, (part,)) for part, group in plan_runs(copy.index, runs)]
        traced = run_segments(inner, work, request.threads)
    return schedule, plan, Extract(anchors.images, {numbers[n]: step for n, step in traced.steps.items()})


def make_plan(
    video: Source, index: PictureIndex, fmt: PictureFormat, request: Request, backend: str, schedule: Schedule
) -> Plan:
    """Translate a schedule into decode-order numbers, with the reference pictures that steps need."""
    looks_up = backend == "libav" or (backend == "bitstream" and request.accumulate)
    index = with_references(video.path, index) if looks_up else index
    frames = np.concatenate(schedule.steps)
    references: dict[int, tuple[int, int]] = {}
    for frame in frames.tolist():
        number = int(index.order[frame])
        if backend == "bitstream":
            references[number] = -1, -1
        elif backend == "libav":
            references[number] = index.references_for(number)
        else:
            references[number] = int(index.order[frame - 1]), -1
    mute = backend == "libav" and video.codec in ZERO_B_VECTORS
    return Plan(
        path=video.path,
        index=index,
        format=fmt,
        backend=backend,
        anchors=frozenset(index.order[schedule.anchors].tolist()),
        steps=frozenset(references),
        references=references,
        without_vectors=frozenset(n for n in references if mute and not index.reference[n]),
        cell=request.cell,
        max_anchor_pixels=request.max_anchor_pixels,
    )


def plan_work(plan: Plan) -> list[Work]:
    """What workers take one by one: stretches to decode, and for the bitstream engine stretches to parse."""
    if plan.backend != "bitstream":
        decoded = plan_segments(plan.index, _pictures_to_decode(plan))
        return [Work(extract_segment, plan, (segment,)) for segment in decoded]
    parsed = plan_segments(plan.index, [{step} for step in plan.steps])
    return _plan_anchors(plan) + [Work(extract_steps, plan, (segment,)) for segment in parsed]


def plan_accumulation(plan: Plan, schedule: Schedule, keyframes: IntArray, notes: list[str]) -> list[Work]:
    """As `plan_work`, with steps that are traced back to where their interval begins."""
    # Flow is followed across keyframes, vectors are not.
    ends = np.zeros(0, np.int64) if plan.backend == "proxy" else keyframes
    runs = make_runs(plan.index, schedule.anchors, schedule.steps, ends)
    short = sum(len(run.steps) for run in runs if run.base not in plan.anchors)
    if short:
        notes.append(f"{short} steps are traced back to a keyframe after their anchor, which no vector crosses.")
    trace = trace_parsed if plan.backend == "bitstream" else trace_decoded
    traced = [Work(partial(trace, runs=group), plan, (segment,)) for segment, group in plan_runs(plan.index, runs)]
    return _plan_anchors(plan) + traced


def _plan_anchors(plan: Plan) -> list[Work]:
    """The anchors alone."""
    decoded = plan_segments(plan.index, [{anchor} for anchor in plan.anchors])
    anchors_alone = replace(plan, steps=frozenset())
    alone = [segment for segment in decoded if segment.wanted == (segment.start,)]
    work = [Work(extract_segment, anchors_alone, (segment,)) for segment in decoded if segment not in alone]
    # Keyframes are soon decoded; opening the file once more, which each worker that decodes has to do, takes as long.
    parts = [tuple(alone[k : k + _KEYFRAMES]) for k in range(0, len(alone), _KEYFRAMES)]
    return work + [Work(extract_segment, anchors_alone, part) for part in parts]


def _pictures_to_decode(plan: Plan) -> list[set[int]]:
    """Anchors; steps; and with a step of the proxy the picture before, which may belong to another keyframe."""
    anchors = [{anchor} for anchor in plan.anchors]
    steps = [{step, before} if plan.backend == "proxy" else {step} for step, (before, _) in plan.references.items()]
    return anchors + steps


def run_segments(plan: Plan, work: list[Work], threads: int) -> Extract:
    """Do all work with up to `threads` workers, each with a decoder of its own."""
    local = threading.local()
    lock = threading.Lock()
    with ExitStack() as decoders:

        def do(task: Work) -> Extract:
            decoder: Decoder | None = local.__dict__.get("decoder")
            if decoder is None:
                decoder = local.decoder = Decoder(plan.path, plan.index, vectors=plan.backend == "libav")
                with lock:
                    decoders.enter_context(decoder)
            return merge(task.extract(decoder, task.plan, segment) for segment in task.segments)

        with ThreadPoolExecutor(max_workers=max(1, min(threads, len(work)))) as pool:
            return merge(pool.map(do, work))


def _assemble(
    video: Source, index: PictureIndex, plan: Plan, schedule: Schedule, extract: Extract, notes: list[str]
) -> tuple[tuple[Anchor, ...], tuple[Interval, ...]]:
    anchors: list[Anchor] = []
    intervals: list[Interval] = []
    lost = 0
    keys = set(video.keyframes.tolist())
    parts = zip(schedule.anchors.tolist(), schedule.reasons, schedule.stops.tolist(), schedule.steps, strict=True)
    for frame, why, stop, steps in parts:
        image = extract.images.get(int(index.order[frame]))
        if image is None:
            notes.append(
                f"The anchor at {video.times[frame]:.3f} s cannot be decoded: it is left out with its interval."
            )
            continue
        there = [f for f in steps.tolist() if int(index.order[f]) in extract.steps]
        lost += len(steps) - len(there)
        maps = _stack([extract.steps[int(index.order[f])] for f in there], plan.grid)
        frames = np.array(there, np.int64)
        intervals.append(Interval(len(anchors), frame + 1, stop, frames, video.times[frames], maps))
        anchors.append(Anchor(frame, float(video.times[frame]), frame in keys, image, why))
    if not anchors:
        raise VideoError(f"None of the anchors of {str(video.path)!r} can be decoded; the file is damaged.")
    if lost:
        notes.append(f"{lost} steps are left out: their pictures cannot be decoded.")
    return tuple(anchors), tuple(intervals)


def _stack(steps: list[Step], grid: tuple[int, int]) -> StepMaps:
    def rows(name: str, *shape: int) -> npt.NDArray[np.float32]:
        rows = np.empty((len(steps), *shape), np.float32)
        for k, step in enumerate(steps):
            rows[k] = step.__dict__[name]
        return rows

    return StepMaps(
        past=rows("past", 2, *grid),
        future=rows("future", 2, *grid),
        past_valid=rows("past_valid", *grid),
        future_valid=rows("future_valid", *grid),
        past_distance=rows("past_distance"),
        future_distance=rows("future_distance"),
        residual=rows("residual", 3, *grid),
        covered=rows("covered", *grid),
    )
