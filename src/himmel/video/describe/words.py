"""A time line in plain sentences, and as much of it as fits in a budget."""

import math
import operator
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from himmel._text import by_number
from himmel.errors import UsageError
from himmel.video.describe.results import Box, CameraMotion, CameraSegment, Cut, MovingRegion, Timeline

# Below this, in per cent or degrees a second, a camera stands still; components that change the picture's edge less
# than this share of the strongest are not named.
_STILL = 1.5
_MINOR = 0.2
# A camera that goes to and fro by this much, and more than it goes anywhere, shakes.
_SHAKES = 5.0
# Segments that are told in the same words are told as one if their speeds differ by no more than this.
_LIKE = 1.5
# One degree turns the edge of a picture by so many per cent of its width, half of it away from the middle.
_EDGE_OF_DEGREE = 100 * np.pi / 180 / 2
# What matters: how far something moves, by its speed up to this (per cent a second), times its share of the picture's
# width; the camera, which moves all of it, twice. At rest a camera counts as if it moved by so much.
_CLEAR = 30.0
_LEAST_WEIGHT = 2.0
# More cuts than these are counted, not listed.
_MOST_CUTS = 24
_PLACES = (
    ("top left", "top middle", "top right"),
    ("middle left", "middle", "middle right"),
    ("bottom left", "bottom middle", "bottom right"),
)


class _Event(NamedTuple):
    """A sentence, when it begins, and how much it matters."""

    start: float
    sentence: str
    weight: float


def sentences(timeline: Timeline) -> list[str]:
    """A sentence for each event, in order of time."""
    return [event.sentence for event in _events(timeline)]


def text(timeline: Timeline, *, budget: int | None, count: Callable[[str], int] | None) -> str:
    """Carry out `Timeline.text`."""
    events = _events(timeline)
    whole = _write(timeline, events, left_out=0)
    if budget is None:
        return whole
    try:
        limit = operator.index(budget)
    except TypeError:
        raise UsageError(f"budget={budget!r} is no whole number; give the most tokens or words for the text.") from None
    measure = count or _count_words
    if measure(whole) <= limit:
        return whole
    # By weight, and in the order of time among equals: what is kept with less room is kept with more.
    ranked = sorted(range(len(events)), key=lambda k: -events[k].weight)

    def fitted(kept: int) -> str:
        return _write(timeline, [events[k] for k in sorted(ranked[:kept])], left_out=len(events) - kept)

    least, most = -1, len(events) - 1
    while least < most:
        middle = (least + most + 1) // 2
        if measure(fitted(middle)) <= limit:
            least = middle
        else:
            most = middle - 1
    if least < 0:
        raise UsageError(
            f"budget={budget} is too small for a time line; the shortest takes {measure(fitted(0))}, give at least"
            " that."
        )
    return fitted(least)


def place_of(box: Box) -> str:
    """In which of the nine thirds of the picture the middle of a box lies."""
    across, down = box.centre
    return _PLACES[min(max(int(down * 3 / 100), 0), 2)][min(max(int(across * 3 / 100), 0), 2)]


def camera_words(motion: CameraMotion) -> str:
    """What the camera does, with its speeds; "is still" if it does nothing."""
    parts = [
        (abs(motion.pan), abs(motion.pan), "pans right" if motion.pan > 0 else "pans left", "% a second"),
        (abs(motion.tilt), abs(motion.tilt), "tilts up" if motion.tilt > 0 else "tilts down", "% a second"),
        (abs(motion.zoom), abs(motion.zoom) / 2, "zooms in" if motion.zoom > 0 else "zooms out", "% a second"),
        (
            abs(motion.roll),
            abs(motion.roll) * _EDGE_OF_DEGREE,
            "rolls clockwise" if motion.roll > 0 else "rolls counterclockwise",
            "degrees a second",
        ),
    ]
    strongest = max(effect for _, effect, _, _ in parts)
    named = [part for part in parts if part[0] >= _STILL and part[1] >= _MINOR * strongest]
    told = [f"{verb} by {speed:.0f} {unit}" for speed, _, verb, unit in sorted(named, key=lambda part: -part[1])]
    return " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told) or "is still"


def segment_words(segment: CameraSegment, regions: Sequence[MovingRegion]) -> str:
    """What is to be said of a stretch of the camera's motion, as a clause.

    Args:
        regions: what moves, then or at other times: "nothing moves" only where none of them does.
    """
    if segment.motion is None:
        return "how the camera moves cannot be told"
    words = camera_words(segment.motion)
    if words != "is still":
        return f"the camera {words}"
    if segment.shake >= _SHAKES:
        return "the camera shakes"
    if not any(region.start < segment.end and region.end > segment.start for region in regions):
        return "nothing moves"
    return "the camera is still"


def region_words(region: MovingRegion) -> str:
    """What is to be said of something that moves, as a clause."""
    first, last = place_of(region.first_box), place_of(region.last_box)
    where = f"in the {first}" if first == last else f"from the {first} to the {last}"
    size = "less than 1 %" if region.area < 1 else f"{region.area:.0f} %"
    return f"something {where} moves {region.direction} by {region.speed:.0f} % a second ({size} of the picture)"


def _count_words(words: str) -> int:
    return len(words.split())


def _write(timeline: Timeline, events: Sequence[_Event], *, left_out: int) -> str:
    lines = [f"Motion in the video ({timeline.duration:.1f} s; % are of the picture's width or height):"]
    lines += [event.sentence for event in events]
    if left_out:
        lines.append(
            by_number(left_out, "{} less important event is left out.", "{} less important events are left out.")
        )
    return "\n".join(lines)


def _events(timeline: Timeline) -> list[_Event]:
    cuts = [_cut_event(timeline.cuts)] if timeline.cuts else []
    camera = [_camera_event(segment, timeline.regions) for segment in _without_repeats(timeline.camera, timeline)]
    regions = [_region_event(region) for region in timeline.regions]
    # First the cuts; at the same time the camera, then what moves.
    return sorted(cuts + camera + regions, key=lambda event: event.start)


def _cut_event(cuts: Sequence[Cut]) -> _Event:
    """All cuts in one sentence, since most of the others are about what lies between two of them."""
    if len(cuts) > _MOST_CUTS:
        first, last = cuts[0].time, cuts[-1].time
        words = f"{len(cuts)} cuts to other scenes, from {first:.1f} to {last:.1f} s."
    else:
        times = [f"{cut.time:.1f}" for cut in cuts]
        several = f"Cuts to other scenes at {', '.join(times[:-1])} and {times[-1]} s."
        words = several if len(cuts) > 1 else f"Cut to another scene at {times[0]} s."
    return _Event(-1.0, words, math.inf)


def _camera_event(segment: CameraSegment, regions: Sequence[MovingRegion]) -> _Event:
    seconds = segment.end - segment.start
    sentence = f"{segment.start:.1f}-{segment.end:.1f} s: {segment_words(segment, regions)}."
    motion = segment.motion
    if motion is None:
        return _Event(segment.start, sentence, seconds)
    weight = _LEAST_WEIGHT * seconds
    if camera_words(motion) == "is still":
        return _Event(segment.start, sentence, 2 * weight if segment.shake >= _SHAKES else weight)
    speed = max(abs(motion.pan), abs(motion.tilt), abs(motion.zoom) / 2, abs(motion.roll) * _EDGE_OF_DEGREE)
    return _Event(segment.start, sentence, weight + 2 * min(speed, _CLEAR) * seconds)


def _region_event(region: MovingRegion) -> _Event:
    sentence = f"{region.start:.1f}-{region.end:.1f} s: {region_words(region)}."
    way = min(region.speed, _CLEAR) * (region.end - region.start)
    return _Event(region.start, sentence, way * min(1.0, float(np.sqrt(region.area / 10))))


def _without_repeats(segments: Sequence[CameraSegment], timeline: Timeline) -> list[CameraSegment]:
    """Segments, neighbours that would be told in the same words and at nearly the same speed made one."""
    joined: list[CameraSegment] = []
    cuts = {cut.time for cut in timeline.cuts}
    for segment in segments:
        before = joined[-1] if joined else None
        if before is not None and segment.start not in cuts and _are_alike(before, segment):
            joined[-1] = _joined(before, segment)
        else:
            joined.append(segment)
    return joined


def _are_alike(one: CameraSegment, other: CameraSegment) -> bool:
    if one.motion is None or other.motion is None:
        return one.motion is other.motion
    if _verbs(one.motion) != _verbs(other.motion):
        return False
    speeds = [np.linalg.norm((m.pan, m.tilt, m.zoom, m.roll)) for m in (one.motion, other.motion)]
    return _verbs(one.motion) == "is still" or max(speeds) <= _LIKE * min(speeds)


def _verbs(motion: CameraMotion) -> str:
    """What the camera does, without speeds."""
    return "".join(letter for letter in camera_words(motion) if not letter.isdigit())


def _joined(one: CameraSegment, other: CameraSegment) -> CameraSegment:
    if one.motion is None or other.motion is None:
        return CameraSegment(one.start, other.end, None)
    lengths = np.array([one.end - one.start, other.end - other.start])
    share = lengths / lengths.sum()
    first, second = (np.array([m.pan, m.tilt, m.zoom, m.roll]) for m in (one.motion, other.motion))
    mean = CameraMotion(*map(float, share[0] * first + share[1] * second))
    spread = share[0] * one.shake**2 + share[1] * other.shake**2
    return CameraSegment(one.start, other.end, mean, float(np.sqrt(spread)))
