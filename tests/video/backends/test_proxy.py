"""Backend "proxy": motion estimated where a file yields no vectors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from himmel.video import Video

Encode = Callable[..., Path]


@pytest.mark.parametrize(
    ("name", "codec", "options", "seen"),
    [
        ("h.mp4", "libx265", {"x265-params": "keyint=12:log-level=error"}, "hevc"),
        ("v.webm", "libvpx-vp9", {"g": "12", "cpu-used": "8"}, "vp9"),
        ("a.mp4", "libx264", {"g": "1"}, "every picture is a keyframe"),
    ],
)
def test_files_without_vectors_get_estimated_motion(
    name: str, codec: str, options: dict, seen: str, encode_clip: Encode, pan: Callable
) -> None:
    path = encode_clip(name, pan(24, (160, 128), (3, -2)), codec=codec, options=options)
    decomposition = Video(path).decompose(num_anchors=2)
    assert (decomposition.backend, decomposition.residual_kind) == ("proxy", "estimated")
    assert seen in decomposition.backend_reason
    assert decomposition.num_vectors == 0
    for interval in decomposition.intervals:
        maps = interval.maps
        assert (maps.past_distance == 1).all()
        assert not maps.future_valid.any()
        assert (maps.past_valid == 1).all()
        assert (maps.covered == 1).all()
        assert np.median(maps.past[:, 0]) == pytest.approx(3, abs=0.3)
        assert np.median(maps.past[:, 1]) == pytest.approx(-2, abs=0.3)


def test_both_backends_read_the_same_pictures_and_agree(encode_clip: Encode) -> None:
    path = encode_clip("b.mp4", num_frames=60, options={"g": "20", "bf": "2"})
    libav, proxy = (Video(path).decompose(num_anchors=3, backend=backend) for backend in ("libav", "proxy"))
    for one, other in zip(libav.intervals, proxy.intervals, strict=True):
        assert np.array_equal(one.frames, other.frames)
        known = (one.maps.past_distance > 0)[:, None, None] & (one.maps.past_valid > 0.99)
        for axis in range(2):
            measured = (one.maps.past[:, axis] / np.maximum(one.maps.past_distance, 1)[:, None, None])[known]
            assert np.median(measured) == pytest.approx(np.median(other.maps.past[:, axis]), abs=0.2)


def test_rotation_turns_estimated_motion(encode_clip: Encode) -> None:
    path = encode_clip("r.mp4", rotation=-90, size=(160, 96), num_frames=12)
    maps = Video(path).decompose(num_anchors=1, backend="proxy").intervals[0].maps
    # (2, 1) on stored pictures, turned clockwise.
    assert np.median(maps.past[:, 0]) == pytest.approx(-1, abs=0.3)
    assert np.median(maps.past[:, 1]) == pytest.approx(2, abs=0.3)


def test_a_still_video_has_no_motion(encode_clip: Encode) -> None:
    maps = Video(encode_clip("s.mp4", "still")).decompose(num_anchors=1, backend="proxy").intervals[0].maps
    assert np.abs(maps.past).max() < 0.1
    assert maps.residual[:, 0].max() < 1
