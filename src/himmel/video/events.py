"""Frames where the codec says that something happens: a budget of n spent by scenes, bits, intra share and motion.

The mode `scene` places an anchor at the beginning of each scene; this carries the idea on to any number of frames.
Where an encoder spends more than usual, more has changed; there frames are placed closer to each other, and further
apart where next to nothing changes. Scenes begin with a frame. No picture is decoded, and nothing is trained.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from himmel.errors import UsageError
from himmel.video.backends.choice import candidates
from himmel.video.file.index import PictureIndex
from himmel.video.file.opened import VideoFile
from himmel.video.scene import read_changes
from himmel.video.schedule import Clock, make_distinct, nearest, place_anchors
from himmel.video.spending import cell_for, picture_bits, read_places

IntArray = npt.NDArray[np.int64]
TimeArray = npt.NDArray[np.floating[Any]]

LEAST: Final = 0.5
"""Frames are nowhere less dense than this share of uniform: in a video of one scene no gap is longer than twice the
uniform spacing. With S scenes that begin with one of n frames none is longer than n / (n - S + 1) times that, which is
less than four times, as S is at most three quarters of n."""
MOST: Final = 4.0
"""Frames are nowhere more dense than this many times uniform: in a video of one scene no gap is shorter than a quarter
of the uniform spacing."""
_LEAST_SHARE = 0.25
_NONE: Final = np.zeros(0, np.int64)
_PARSED_PER_FRAME = 4
_MOST_PARSED = 512


@dataclass(frozen=True, eq=False)
class EventFrames:
    """Chosen pictures.

    Attributes:
        frames: int64 [n], indices in presentation order, strictly increasing.
        reasons: why each was chosen: "start", "events", or what showed that a scene begins (see `scene.find_changes`).
        density: float64 [T], how dense frames are placed around each picture, 1 for uniform.
        notes: sentences about what is not known.
    """

    frames: IntArray
    reasons: tuple[str, ...]
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
    best = candidates(file.codec, "auto")[0]
    changes = read_changes(file, look_closer=best.intra_shares, most=_PARSED_PER_FRAME * count)
    begins = worthy_scenes(clock.times, clock.duration, density, count, changes)
    keyframes = file.keyframes if mode == "keyframe" else _NONE
    frames = place_by_density(clock.times, clock.duration, density, count, begins=begins, keyframes=keyframes)
    reasons = {0: "start"} | {frame: changes[frame] for frame in begins[1:]}
    return EventFrames(
        frames=frames,
        reasons=tuple(reasons.get(frame, "events") for frame in frames.tolist()),
        density=density,
        notes=(*filter(None, [clock.note]), *notes),
    )


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
    times: TimeArray,
    duration: float,
    density: TimeArray,
    count: int,
    *,
    begins: Sequence[int] = (0,),
    keyframes: IntArray = _NONE,
) -> IntArray:
    """Pictures by equal shares of the density: int64 [count], increasing.

    Each scene gets one for its first picture, and the rest are dealt one by one to the scene whose shares are largest;
    within a scene shares are equal, and a frame is the picture nearest to where its share begins. With one scene and
    the same density everywhere these are the uniform frames of `place_anchors`.

    Args:
        times, duration, density: see `bounded_density`.
        count: at most as many as there are pictures.
        begins: first pictures of the scenes, increasing, the first 0; see `worthy_scenes`.
        keyframes: int64 [K], sorted indices of pictures that are taken instead where one is nearer to the place of a
            frame than to those before and after it in its scene; not for the first of a scene.
    """
    if len(begins) == 1 and not np.ptp(density):
        mode: Literal["exact", "keyframe"] = "keyframe" if len(keyframes) else "exact"
        return place_anchors(times, duration, keyframes, count, mode)
    edges, total = np.append(times, duration), _shares(times, duration, density, count)
    firsts, stops = np.array(begins), np.array([*begins[1:], len(times)])
    masses = total[stops] - total[firsts]
    dealt = np.ones(len(firsts), np.int64)
    for _ in range(count - len(firsts)):
        dealt[np.argmax(np.where(dealt < stops - firsts, masses / dealt, -1.0))] += 1
    frames: list[int] = []
    for first, stop, mass, number in zip(firsts.tolist(), stops.tolist(), masses, dealt.tolist(), strict=True):
        wanted = np.interp(total[first] + mass * np.arange(1, number) / number, total, edges)
        chosen = nearest(times, wanted)
        if len(keyframes):
            chosen = _at_keyframes(times, wanted, chosen, keyframes, (edges[first], edges[stop]))
        frames += [first, *make_distinct(chosen, first + 1, stop).tolist()]
    return np.array(frames, np.int64)


def worthy_scenes(
    times: TimeArray, duration: float, density: TimeArray, count: int, changes: Iterable[int]
) -> list[int]:
    """First pictures of the scenes that get a frame of their own, the first 0.

    A scene that holds less than a quarter of a frame's share of the density belongs to the one before it; and so does
    the smallest, as long as there are more scenes than three quarters as many as frames.

    Args:
        times, duration, density: see `bounded_density`.
        count: of frames.
        changes: first pictures of scenes, increasing, above 0.
    """
    total = _shares(times, duration, density, count)
    begins = [0]
    for frame in changes:
        if total[frame] - total[begins[-1]] >= _LEAST_SHARE and total[-1] - total[frame] >= _LEAST_SHARE:
            begins.append(frame)
    while len(begins) > max(1, 3 * count // 4):
        masses = np.diff(np.append(total[begins], total[-1]))
        del begins[1 + int(np.argmin(masses[1:]))]
    return begins


def _shares(times: TimeArray, duration: float, density: TimeArray, count: int) -> TimeArray:
    """How many frames' shares of the density lie before each picture and before the end, [T + 1]."""
    total = np.append(0.0, np.cumsum(density * np.diff(np.append(times, duration))))
    return total * (count / total[-1])


def _at_keyframes(
    times: TimeArray, wanted: TimeArray, chosen: IntArray, keyframes: IntArray, scene: tuple[float, float]
) -> IntArray:
    between = (np.append(scene[0], wanted[:-1]) + wanted) / 2, (np.append(wanted[1:], scene[1]) + wanted) / 2
    candidate = keyframes[nearest(times[keyframes], wanted)]
    # Half-open windows: no keyframe can serve two frames.
    inside = (times[candidate] >= between[0]) & (times[candidate] < between[1])
    return np.maximum.accumulate(np.where(inside, candidate, chosen))


def _steady_bits(index: PictureIndex) -> TimeArray:
    """Bits of each shown picture, float64 [T], a keyframe's exchanged for what its neighbours take."""
    bits = picture_bits(index)[index.order].astype(np.float64)
    plain = np.flatnonzero(~index.key[index.order])
    return np.interp(np.arange(len(bits)), plain, bits[plain]) if len(plain) else bits
