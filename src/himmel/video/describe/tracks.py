"""Regions of single pictures, joined over time."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple, get_args

from himmel.video.describe.regions import Blob
from himmel.video.describe.results import Box, Direction, MovingRegion

DIRECTIONS: Final[tuple[Direction, ...]] = get_args(Direction)

# A region is lost after so many seconds, or so many of the usual distances between pictures that are read.
_GAP = 0.7
_GAP_STEPS = 2.5
# It goes on with what lies where it is expected, at most so many degrees another way and so many times as fast.
_TURN = 60
_FASTER = 3.0
# How far boxes may be off, as a share of the larger one's sides and in per cent of the picture.
_OFF = 0.25
_OFF_LEAST = 3.0
# A region that counts was found in so many pictures, and in this share of those that were read meanwhile.
_LEAST_SEEN = 3
_LEAST_SHARE = 0.5
# Per cent of the picture that is busy in it, see `Blob.busy`.
_LEAST_BUSY = 0.11


class Sighting(NamedTuple):
    """What moves in one picture.

    Attributes:
        begin, end: seconds, between which its vectors were measured.
        blobs: its regions.
    """

    begin: float
    end: float
    blobs: tuple[Blob, ...]

    @property
    def time(self) -> float:
        """The middle."""
        return (self.begin + self.end) / 2


@dataclass
class _Track:
    """A region that is being followed."""

    times: list[float]
    spans: list[tuple[float, float]]
    blobs: list[Blob]

    def expected(self, time: float, size: tuple[int, int]) -> Box:
        """Where it should be by now."""
        last, seconds = self.blobs[-1], time - self.times[-1]
        right, down = 100 * last.across.real * seconds / size[0], 100 * last.across.imag * seconds / size[1]
        box = last.box
        return Box(box.left + right, box.top + down, box.right + right, box.bottom + down)

    def course(self) -> complex:
        """Velocity against the scene over the last few pictures."""
        recent = self.blobs[-4:]
        return sum((blob.against for blob in recent), 0j) / len(recent)


def follow(sightings: Sequence[Sighting], cuts: Sequence[float], size: tuple[int, int]) -> tuple[MovingRegion, ...]:
    """Regions over time, in the order of their beginning.

    A region that turns by more than 60 degrees becomes another one, and so does one that is there again after a cut.

    Args:
        sightings: of the pictures that were read, in order.
        cuts: seconds, sorted.
        size: (width, height) of the picture in pixels.
    """
    gap = max(_GAP, _GAP_STEPS * _usual_distance([sighting.time for sighting in sightings]))
    active: list[_Track] = []
    done: list[_Track] = []
    ahead = list(cuts)
    for begin, end, blobs in sightings:
        time = (begin + end) / 2
        cut = False
        while ahead and ahead[0] <= time:
            ahead.pop(0)
            cut = True
        lost = [track for track in active if cut or time - track.times[-1] > gap]
        done += lost
        active = [track for track in active if track not in lost]
        _join(active, blobs, begin, end, size)
    done += active
    found = [_region(track, size) for track in done if _counts(track, sightings)]
    return tuple(sorted(found, key=lambda region: (region.start, region.end)))


def direction_of(right: float, down: float) -> Direction:
    """The nearest of eight directions, of a motion in pixels."""
    return DIRECTIONS[round(math.degrees(math.atan2(down, right)) / 45) % 8]


def _usual_distance(times: Sequence[float]) -> float:
    distances = sorted(b - a for a, b in pairwise(times))
    return distances[len(distances) // 2] if distances else 0.0


def _join(active: list[_Track], blobs: Iterable[Blob], begin: float, end: float, size: tuple[int, int]) -> None:
    """Give each blob to the track that it fits best, or begin a new one."""
    time = (begin + end) / 2
    expected = [track.expected(time, size) for track in active]
    given: dict[int, Blob] = {}
    fresh: list[Blob] = []
    for blob in blobs:
        fitting = [
            (_distance(box, blob.box), k)
            for k, (track, box) in enumerate(zip(active, expected, strict=True))
            if _overlap(box, blob.box) and _goes_on(track.course(), blob.against)
        ]
        if fitting:
            k = min(fitting)[1]
            given[k] = given[k].joined(blob) if k in given else blob
        else:
            fresh.append(blob)
    for k, blob in given.items():
        active[k].times.append(time)
        active[k].spans.append((begin, end))
        active[k].blobs.append(blob)
    active += [_Track([time], [(begin, end)], [blob]) for blob in fresh]


def _overlap(one: Box, other: Box) -> bool:
    across = max(_OFF_LEAST, _OFF * max(one.right - one.left, other.right - other.left))
    down = max(_OFF_LEAST, _OFF * max(one.bottom - one.top, other.bottom - other.top))
    return (
        one.left - across < other.right
        and other.left - across < one.right
        and one.top - down < other.bottom
        and other.top - down < one.bottom
    )


def _distance(one: Box, other: Box) -> float:
    return math.dist(one.centre, other.centre)


def _goes_on(course: complex, velocity: complex) -> bool:
    turn = abs(math.degrees(math.atan2((velocity * course.conjugate()).imag, (velocity * course.conjugate()).real)))
    return turn <= _TURN and 1 / _FASTER <= abs(velocity) / abs(course) <= _FASTER


def _counts(track: _Track, sightings: Sequence[Sighting]) -> bool:
    meanwhile = sum(track.times[0] <= sighting.time <= track.times[-1] for sighting in sightings)
    busy = sum(blob.busy for blob in track.blobs) / len(track.blobs)
    return len(track.times) >= max(_LEAST_SEEN, _LEAST_SHARE * meanwhile) and busy >= _LEAST_BUSY


def _region(track: _Track, size: tuple[int, int]) -> MovingRegion:
    weights = [blob.area for blob in track.blobs]
    total = sum(weights)
    mean = sum((w * blob.against for w, blob in zip(weights, track.blobs, strict=True)), 0j) / total
    return MovingRegion(
        start=min(begin for begin, _ in track.spans),
        end=max(end for _, end in track.spans),
        first_box=track.blobs[0].box,
        last_box=track.blobs[-1].box,
        dx=100 * mean.real / size[0],
        dy=100 * mean.imag / size[1],
        direction=direction_of(mean.real, mean.imag),
        area=total / len(weights),
        seen=len(track.blobs),
    )
