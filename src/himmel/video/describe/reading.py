"""Which pictures are read for a description, and what is kept of each: a few numbers, never its maps."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from himmel.choices import ResidualKind
from himmel.video.backends.protocol import Backend, Found, Step
from himmel.video.describe.camera import camera_motion, fit_camera, read_field
from himmel.video.describe.regions import Blob, find_blobs
from himmel.video.describe.results import CameraMotion
from himmel.video.file.decoder import Segment, Stopped, plan_segments
from himmel.video.file.opened import VideoFile
from himmel.video.file.workers import Decoders, run_tasks
from himmel.video.schedule import place_steps

IntArray = npt.NDArray[np.int64]

# Pictures that one worker reads in a row, at least.
_PER_TASK = 32


@dataclass(frozen=True)
class Observation:
    """What one picture's vectors say.

    Attributes:
        begin, end: seconds between which they were measured.
        camera: None where they follow no common motion.
        blobs: what moves against the scene; empty without a camera.
    """

    begin: float
    end: float
    camera: CameraMotion | None
    blobs: tuple[Blob, ...]


def choose_pictures(file: VideoFile, per_second: float, most: int) -> IntArray:
    """Pictures to read, evenly spread over the video: presentation indices, no keyframes where others are near."""
    count = min(most, max(1, round(per_second * file.duration)), len(file.times) - 1)
    return place_steps(file.times, 0, len(file.times), file.duration, file.keyframes, count)


def observe_pictures(
    file: VideoFile, backend: Backend, frames: IntArray, cell: int, threads: int
) -> tuple[list[Observation], int]:
    """What chosen pictures say, in order of time, and how many of them are damaged.

    One picture's maps are held at a time by each worker.

    Args:
        file: as `Backend.source` gave it.
        frames: presentation indices.
    """
    numbers = file.index.order[frames].tolist()
    segments = plan_segments(file.index, [{number} for number in numbers])
    read = [
        partial(_observe_stretch, file=file, backend=backend, segments=part, cell=cell) for part in _parts(segments)
    ]
    found: dict[int, Observation] = {}
    damaged: set[int] = set()
    for observed, broken in run_tasks(read, threads):
        found |= observed
        damaged |= broken
    there = [found[number] for number in numbers if number in found]
    return sorted(there, key=lambda one: one.begin + one.end), len(damaged) + len(numbers) - len(there)


def _parts(segments: list[Segment]) -> Iterator[list[Segment]]:
    """Neighbouring segments, so many together that opening the file is worth it."""
    part: list[Segment] = []
    for segment in segments:
        part.append(segment)
        if sum(len(one.wanted) for one in part) >= _PER_TASK:
            yield part
            part = []
    if part:
        yield part


def _observe_stretch(
    decoders: Decoders, *, file: VideoFile, backend: Backend, segments: list[Segment], cell: int
) -> tuple[dict[int, Observation], set[int]]:
    observed: dict[int, Observation] = {}
    damaged: set[int] = set()
    for found in backend.every(file, segments, cell):
        if decoders.stopping:
            raise Stopped
        observed[found.number] = _observe(file, found, cell, backend.residual_kind)
        if found.damaged:
            damaged.add(found.number)
    return observed, damaged


def _observe(file: VideoFile, found: Found, cell: int, kind: ResidualKind) -> Observation:
    """The numbers that are kept of a picture."""
    frame = int(np.searchsorted(file.index.rank[file.index.order], file.index.rank[found.number]))
    begin, end, intervals = _span(file, found.step, frame)
    field = read_field(found.step, file.displayed_size, cell, kind)
    fit = fit_camera(field)
    if not fit.certain or end <= begin:
        return Observation(begin, end, None, ())
    rate = intervals / (end - begin)
    camera = camera_motion(fit, field, file.displayed_size, rate)
    return Observation(begin, end, camera, find_blobs(field, fit, file.displayed_size, cell, rate))


def _span(file: VideoFile, step: Step, frame: int) -> tuple[float, float, int]:
    """From when to when a picture's vectors lead, in seconds, and over how many frame intervals."""
    first = max(frame - round(step.past_distance), 0)
    last = min(frame + round(step.future_distance), len(file.times) - 1)
    return float(file.times[first]), float(file.times[last]), last - first
