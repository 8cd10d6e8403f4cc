"""From a file to its `Timeline`: cuts, then the motion of a bounded number of pictures, then events."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from himmel._text import by_number
from himmel.choices import Backend as BackendChoice
from himmel.video.backends.choice import candidates, choose_backend
from himmel.video.backends.protocol import Backend
from himmel.video.describe.reading import Observation, choose_pictures, observe_pictures
from himmel.video.describe.results import Cut, Samples, Timeline
from himmel.video.describe.segments import find_segments
from himmel.video.describe.tracks import Sighting, follow
from himmel.video.file.opened import VideoFile
from himmel.video.scene import read_changes

# Pictures that are parsed for each second to tell cuts from other peaks of bits, and in all.
_PARSED_PER_SECOND = 2
_MOST_PARSED = 1000
# What a picture's intra-coded share must be for a cut, and the lengths to which encoders usually limit groups.
_LEAST_INTRA = 0.6
_USUAL_GROUPS = frozenset({12, 15, 24, 25, 30, 48, 50, 60, 72, 96, 100, 120, 125, 150, 180, 240, 250, 300, 500, 600})


@dataclass(frozen=True)
class DescribeRequest:
    """Checked arguments of `Video.describe`."""

    pictures_per_second: float
    max_pictures: int
    cell: int
    backend: BackendChoice
    threads: int


def describe(file: VideoFile, request: DescribeRequest, *, open_seconds: float) -> Timeline:
    """Carry out `Video.describe`."""
    begin = time.perf_counter()
    best = candidates(file.codec, request.backend)[0]
    most = min(_MOST_PARSED, 8 + int(_PARSED_PER_SECOND * file.duration))
    cuts = find_cuts(file, best, most)
    cut = time.perf_counter()

    several = len(file.times) > 1
    backend, reason = choose_backend(file, request.backend, has_steps=several)
    observed: list[Observation] = []
    notes = list(file.notes)
    if several:
        with backend.source(file, accumulate=backend.always_accumulates) as source:
            frames = choose_pictures(source, request.pictures_per_second, request.max_pictures)
            observed, damaged = observe_pictures(source, backend, frames, request.cell, request.threads)
        notes += _notes(file, request, len(frames), damaged)
    samples = samples_of(observed)
    times = [one.time for one in cuts]
    sightings = [Sighting(one.begin, one.end, one.blobs) for one in observed]
    width, height = file.displayed_size
    return Timeline(
        path=str(file.path),
        codec=file.codec,
        width=width,
        height=height,
        duration=file.duration,
        backend=backend.name,
        backend_reason=reason,
        num_frames=len(file.times),
        num_read=len(observed),
        camera=find_segments(samples, times, file.duration),
        regions=follow(sightings, times, file.displayed_size),
        cuts=cuts,
        samples=samples,
        notes=tuple(notes),
        seconds={"open": open_seconds, "cuts": cut - begin, "motion": time.perf_counter() - cut},
    )


def find_cuts(file: VideoFile, backend: Backend, most: int) -> tuple[Cut, ...]:
    """Cuts, surer than where anchors may well be put (`scene.find_changes`).

    A single group of pictures that is longer than the others is taken for one that a cut ended, unless encoders are
    often told to make groups no longer than that; and more of a picture has to be intra-coded, since flat noise is.

    Args:
        backend: the best that may read the file.
        most: at most so many pictures are parsed.
    """
    changes = read_changes(file, look_closer=backend.intra_shares, most=most)
    gaps = np.diff(file.keyframes)
    limit = int(gaps.max(initial=0))
    forced = set(file.keyframes[1:][gaps == limit].tolist()) if limit in _USUAL_GROUPS else set()
    numbers = {frame: int(file.index.order[frame]) for frame, reason in changes.items() if reason == "intra"}
    shares = (backend.intra_shares(file.with_references(), sorted(numbers.values())) or {}) if numbers else {}
    return tuple(
        Cut(float(file.times[frame]), reason)
        for frame, reason in changes.items()
        if not (reason == "keyframe" and frame in forced)
        and not (reason == "intra" and shares.get(numbers[frame], 0.0) < _LEAST_INTRA)
    )


def samples_of(observed: Sequence[Observation]) -> Samples:
    """What pictures say about the camera, as arrays."""
    nothing = (np.nan,) * 4
    cameras = [one.camera for one in observed]
    motion = [nothing if c is None else (c.pan, c.tilt, c.zoom, c.roll) for c in cameras]
    times = np.array([(one.begin + one.end) / 2 for one in observed], np.float64)
    return Samples(times, np.array(motion, np.float64).reshape(-1, 4))


def _notes(file: VideoFile, request: DescribeRequest, count: int, damaged: int) -> list[str]:
    notes = []
    rate = count / file.duration
    if rate < 0.5 * min(request.pictures_per_second, file.average_rate):
        notes.append(
            f"The video is long: only {rate:.2g} pictures a second were read, so that short movements may be missed;"
            " allow more pictures to see them."
        )
    if damaged:
        one = "{} of the pictures to be read is damaged or missing."
        notes.append(by_number(damaged, one, one.replace(" is ", " are ")))
    return notes
