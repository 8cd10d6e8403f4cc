"""From a request to a `Decomposition`: schedule, choice of backend, reading, assembly."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from himmel._text import by_number
from himmel.choices import AnchorMode
from himmel.choices import Backend as BackendChoice
from himmel.errors import VideoError
from himmel.video.backends.choice import candidates, choose_backend
from himmel.video.backends.protocol import Backend, Extract, Step, Wanted
from himmel.video.backends.workers import run_work
from himmel.video.file.opened import VideoFile
from himmel.video.maps.raster import grid_shape
from himmel.video.repair import replace_damaged
from himmel.video.results import Anchor, Decomposition, Interval, StepMaps
from himmel.video.scene import place_scene_anchors, read_changes
from himmel.video.schedule import Clock, place_anchors, place_steps

IntArray = npt.NDArray[np.int64]
_PARSED_PER_ANCHOR = 4


@dataclass(frozen=True)
class Request:
    """Checked arguments of `Video.decompose`."""

    num_anchors: int
    anchor_mode: AnchorMode
    steps_per_interval: int
    cell: int
    backend: BackendChoice
    max_anchor_pixels: int | None
    accumulate: bool
    threads: int


@dataclass(frozen=True, eq=False)
class Outcome:
    """What was wanted of a backend, what it gave, and what it has to say."""

    wanted: Wanted
    extract: Extract
    notes: tuple[str, ...]


def decompose(file: VideoFile, request: Request, *, sha256: str | None, open_seconds: float) -> Decomposition:
    """Carry out `Video.decompose`."""
    begin = time.perf_counter()
    clock = Clock.without_pauses(file.times, file.duration, request.num_anchors)
    notes = [*file.notes, *filter(None, [clock.note])]
    anchors, reasons = _place_anchors(file, clock, request)
    if len(anchors) < request.num_anchors:
        notes.append(
            f"{request.num_anchors} anchors were requested, but the video has only "
            + by_number(len(file.times), "{} picture", "{} pictures")
            + by_number(len(anchors), ": {} anchor is used.", ": {} anchors are used.")
        )
    has_steps = bool((_stops(anchors, len(file.times)) - anchors > 1).any())
    backend, reason = choose_backend(file, request.backend, has_steps=has_steps)
    accumulate = request.accumulate or backend.always_accumulates
    probed = time.perf_counter()

    with backend.source(file, accumulate=accumulate) if has_steps else nullcontext(file) as source:
        read = partial(_read, file, source, clock, backend, request, accumulate=accumulate)
        outcome = read(anchors)
        moved, repairs = replace_damaged(file, anchors, outcome.extract)
        if not np.array_equal(moved, anchors):
            outcome = read(moved)
    notes += [*outcome.notes, *repairs]
    done = time.perf_counter()

    found, num_damaged = _assemble(outcome, reasons, notes)
    width, height = file.displayed_size
    return Decomposition(
        path=str(file.path),
        sha256=sha256,
        codec=file.codec,
        width=width,
        height=height,
        duration=file.duration,
        num_frames=len(file.times),
        average_rate=file.average_rate,
        backend=backend.name,
        backend_reason=reason,
        residual_kind=backend.residual_kind,
        distance_kind=backend.distance_kind,
        accumulated=accumulate,
        cell=request.cell,
        grid=grid_shape(width, height, request.cell),
        anchors=tuple(anchor for anchor, _ in found),
        intervals=tuple(interval for _, interval in found),
        num_vectors=sum(step.num_vectors for step in outcome.extract.steps.values()),
        num_damaged=num_damaged,
        notes=tuple(notes),
        seconds={"open": open_seconds, "probe": probed - begin, "extract": done - probed},
    )


def _read(
    file: VideoFile,
    source: VideoFile,
    clock: Clock,
    backend: Backend,
    request: Request,
    anchors: IntArray,
    *,
    accumulate: bool,
) -> Outcome:
    """Place steps between anchors, and have the backend read both."""
    steps = _place_steps(clock, anchors, source.keyframes, request.steps_per_interval)
    wanted = Wanted(file, source, anchors, steps, request.cell, request.max_anchor_pixels, accumulate)
    reading = backend.plan(wanted)
    return Outcome(wanted, run_work(reading.work, request.threads), reading.notes)


def _place_anchors(file: VideoFile, clock: Clock, request: Request) -> tuple[IntArray, tuple[str, ...]]:
    """Anchors, and why each is one; from times alone, except in the mode "scene" (see `read_changes`)."""
    if request.anchor_mode != "scene":
        anchors = place_anchors(clock.times, clock.duration, file.keyframes, request.num_anchors, request.anchor_mode)
        return anchors, ("uniform",) * len(anchors)
    best = candidates(file.codec, request.backend)[0]
    changes = read_changes(file, look_closer=best.intra_shares, most=_PARSED_PER_ANCHOR * request.num_anchors)
    return place_scene_anchors(clock.times, clock.duration, file.keyframes, changes, request.num_anchors)


def _place_steps(clock: Clock, anchors: IntArray, keyframes: IntArray, max_steps: int) -> tuple[IntArray, ...]:
    stops, ends = _stops(anchors, len(clock.times)), np.append(clock.times[anchors[1:]], clock.duration)
    return tuple(
        place_steps(clock.times, int(anchor), int(stop), float(end), keyframes, max_steps)
        for anchor, stop, end in zip(anchors, stops, ends, strict=True)
    )


def _stops(anchors: IntArray, num_frames: int) -> IntArray:
    """The end of each interval, int64 [n], a presentation index."""
    return np.append(anchors[1:], num_frames)


def _assemble(
    outcome: Outcome, reasons: tuple[str, ...], notes: list[str]
) -> tuple[list[tuple[Anchor, Interval]], int]:
    """Put anchors and steps in order, and count damaged pictures; `notes` gets sentences about lost ones."""
    wanted, extract = outcome.wanted, outcome.extract
    file, source = wanted.file, wanted.source
    grid = grid_shape(*file.displayed_size, wanted.cell)
    found: list[tuple[Anchor, Interval]] = []
    lost: set[int] = set()
    keys = set(file.keyframes.tolist())
    stops = _stops(wanted.anchors, len(file.times))
    for frame, why, stop, steps in zip(wanted.anchors.tolist(), reasons, stops.tolist(), wanted.steps, strict=True):
        image = extract.images.get(int(file.index.order[frame]))
        if image is None:
            notes.append(
                f"The anchor at {file.times[frame]:.3f} s cannot be decoded: it and its interval are left out."
            )
            continue
        numbers = {f: int(source.index.order[f]) for f in steps.tolist()}
        there = {f: number for f, number in numbers.items() if number in extract.steps}
        lost.update(number for number in numbers.values() if number not in extract.steps)
        maps = _stack([extract.steps[number] for number in there.values()], grid)
        frames = np.array(list(there), np.int64)
        anchor = Anchor(frame, float(file.times[frame]), frame in keys, image, why)
        found.append((anchor, Interval(len(found), frame + 1, stop, frames, file.times[frames], maps)))
    if (lost or len(found) < len(wanted.anchors)) and isinstance(extract.refusal, MemoryError):
        raise VideoError(
            f"There is no memory for all pictures of {str(file.path)!r}; free some, or leave the file out."
        ) from extract.refusal
    if not found:
        raise VideoError(f"None of the anchors of {str(file.path)!r} can be decoded; the file is damaged.")
    notes += _damage_notes(file, extract, lost)
    without = len(wanted.anchors) - len(found)
    return found, len(extract.damaged | (lost - extract.resized)) + without


def _damage_notes(file: VideoFile, extract: Extract, lost: set[int]) -> list[str]:
    """Sentences about pictures that are damaged or of another size."""
    first = f"the first ({file.format.width} x {file.format.height})"
    counts = [
        (
            lost - extract.resized,
            "{} step is left out: its picture cannot be decoded.",
            "{} steps are left out: their pictures cannot be decoded.",
        ),
        (
            lost & extract.resized,
            f"{{}} step is left out: its picture has another size than {first}.",
            f"{{}} steps are left out: their pictures have another size than {first}.",
        ),
        (
            extract.resized - lost,
            f"{{}} of the pictures read has another size than {first}: it is scaled to that size.",
            f"{{}} of the pictures read have another size than {first}: they are scaled to that size.",
        ),
        (
            extract.damaged - lost,
            "{} of the pictures read is damaged: its missing parts are guessed, or left out of its maps.",
            "{} of the pictures read are damaged: their missing parts are guessed, or left out of their maps.",
        ),
    ]
    return [by_number(len(numbers), one, many) for numbers, one, many in counts if numbers]


def _stack(steps: list[Step], grid: tuple[int, int]) -> StepMaps:
    def rows(read: Callable[[Step], npt.ArrayLike], *shape: int) -> npt.NDArray[np.float32]:
        rows = np.empty((len(steps), *shape), np.float32)
        for k, step in enumerate(steps):
            rows[k] = read(step)
        return rows

    return StepMaps(
        past=rows(lambda step: step.past, 2, *grid),
        future=rows(lambda step: step.future, 2, *grid),
        past_valid=rows(lambda step: step.past_valid, *grid),
        future_valid=rows(lambda step: step.future_valid, *grid),
        past_distance=rows(lambda step: step.past_distance),
        future_distance=rows(lambda step: step.future_distance),
        residual=rows(lambda step: step.residual, 3, *grid),
        covered=rows(lambda step: step.covered, *grid),
    )
