"""Edit lists that show parts of a recording."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from himmel.video import Video
from odd_files import take_apart, write_mp4

Encode = Callable[..., Path]

PYRAMID = {"g": "20", "bf": "3", "x264-params": "b-adapt=0:b-pyramid=normal:ref=3:scenecut=0:open-gop=0"}


@pytest.mark.parametrize(
    "edits",
    [
        [(40, 0), (40, 60)],
        # Cut where no keyframe is: the pictures from the keyframe on are decoded and hidden.
        [(33, 3), (29, 71)],
        [(10, 85), (30, 5), (20, 50)],
        # The same stretch twice.
        [(30, 10), (30, 10)],
    ],
)
@pytest.mark.parametrize("backend", ["bitstream", "libav"])
def test_motion_beside_a_cut_is_that_of_the_whole(
    backend: str, edits: list[tuple[int, int]], tmp_path: Path, encode_clip: Encode, pan: Callable
) -> None:
    """Hidden pictures have times that run into the next segment; they must not count between its pictures."""
    whole = encode_clip("whole.mp4", pan(100, (160, 128), (3, 1)), options=PYRAMID)
    track = take_apart(whole)
    video = Video(write_mp4(tmp_path / "cut.mp4", track.samples, [track.entry], track.size, edits=edits))
    segments = [range(first, first + count) for count, first in edits if first >= 0]
    shown = np.concatenate([np.array(part) for part in segments])
    assert video.num_frames == len(shown)
    assert (np.diff(video.times) > 0).all()
    one, other = (
        opened.decompose(num_anchors=1, anchor_mode="exact", steps_per_interval=100, backend=backend).intervals[0]
        for opened in (Video(whole), video)
    )
    there = {frame: step for step, frame in enumerate(one.frames.tolist())}
    compared = 0
    for step, frame in enumerate(other.frames.tolist()):
        if shown[frame] not in there:
            continue
        known = there[shown[frame]]
        for name in ("past", "past_valid", "past_distance", "future", "future_valid", "future_distance"):
            assert np.array_equal(other.maps.__dict__[name][step], one.maps.__dict__[name][known]), (frame, name)
        compared += 1
    assert compared > 0.8 * len(shown)
