"""RGB difference, held against pictures decoded in order and a loop over cells."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from himmel.video import Video, save_streams

Encode = Callable[..., Path]


def _by_hand(path: Path, frame: int, cell: int, turns: int) -> np.ndarray:
    """Mean over each cell of picture `frame` minus the one before, [3, R, C]."""
    with av.open(str(path)) as container:
        shown = [np.rot90(p.to_ndarray(format="rgb24"), turns).astype(float) for p in container.decode(video=0)]
    change = shown[frame] - shown[frame - 1]
    rows, columns = -(-change.shape[0] // cell), -(-change.shape[1] // cell)
    return np.array(
        [
            [
                [change[r * cell : (r + 1) * cell, c * cell : (c + 1) * cell, channel].mean() for c in range(columns)]
                for r in range(rows)
            ]
            for channel in range(3)
        ]
    )


@pytest.mark.parametrize("backend", ["bitstream", "libav", "proxy"])
def test_cells_hold_the_change_since_the_picture_before(backend: str, encode_clip: Encode) -> None:
    path = encode_clip("a.mp4", size=(152, 100), options={"g": "12", "bf": "2"})
    found = Video(path).decompose(num_anchors=2, steps_per_interval=3, cell=16, backend=backend, rgb_difference=True)
    assert found.seconds["rgb_difference"] > 0
    for interval in found.intervals:
        assert interval.rgb_difference is not None
        assert interval.rgb_difference.dtype == np.float32
        assert len(interval.rgb_difference) == len(interval.frames) == 3
        for frame, difference in zip(interval.frames, interval.rgb_difference, strict=True):
            np.testing.assert_allclose(difference, _by_hand(path, frame, 16, 0), atol=0.02)
            assert np.abs(difference).max() > 2


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("refresh.mp4", "libx264", {"x264-params": "intra-refresh=1:keyint=20"}),
        ("open.mp4", "libx264", {"x264-params": "open-gop=1:keyint=10:bframes=3"}),
        ("fields.mp4", "libx264", {"x264-params": "interlaced=1:keyint=20"}),
        ("hevc.mp4", "libx265", {"x265-params": "keyint=10:log-level=error"}),
        ("vp9.webm", "libvpx-vp9", {"g": "10"}),
    ],
)
def test_pictures_are_those_of_reading_in_order(
    name: str, codec: str, options: dict[str, str], encode_clip: Encode
) -> None:
    path = encode_clip(name, codec=codec, options=options)
    found = Video(path).decompose(num_anchors=4, steps_per_interval=2, cell=16, rgb_difference=True)
    assert not any("RGB difference" in note for note in found.notes)
    for interval in found.intervals:
        assert interval.rgb_difference is not None
        for frame, difference in zip(interval.frames, interval.rgb_difference, strict=True):
            np.testing.assert_allclose(difference, _by_hand(path, frame, 16, 0), atol=0.02)


def test_displayed_orientation(encode_clip: Encode) -> None:
    path = encode_clip("r.mp4", size=(160, 96), rotation=90, num_frames=12)
    found = Video(path).decompose(num_anchors=1, steps_per_interval=2, cell=16, rgb_difference=True)
    assert found.grid == (10, 6)
    interval = found.intervals[0]
    assert interval.rgb_difference is not None
    np.testing.assert_allclose(interval.rgb_difference[1], _by_hand(path, interval.frames[1], 16, 1), atol=0.02)


def test_same_on_any_number_of_threads_and_nothing_else_changes(encode_clip: Encode) -> None:
    video = Video(encode_clip("a.mp4", options={"g": "10"}))
    plain = video.decompose(num_anchors=3, steps_per_interval=4)
    one, three = (video.decompose(num_anchors=3, steps_per_interval=4, threads=n, rgb_difference=True) for n in (1, 3))
    for before, first, second in zip(plain.intervals, one.intervals, three.intervals, strict=True):
        assert before.rgb_difference is None
        assert first.rgb_difference is not None
        assert second.rgb_difference is not None
        assert np.array_equal(first.rgb_difference, second.rgb_difference)
        assert np.array_equal(before.maps.past, first.maps.past)
        assert np.array_equal(before.frames, first.frames)


def test_a_still_video_has_no_difference(encode_clip: Encode) -> None:
    path = encode_clip("s.mp4", "still", options={"crf": "1"})
    interval = Video(path).decompose(num_anchors=1, rgb_difference=True).intervals[0]
    assert interval.rgb_difference is not None
    assert np.abs(interval.rgb_difference).max() < 1


def test_an_interval_without_steps(encode_clip: Encode) -> None:
    found = Video(encode_clip("a.mp4", num_frames=2)).decompose(num_anchors=2, rgb_difference=True)
    shapes = [i.rgb_difference.shape for i in found.intervals if i.rgb_difference is not None]
    assert shapes == [(0, 3, *found.grid)] * 2


def test_archive_holds_it_where_it_was_asked_for(encode_clip: Encode, tmp_path: Path) -> None:
    video = Video(encode_clip("a.mp4"))
    found = video.decompose(num_anchors=2, steps_per_interval=3, rgb_difference=True)
    save_streams(found, tmp_path / "with.npz")
    save_streams(video.decompose(num_anchors=2, steps_per_interval=3), tmp_path / "without.npz")
    with np.load(tmp_path / "with.npz") as archive:
        stored = archive["rgb_difference"]
        assert stored.shape == (len(archive["step_frames"]), 3, *found.grid)
        assert np.array_equal(stored[:3], found.intervals[0].rgb_difference)
    with np.load(tmp_path / "without.npz") as archive:
        assert "rgb_difference" not in archive.files
