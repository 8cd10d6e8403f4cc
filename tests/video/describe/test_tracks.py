"""Regions over time: blobs of known paths, gaps, turns and cuts."""

from collections.abc import Callable

import numpy as np
import pytest

from himmel.video.describe.regions import Blob
from himmel.video.describe.results import Box
from himmel.video.describe.tracks import DIRECTIONS, Sighting, direction_of, follow

SIZE = 640, 360
STEP = 0.125


def blob(
    x: float, y: float, right: float, down: float, *, pan: complex = 0j, side: float = 12, busy: float = 1
) -> Blob:
    """A square whose middle is at (x, y) per cent, moving by per cent a second against the scene."""
    against = complex(right / 100 * SIZE[0], down / 100 * SIZE[1])
    box = Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    return Blob(box, side * side / 100, against, against + pan, busy)


def sightings(count: int, seen: Callable[[float], tuple[Blob, ...]]) -> list[Sighting]:
    return [Sighting(k * STEP, k * STEP + 0.04, seen(k * STEP)) for k in range(count)]


def test_a_region_has_its_time_place_and_course() -> None:
    def seen(t: float) -> tuple[Blob, ...]:
        return (blob(20 + 30 * (t - 0.5), 50, 30, 0),) if 0.5 <= t <= 1.5 else ()

    (region,) = follow(sightings(20, seen), [], SIZE)
    assert (region.start, region.end) == (0.5, pytest.approx(1.54))
    assert (region.dx, region.dy, region.direction) == (pytest.approx(30), pytest.approx(0), "right")
    assert region.first_box.centre == pytest.approx((20, 50))
    assert region.last_box.centre == pytest.approx((50, 50))
    assert region.area == pytest.approx(1.44)
    assert region.seen == 9


def test_a_short_gap_is_bridged_and_a_long_one_is_not() -> None:
    for gap, number in ((0.3, 1), (1.2, 2)):
        times = (1.0, 1.0 + gap)

        def seen(t: float, times: tuple[float, float] = times) -> tuple[Blob, ...]:
            hidden = times[0] < t <= times[1]
            return () if hidden or t > 3 else (blob(10 + 20 * t, 40, 20, 0),)

        assert len(follow(sightings(24, seen), [], SIZE)) == number


def test_a_turn_and_a_cut_each_begin_another_region() -> None:
    def turns(t: float) -> tuple[Blob, ...]:
        return (blob(20 + 20 * t, 30, 20, 0),) if t < 1 else (blob(40, 30 + 20 * (t - 1), 0, 20),)

    assert [region.direction for region in follow(sightings(16, turns), [], SIZE)] == ["right", "down"]

    def straight(t: float) -> tuple[Blob, ...]:
        return (blob(20 + 20 * t, 30, 20, 0),)

    assert len(follow(sightings(16, straight), [], SIZE)) == 1
    before, after = follow(sightings(16, straight), [1.0], SIZE)
    assert before.end <= 1.0 <= after.start


def test_two_that_cross_stay_two() -> None:
    def seen(t: float) -> tuple[Blob, ...]:
        return blob(10 + 40 * t, 40, 40, 0), blob(90 - 40 * t, 44, -40, 0)

    found = follow(sightings(17, seen), [], SIZE)
    assert sorted(region.direction for region in found) == ["left", "right"]
    assert all(region.seen == 17 for region in found)


def test_pieces_of_one_region_are_joined() -> None:
    def seen(t: float) -> tuple[Blob, ...]:
        whole = (blob(30 + 20 * t, 50, 20, 0, side=20),)
        pieces = (blob(26 + 20 * t, 50, 20, 0, side=8), blob(34 + 20 * t, 50, 20, 0, side=8))
        return pieces if 0.4 < t < 0.8 else whole

    (region,) = follow(sightings(12, seen), [], SIZE)
    assert region.seen == 12


def test_what_is_seen_once_or_twice_or_has_nothing_to_show_for_it_does_not_count() -> None:
    assert follow(sightings(12, lambda t: (blob(20, 20, 30, 0),) if t in (0.5, 0.625) else ()), [], SIZE) == ()
    assert follow(sightings(12, lambda t: (blob(20 + 30 * t, 20, 30, 0, busy=0.05),)), [], SIZE) == ()
    assert follow([], [], SIZE) == ()


def test_a_region_is_expected_where_the_picture_takes_it() -> None:
    """Content pushed by a pan of 160 % a second: it is in another place in each picture, but the same region."""

    def seen(t: float) -> tuple[Blob, ...]:
        return (blob(10 + 80 * t, 50, 10, 0, pan=complex(0.7 * SIZE[0], 0)),) if t < 1 else ()

    (region,) = follow(sightings(9, seen), [], SIZE)
    assert region.seen == 8
    assert region.dx == pytest.approx(10)


@pytest.mark.parametrize("turn", range(8))
def test_directions_go_clockwise_from_the_right(turn: int) -> None:
    for off in (-20, 0, 20):
        angle = np.radians(45 * turn + off)
        assert direction_of(np.cos(angle), np.sin(angle)) == DIRECTIONS[turn]
    assert DIRECTIONS[2] == "down"
