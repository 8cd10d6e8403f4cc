"""Frames where the codec says that something happens: a budget of n spent by bits, intra share and motion.

`scene` mode places an anchor at the beginning of each scene; this carries the idea on to any number of frames. Where
an encoder spends more than usual, more has changed; there frames are placed closer to each other, and
further apart where next to nothing changes. No picture is decoded, and nothing is trained.
"""

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from himmel.errors import UsageError
from himmel.video.file.index import PictureIndex
from himmel.video.file.opened import VideoFile
from himmel.video.schedule import Clock, make_distinct, nearest, place_anchors
from himmel.video.spending import cell_for, picture_bits, read_places

IntArray = npt.NDArray[np.int64]
TimeArray = npt.NDArray[np.floating[Any]]

LEAST: Final = 0.5
"""Frames are nowhere less dense than this share of uniform: no gap is longer than twice the uniform spacing."""
MOST: Final = 4.0
"""Frames are nowhere more dense than this many times uniform: no gap is shorter than a quarter of it."""
_NONE: Final = np.zeros(0, np.int64)
_PARSED_PER_FRAME = 4
_MOST_PARSED = 512


@dataclass(frozen=True, eq=False)
class EventFrames:
    """Chosen pictures.

    Attributes:
        frames: int64 [n], indices in presentation order, strictly increasing.
        density: float64 [T], how dense frames are placed around each picture, 1 for uniform.
        notes: sentences about what is not known.
    """

    frames: IntArray
    density: TimeArray
    notes: tuple[str, ...]


def check_bounds(least: float, most: float) -> None:
    """See that densities can stay within these bounds.

    Raises:
        UsageError: uniform does not lie between them.
    """
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (least, most))
    if not numbers or not 0 < least <= 1 <= most < math.inf:
        raise UsageError(
            f"least_density={least!r} and most_density={most!r} are no bounds around 1, which is uniform; give one "
            f"above 0 and up to 1, and one from 1 on, such as {LEAST} and {MOST}."
        )


def choose_event_frames(
    file: VideoFile, count: int, *, mode: Literal["exact", "keyframe"], least: float, most: float, threads: int
) -> EventFrames:
    """Carry out `Video.event_frames`; its arguments are checked already."""
    count = min(count, len(file.times))
    clock = Clock.without_pauses(file.times, file.duration, count)
    events, notes = read_events(file, parsed=min(_PARSED_PER_FRAME * count, _MOST_PARSED), threads=threads)
    smooth = smoothed(clock.times, clock.duration, events, clock.duration / count)
    density = bounded_density(clock.times, clock.duration, smooth, least=least, most=most)
    keyframes = file.keyframes if mode == "keyframe" else np.zeros(0, np.int64)
    frames = place_by_density(clock.times, clock.duration, density, count, keyframes)
    return EventFrames(frames, density, (*filter(None, [clock.note]), *notes))


def read_events(file: VideoFile, *, parsed: int, threads: int) -> tuple[TimeArray, tuple[str, ...]]:
    """How much happens at each picture, float64 [T], not negative, and sentences about what is not known.

    The mean of up to three signals, each divided by its own mean over the video: bits of each picture (a keyframe
    counts as its neighbours do, since it costs as much whether anything happens or not); and, where the stream can be
    parsed, motion and intra share of `parsed` pictures at most, spread evenly and interpolated.
    """
    signals = [_steady_bits(file.index)]
    pictures = np.flatnonzero(~file.index.key[file.index.order])
    # Never two of one, where there are fewer than wanted.
    chosen = pictures[np.unique(np.linspace(0, len(pictures) - 1, min(parsed, len(pictures))).round().astype(int))]
    numbers = file.index.order[chosen].tolist()
    places = read_places(file, numbers, cell=cell_for(*file.displayed_size), decode=False, threads=threads)
    there = [frame for frame, number in zip(chosen.tolist(), numbers, strict=True) if number in places.found]
    if there:
        found = [places.found[number] for number in file.index.order[there].tolist()]
        for values in ([one.motion.mean() for one in found], [one.intra for one in found]):
            signals.append(np.interp(file.times, file.times[there], values))
    scaled = [signal / signal.mean() for signal in signals if signal.any()]
    events = np.mean(scaled, axis=0) if scaled else np.ones(len(file.times))
    return events, () if there else places.notes


def smoothed(times: TimeArray, duration: float, events: TimeArray, width: float) -> TimeArray:
    """Means over `width` seconds around the middle of each picture, float64 [T]; less at the ends of the video."""
    edges = np.append(times, duration)
    total = np.append(0.0, np.cumsum(events * np.diff(edges)))
    middles = (edges[:-1] + edges[1:]) / 2
    begin, end = np.maximum(middles - width / 2, 0.0), np.minimum(middles + width / 2, duration)
    return (np.interp(end, edges, total) - np.interp(begin, edges, total)) / np.maximum(end - begin, 1e-12)


def bounded_density(times: TimeArray, duration: float, events: TimeArray, *, least: float, most: float) -> TimeArray:
    """In proportion to events, but within [least, most], with a mean of 1 over the duration: float64 [T].

    Args:
        times: float64 [T], sorted, in seconds, the first 0.
        duration: seconds, more than the last of them.
        events: float64 [T], not negative.
        least, most: bounds, 0 < least <= 1 <= most.
    """
    lengths = np.diff(np.append(times, duration)) / duration
    peak = float(events.max())
    if peak <= 0 or np.ptp(events) <= 1e-9 * peak:
        return np.ones(len(times))
    # Nothing at all counts as a little, so that what the bounds leave over has somewhere to go.
    scaled = events / peak + 1e-6

    def clipped(factor: float) -> TimeArray:
        return np.clip(factor * scaled, least, most)

    low, high = least / 2, 2e6 * most
    for _ in range(200):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if clipped(middle) @ lengths < 1 else (low, middle)
    return clipped(high)


def place_by_density(
    times: TimeArray, duration: float, density: TimeArray, count: int, keyframes: IntArray = _NONE
) -> IntArray:
    """The pictures nearest to where each of `count` equal shares of the density begins: int64 [count], increasing.

    With the same density everywhere these are the uniform frames of `place_anchors`.

    Args:
        times, duration, density: see `bounded_density`.
        count: at most as many as there are pictures.
        keyframes: int64 [K], sorted indices of pictures that are taken instead where one is nearer to that place than
            to those before and after it.
    """
    if not np.ptp(density):
        mode: Literal["exact", "keyframe"] = "keyframe" if len(keyframes) else "exact"
        return place_anchors(times, duration, keyframes, count, mode)
    edges = np.append(times, duration)
    total = np.append(0.0, np.cumsum(density * np.diff(edges)))
    wanted = np.interp(total[-1] * np.arange(count) / count, total, edges)
    chosen = nearest(times, wanted)
    if len(keyframes):
        between = (wanted[1:] + wanted[:-1]) / 2
        candidate = keyframes[nearest(times[keyframes], wanted)]
        # Half-open windows: no keyframe can serve two frames.
        inside = (times[candidate] >= np.append(-np.inf, between)) & (times[candidate] < np.append(between, np.inf))
        chosen = np.maximum.accumulate(np.where(inside, candidate, chosen))
    return make_distinct(chosen, 0, len(times))


def _steady_bits(index: PictureIndex) -> TimeArray:
    """Bits of each shown picture, float64 [T], a keyframe's exchanged for what its neighbours take."""
    bits = picture_bits(index)[index.order].astype(np.float64)
    plain = np.flatnonzero(~index.key[index.order])
    return np.interp(np.arange(len(bits)), plain, bits[plain]) if len(plain) else bits
