"""Stretches of one camera motion: against brute force, and on curves with known steps."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from himmel.video.describe.results import Samples
from himmel.video.describe.segments import find_segments, split

VALUES = st.lists(st.integers(-4, 4), min_size=1, max_size=9)


def cost(values: np.ndarray, starts: tuple[int, ...]) -> float:
    """What a division costs, by its definition."""
    pieces = np.split(values, starts[1:])
    return sum(((piece - piece.mean(axis=0)) ** 2).sum() for piece in pieces) + len(pieces) * 5 * np.log(
        max(len(values), 2)
    )


@settings(max_examples=60)
@given(VALUES, st.integers(1, 4))
def test_no_other_division_is_cheaper(numbers: list[int], scale: int) -> None:
    values = np.array(numbers, float)[:, None] * scale
    rest = range(1, len(values))
    divisions = [(0, *chosen) for size in range(len(values)) for chosen in combinations(rest, size)]
    best = min(cost(values, starts) for starts in divisions)
    assert cost(values, tuple(split(values))) == pytest.approx(best)


def samples(times: np.ndarray, pan: np.ndarray) -> Samples:
    motion = np.zeros((len(times), 4))
    motion[:, 0] = pan
    motion[np.isnan(pan)] = np.nan
    return Samples(times, motion)


def test_steps_are_found_where_they_are() -> None:
    times = np.arange(80) * 0.125
    rng = np.random.default_rng(0)
    pan = np.select([times < 3, times < 7], [0.0, 20.0], -8.0) + rng.normal(0, 0.4, 80)
    found = find_segments(samples(times, pan), [], 10.0)
    assert [segment.start for segment in found] == pytest.approx([0, 3, 7], abs=0.13)
    assert [segment.motion.pan for segment in found if segment.motion] == pytest.approx([0, 20, -8], abs=0.3)
    assert all(segment.shake < 1 for segment in found)


def test_noise_alone_is_one_segment() -> None:
    rng = np.random.default_rng(1)
    times = np.arange(200) * 0.125
    (segment,) = find_segments(samples(times, rng.normal(0, 1.0, 200)), [], 25.0)
    assert segment.motion is not None
    assert abs(segment.motion.pan) < 0.5


def test_a_hand_that_shakes_is_told_by_its_spread() -> None:
    times = np.arange(80) * 0.125
    (segment,) = find_segments(samples(times, 12.0 * (-1.0) ** np.arange(80)), [], 10.0)
    assert segment.shake == pytest.approx(12, rel=0.05)


def test_where_nothing_is_known_for_long_nothing_is_told() -> None:
    times = np.arange(80) * 0.125
    pan = np.full(80, 6.0)
    pan[30:55] = np.nan
    known, unknown, again = find_segments(samples(times, pan), [], 10.0)
    assert (known.start, again.end) == (0, 10)
    assert unknown.motion is None
    assert (unknown.start, unknown.end) == (pytest.approx(3.7, abs=0.2), pytest.approx(6.8, abs=0.2))
    (nothing,) = find_segments(samples(np.zeros(0), np.zeros(0)), [], 4.0)
    assert (nothing.start, nothing.end, nothing.motion) == (0, 4, None)


@settings(max_examples=60)
@given(
    st.lists(st.one_of(st.none(), st.floats(-60, 60)), max_size=40),
    st.lists(st.floats(0.1, 9.9), max_size=3, unique=True),
    st.integers(0, 100),
)
def test_segments_cover_the_time_without_gaps_and_begin_at_cuts(
    pan: list[float | None], cuts: list[float], seed: int
) -> None:
    times = np.sort(np.random.default_rng(seed).uniform(0, 10, len(pan)))
    found = find_segments(
        samples(times, np.array([np.nan if p is None else p for p in pan], float)), sorted(cuts), 10.0
    )
    assert (found[0].start, found[-1].end) == (0, 10)
    assert all(a.end == b.start for a, b in pairwise(found))
    assert all(segment.end > segment.start for segment in found)
    assert set(cuts) <= {segment.start for segment in found}
