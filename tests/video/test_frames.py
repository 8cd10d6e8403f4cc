"""Frames that are decoded alone are those that decoding everything gives."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from himmel.errors import UsageError
from himmel.video import Video


def test_frames_are_the_decoders_own(encode_clip: Callable[..., Path]) -> None:
    path = encode_clip("clip.mp4", num_frames=30, options={"g": "10", "bf": "2"})
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    found = Video(path).frames([0, 7, 8, 29])
    assert [one.frame for one in found.frames] == [0, 7, 8, 29]
    for one in found.frames:
        np.testing.assert_array_equal(one.image, pictures[one.frame])


def test_frames_are_spread_evenly(encode_clip: Callable[..., Path]) -> None:
    video = Video(encode_clip("clip.mp4", num_frames=30, options={"g": "10"}))
    exact = video.decompose(num_anchors=6, anchor_mode="exact", steps_per_interval=1)
    assert [one.frame for one in video.frames(num_frames=6).frames] == [one.frame for one in exact.anchors]
    assert [one.frame for one in video.frames(num_frames=3, mode="keyframe").frames] == [0, 10, 20]
    assert len(video.frames(num_frames=99).frames) == 30


def test_frames_are_shrunk(encode_clip: Callable[..., Path]) -> None:
    small = Video(encode_clip("clip.mp4", size=(128, 64), num_frames=4)).frames(num_frames=1, max_pixels=2048)
    height, width = small.frames[0].image.shape[:2]
    assert 1024 < height * width <= 2048


@pytest.mark.parametrize("indices", [[], [3, 3], [5, 2], [-1], [0, 30]])
def test_indices_are_pictures_in_their_order(encode_clip: Callable[..., Path], indices: list[int]) -> None:
    with pytest.raises(UsageError, match="not pictures in their order; give increasing numbers from 0 to 29"):
        Video(encode_clip("clip.mp4", num_frames=30)).frames(indices)
