"""`codec_frames`: frames where the codec spent, on every kind of host."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from himmel.errors import UsageError
from himmel.methods.choice import build
from himmel.methods.session import Session
from himmel.video import Video
from tiny_hosts import Setup


@pytest.fixture
def still_then_busy(encode_clip: Callable[..., Path], pan: Callable[..., Any]) -> Path:
    """60 pictures of the same thing, then 60 of motion."""
    moving = list(pan(60, (96, 80), (4, 2), 4))
    return encode_clip("busy.mp4", [moving[0]] * 60 + moving, options={"g": "15"})


def test_an_answer_names_the_frames_that_it_saw(host_setup: Setup, still_then_busy: Path) -> None:
    session = Session(host_setup.model)
    answer = session.ask(still_then_busy, "What moves?", method="codec_frames", num_frames=6, max_new_tokens=1)
    frames = [one.frame for one in answer.video.anchors]
    assert frames == Video(still_then_busy).event_frames(num_frames=6).frames.tolist()
    assert sum(frame < 60 for frame in frames) <= 2
    assert [one.reason for one in answer.video.anchors] == ["start", *["events"] * 5]
    assert answer.removed is None
    assert answer.options == {"num_frames": 6, "frame_mode": "exact", "least_density": 0.5, "most_density": 4.0}
    dense = session.ask(still_then_busy, "What moves?", method="dense", num_frames=6, max_new_tokens=1)
    assert answer.tokens == dense.tokens


def test_keyframes_are_taken_where_they_are_near(still_then_busy: Path) -> None:
    video = Video(still_then_busy)
    exact, near = (video.event_frames(num_frames=6, mode=mode) for mode in ("exact", "keyframe"))  # type: ignore[arg-type]
    assert np.isin(near.frames, video.keyframes).sum() > np.isin(exact.frames, video.keyframes).sum()
    assert (np.diff(near.frames) > 0).all()
    # Never beyond the middle between two places.
    gaps = np.diff(np.append(exact.frames, 120))
    assert (np.abs(near.frames - exact.frames) <= np.maximum(gaps, np.append(0, gaps[:-1])) / 2 + 1).all()


def test_bounds_of_one_are_uniform(still_then_busy: Path) -> None:
    chosen = Video(still_then_busy).event_frames(num_frames=6, least_density=1, most_density=1)
    uniform = Video(still_then_busy).frames(num_frames=6).frames
    assert chosen.frames.tolist() == [one.frame for one in uniform]


@pytest.mark.parametrize("bounds", [(0, 4), (1.5, 4), (0.5, 0.9), (0.5, float("inf")), ("a", 4), (True, 4)])
def test_bounds_that_hold_no_uniform_are_refused(bounds: tuple[Any, Any]) -> None:
    with pytest.raises(UsageError, match="least_density="):
        build("codec_frames", least_density=bounds[0], most_density=bounds[1])
