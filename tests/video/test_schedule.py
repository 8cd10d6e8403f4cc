"""Anchors and steps are placed by times alone."""

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from himmel.video.schedule import Clock, make_distinct, nearest, place_anchors, place_steps

Times = npt.NDArray[np.float64]


@st.composite
def timelines(draw: st.DrawFn) -> tuple[Times, float, npt.NDArray[np.int64]]:
    """Increasing times from 0, a duration beyond the last, and some keyframes."""
    gaps = draw(st.lists(st.floats(1e-3, 5.0), min_size=0, max_size=60))
    times = np.concatenate(([0.0], np.cumsum(gaps)))
    duration = float(times[-1]) + draw(st.floats(1e-3, 2.0))
    keys = draw(st.sets(st.integers(0, len(times) - 1)))
    return times, duration, np.array(sorted(keys), np.int64)


@given(timelines(), st.lists(st.floats(-1, 100), min_size=1, max_size=20))
def test_nearest_is_nearest(timeline: tuple[Times, float, npt.NDArray[np.int64]], wanted: list[float]) -> None:
    times = timeline[0]
    for found, target in zip(nearest(times, np.array(wanted)), wanted, strict=True):
        assert abs(times[found] - target) == np.abs(times - target).min()


@given(st.data())
def test_make_distinct_keeps_to_the_range_and_moves_nothing_needlessly(data: st.DataObject) -> None:
    first = data.draw(st.integers(0, 5))
    stop = first + data.draw(st.integers(1, 30))
    count = data.draw(st.integers(1, stop - first))
    chosen = np.array(sorted(data.draw(st.lists(st.integers(first, stop - 1), min_size=count, max_size=count))))
    moved = make_distinct(chosen, first, stop)
    assert len(moved) == count
    assert (np.diff(moved) > 0).all()
    assert first <= moved[0] <= moved[-1] < stop
    if (np.diff(chosen) > 0).all():
        assert np.array_equal(moved, chosen)


@given(timelines(), st.integers(1, 80), st.sampled_from(["keyframe", "exact"]))
def test_anchors_are_distinct_and_as_many_as_asked_or_there_are(
    timeline: tuple[Times, float, npt.NDArray[np.int64]], num_anchors: int, mode: str
) -> None:
    times, duration, keys = timeline
    anchors = place_anchors(times, duration, keys, num_anchors, mode)
    assert len(anchors) == min(num_anchors, len(times))
    assert (np.diff(anchors) > 0).all()
    assert 0 <= anchors[0] <= anchors[-1] < len(times)


def test_exact_anchors_are_nearest_to_uniform_times() -> None:
    times = np.arange(100) / 25
    anchors = place_anchors(times, 4.0, np.array([0, 50]), 8, "exact")
    assert anchors.tolist() == [0, 12, 25, 37, 50, 62, 75, 87]


def test_keyframe_anchors_move_by_less_than_half_a_spacing() -> None:
    times = np.arange(100) / 25
    # Spacing 0.5 s = 12.5 pictures: 7 is too far from 0 and from 12.5, 30 is near 25, 69 lies between 62.5 and 75.
    anchors = place_anchors(times, 4.0, np.array([5, 30, 69, 88]), 8, "keyframe")
    assert anchors.tolist() == [5, 12, 30, 37, 50, 62, 69, 88]


@given(timelines(), st.integers(1, 10))
def test_a_keyframe_near_each_uniform_time_is_always_taken(
    timeline: tuple[Times, float, npt.NDArray[np.int64]], num_anchors: int
) -> None:
    times, duration, _ = timeline
    keys = np.arange(len(times))
    num_anchors = min(num_anchors, len(times))
    spacing = duration / num_anchors
    anchors = place_anchors(times, duration, keys, num_anchors, "keyframe")
    exact = place_anchors(times, duration, keys, num_anchors, "exact")
    assert np.array_equal(anchors, exact)
    assert spacing > 0


@given(timelines(), st.integers(1, 20), st.data())
def test_steps_are_distinct_inside_their_interval(
    timeline: tuple[Times, float, npt.NDArray[np.int64]], max_steps: int, data: st.DataObject
) -> None:
    times, duration, keys = timeline
    anchor = data.draw(st.integers(0, len(times) - 1))
    stop = data.draw(st.integers(anchor + 1, len(times)))
    end = duration if stop == len(times) else float(times[stop])
    steps = place_steps(times, anchor, stop, end, keys, max_steps)
    assert len(steps) == min(max_steps, stop - anchor - 1)
    assert (np.diff(steps) > 0).all()
    assert all(anchor < step < stop for step in steps)


def test_steps_are_uniform_and_avoid_keyframes() -> None:
    times = np.arange(41) / 10
    none = np.zeros(0, np.int64)
    assert place_steps(times, 0, 41, 4.1, none, 4).tolist() == [5, 15, 26, 36]
    assert place_steps(times, 0, 41, 4.1, np.array([15, 26, 27]), 4).tolist() == [5, 16, 26, 36]
    assert place_steps(times, 0, 5, 0.5, np.array([2]), 16).tolist() == [1, 2, 3, 4]


@given(timelines(), st.integers(1, 20))
def test_short_pauses_are_no_pauses(timeline: tuple[Times, float, npt.NDArray[np.int64]], num_anchors: int) -> None:
    """The times are the video's own, to the bit."""
    times, duration, _ = timeline
    clock = Clock.without_pauses(times, duration, num_anchors)
    assert clock.times is times
    assert clock.duration == duration
    assert clock.note is None


@given(timelines(), st.integers(3, 20), st.lists(st.floats(1000, 1e6), min_size=1, max_size=3), st.data())
def test_pauses_do_not_bunch_anchors(
    timeline: tuple[Times, float, npt.NDArray[np.int64]], num_anchors: int, pauses: list[float], data: st.DataObject
) -> None:
    times, duration, keys = timeline
    for pause in pauses:
        begin = data.draw(st.integers(0, len(times) - 1))
        times = np.concatenate((times[: begin + 1], times[begin + 1 :] + pause))
        duration += pause
    clock = Clock.without_pauses(times, duration, num_anchors)
    count = min(num_anchors, len(times))
    lengths = np.diff(np.append(clock.times, clock.duration))
    assert (lengths > 0).all()
    assert lengths.max() <= max(10.001, 2.001 * clock.duration / count)
    assert len(place_anchors(clock.times, clock.duration, keys, num_anchors, "exact")) == count


def test_an_hours_pause() -> None:
    times = np.concatenate((np.arange(50) / 25, 3602 + np.arange(50) / 25))
    clock = Clock.without_pauses(times, 3604.0, 8)
    none = np.zeros(0, np.int64)
    assert place_anchors(clock.times, clock.duration, none, 8, "exact").tolist() == [0, 12, 25, 37, 50, 62, 75, 87]
    assert clock.note is not None
    assert clock.note.startswith("The picture at 1.960 s is shown for 3600 s: ")
    longer = np.append(times, 5000 + np.arange(50) / 25)
    assert "and 1 other for 1396 s in all" in str(Clock.without_pauses(longer, 5002.0, 8).note)
    # A talk whose slides last minutes is as it is.
    slides = np.cumsum([0, 60, 45, 90, 30, 120, 80, 75, 60])
    assert Clock.without_pauses(slides, float(slides[-1] + 60), 8).note is None
