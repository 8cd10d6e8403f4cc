"""Frames placed where the codec spent: bounds for any video, and more frames where a clip is busy."""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from himmel.video import Video
from himmel.video.events import (
    LEAST,
    MOST,
    bounded_density,
    choose_event_frames,
    place_by_density,
    read_events,
    smoothed,
    worthy_scenes,
)
from himmel.video.schedule import place_anchors

Encode = Callable[..., Path]
Pan = Callable[..., Iterator[npt.NDArray[np.uint8]]]
Timeline = tuple[npt.NDArray[np.float64], float, npt.NDArray[np.float64]]


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Times from 0, a duration beyond the last, and events at each picture."""
    lengths = draw(st.lists(st.floats(1e-3, 5.0), min_size=1, max_size=60))
    edges = np.concatenate(([0.0], np.cumsum(lengths)))
    scale = st.floats(0, 1e6, allow_subnormal=False)
    events = draw(st.lists(scale, min_size=len(lengths), max_size=len(lengths)))
    return edges[:-1], float(edges[-1]), np.array(events)


@given(timelines(), st.floats(0.05, 1), st.floats(1, 10))
def test_a_density_stays_within_its_bounds_and_has_a_mean_of_one(line: Timeline, least: float, most: float) -> None:
    times, duration, events = line
    density = bounded_density(times, duration, events, least=least, most=most)
    assert density.min() >= least
    assert density.max() <= most
    assert density @ np.diff(np.append(times, duration)) == pytest.approx(duration, rel=1e-6)
    # Never less where more happens.
    order = np.argsort(events)
    assert (np.diff(density[order]) >= 0).all()


@given(timelines(), st.integers(1, 60))
def test_frames_increase_and_leave_no_long_gap(line: Timeline, count: int) -> None:
    times, duration, events = line
    count = min(count, len(times))
    density = bounded_density(times, duration, events, least=LEAST, most=MOST)
    frames = place_by_density(times, duration, density, count)
    assert len(frames) == count
    assert frames[0] == 0
    assert (np.diff(frames) > 0).all()
    assert frames[-1] < len(times)
    longest = np.diff(np.append(times, duration)).max()
    gaps = np.diff(np.append(times[frames], duration))
    # Twice the uniform spacing; frames are pictures, and several cannot be the same one.
    if longest <= duration / count / MOST:
        assert gaps.max() <= duration / count / LEAST + 2 * longest


@given(timelines(), st.integers(1, 60), st.sets(st.integers(1, 59)))
def test_scenes_begin_with_frames_and_no_gap_is_longer_than_promised(
    line: Timeline, count: int, cuts: set[int]
) -> None:
    times, duration, events = line
    count = min(count, len(times))
    changes = sorted(cut for cut in cuts if cut < len(times))
    density = bounded_density(times, duration, events, least=LEAST, most=MOST)
    begins = worthy_scenes(times, duration, density, count, changes)
    assert begins[0] == 0
    assert set(begins[1:]) <= set(changes)
    assert begins == sorted(begins)
    assert len(begins) <= max(1, 3 * count // 4)
    edges = np.append(times, duration)
    shares = np.append(0, np.cumsum(density * np.diff(edges))) * count / duration
    assert (np.diff(np.append(shares[begins], count)) > 0.25 - 1e-6).all()
    frames = place_by_density(times, duration, density, count, begins=begins)
    assert len(frames) == count
    assert (np.diff(frames) > 0).all()
    assert set(begins) <= set(frames.tolist())
    longest = np.diff(edges).max()
    if longest <= duration / count / MOST / 4:
        most = count / (count - len(begins) + 1) * duration / count / LEAST
        assert np.diff(edges[np.append(frames, len(times))]).max() <= most + 2 * longest


@given(st.integers(1, 200), st.integers(1, 60), st.floats(1e-3, 1e6))
def test_constant_spending_is_uniform(pictures: int, count: int, event: float) -> None:
    times = np.arange(pictures) / 25
    count = min(count, pictures)
    density = bounded_density(times, pictures / 25, np.full(pictures, event), least=LEAST, most=MOST)
    frames = place_by_density(times, pictures / 25, density, count)
    expected = place_anchors(times, pictures / 25, np.zeros(0, np.int64), count, "exact")
    assert frames.tolist() == expected.tolist()


def test_density_is_in_proportion_between_its_bounds() -> None:
    times = np.arange(4.0)
    density = bounded_density(times, 4.0, np.array([1.0, 1.0, 2.0, 1.0]), least=0.1, most=10)
    assert density == pytest.approx([0.8, 0.8, 1.6, 0.8], rel=1e-4)


def test_equal_shares_of_the_density_begin_at_frames() -> None:
    times = np.arange(8.0)
    density = np.array([0.5, 0.5, 0.5, 0.5, 1.5, 1.5, 1.5, 1.5])
    # Shares of 2 begin after 0, 4, 5 1/3 and 6 2/3 seconds; shares of 1.6 after 0, 3.2, 4.8, 5.9 and 6.9.
    assert place_by_density(times, 8.0, density, 4).tolist() == [0, 4, 5, 7]
    assert place_by_density(times, 8.0, density, 5).tolist() == [0, 3, 5, 6, 7]


def test_frames_are_dealt_to_the_scene_with_the_largest_shares() -> None:
    times = np.arange(12.0)
    # Three scenes of 2, 4 and 6 seconds.
    assert place_by_density(times, 12.0, np.ones(12), 6, begins=[0, 2, 6]).tolist() == [0, 2, 4, 6, 8, 10]
    assert place_by_density(times, 12.0, np.ones(12), 4, begins=[0, 2, 6]).tolist() == [0, 2, 6, 9]


def test_a_flash_is_no_scene_and_too_many_scenes_lose_the_smallest() -> None:
    times, level = np.arange(40.0), np.ones(40)
    # A frame's share is 10 seconds, a quarter of it 2.5.
    assert worthy_scenes(times, 40.0, level, 4, [10, 12, 30, 38]) == [0, 10, 30]
    assert worthy_scenes(times, 40.0, level, 4, [10, 15, 30]) == [0, 15, 30]
    assert worthy_scenes(times, 40.0, level, 1, [10, 15, 30]) == [0]


@pytest.mark.parametrize("options", [{}, {"g": "20", "sc_threshold": "0"}])
def test_scenes_of_a_clip_begin_with_frames(encode_clip: Encode, pan: Pan, options: dict[str, str]) -> None:
    scenes = [pan(length, (160, 128), (1 + seed % 3, seed % 2), seed) for seed, length in enumerate((34, 31, 46))]
    file = Video(encode_clip("cut.mp4", chain(*scenes), options=options))._file
    found = choose_event_frames(file, 8, mode="exact", least=LEAST, most=MOST, threads=1)
    starts = [k for k, why in zip(found.frames.tolist(), found.reasons, strict=True) if why not in ("start", "events")]
    # The first picture of a new scene that others refer to; up to three B pictures are shown before it.
    assert [start - cut in range(4) for start, cut in zip(starts, (34, 65), strict=True)] == [True, True]
    assert found.reasons[0] == "start"


def test_smoothing_spreads_a_peak_over_its_width_and_keeps_what_is_level() -> None:
    times = np.arange(10.0)
    peak = np.zeros(10)
    peak[5] = 4.0
    assert smoothed(times, 10.0, peak, 4.0).tolist() == pytest.approx([0, 0, 0, 0.5, 1, 1, 1, 0.5, 0, 0])
    assert smoothed(times, 10.0, np.full(10, 3.0), 4.0).tolist() == pytest.approx([3.0] * 10)


@pytest.fixture
def still_then_busy(pan: Pan) -> list[npt.NDArray[np.uint8]]:
    """100 pictures of the same thing, then 100 of fast motion."""
    moving = list(pan(100, (160, 128), (5, 3), 4))
    return [moving[0]] * 100 + moving


@pytest.mark.parametrize(("codec", "options"), [("libx264", {}), ("libx264", {"g": "20"}), ("libx265", {})])
def test_a_busy_half_gets_most_frames(
    encode_clip: Encode, still_then_busy: list[npt.NDArray[np.uint8]], codec: str, options: dict[str, str]
) -> None:
    video = Video(encode_clip("half.mp4", still_then_busy, codec=codec, options=options))
    found = choose_event_frames(video._file, 16, mode="exact", least=LEAST, most=MOST, threads=1)
    frames = found.frames
    assert len(frames) == 16
    assert (frames < 100).sum() <= 6
    # Half as dense as uniform: one frame in 25 pictures where uniform has one in 12.5.
    assert np.diff(np.append(frames, 200)).max() <= 26
    assert bool(found.notes) == (codec == "libx265")


def test_keyframes_of_a_still_video_are_no_events(encode_clip: Encode) -> None:
    video = Video(encode_clip("still.mp4", "still", options={"g": "10"}, num_frames=80))
    events, notes = read_events(video._file, parsed=32, threads=1)
    assert not notes
    keys = video.keyframes[1:]
    assert events[keys].max() <= np.delete(events, video.keyframes).max()


def test_threads_change_nothing(encode_clip: Encode, still_then_busy: list[npt.NDArray[np.uint8]]) -> None:
    file = Video(encode_clip("half.mp4", still_then_busy, options={"g": "20"}))._file
    one, other = (
        choose_event_frames(file, 12, mode="exact", least=LEAST, most=MOST, threads=threads) for threads in (1, 3)
    )
    assert one.frames.tolist() == other.frames.tolist()
    assert np.array_equal(one.density, other.density)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_hardly_any_pictures(encode_clip: Encode, count: int) -> None:
    file = Video(encode_clip("few.mp4", num_frames=count))._file
    found = choose_event_frames(file, 8, mode="exact", least=LEAST, most=MOST, threads=1)
    assert found.frames.tolist() == list(range(count))


def test_a_video_of_keyframes_alone_goes_by_their_bits(encode_clip: Encode) -> None:
    file = Video(encode_clip("intra.mp4", options={"g": "1"}, num_frames=30))._file
    found = choose_event_frames(file, 6, mode="exact", least=LEAST, most=MOST, threads=1)
    assert len(found.frames) == 6
