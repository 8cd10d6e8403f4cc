"""Streams as arrays and as a picture."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from himmel.errors import HimmelError, UsageError
from himmel.video import Video, draw_streams, save_streams

Encode = Callable[..., Path]


def test_arrays_come_back_as_they_were(encode_clip: Encode, tmp_path: Path) -> None:
    decomposition = Video(encode_clip("a.mp4")).decompose(num_anchors=3, steps_per_interval=5)
    target = tmp_path / "streams.npz"
    save_streams(decomposition, target)
    with np.load(target, allow_pickle=False) as archive:
        stored = dict(archive)
    about = json.loads(str(stored["about"]))
    assert about["backend"] == "bitstream"
    assert about["num_vectors"] == decomposition.num_vectors
    assert tuple(about["grid"]) == decomposition.grid
    assert np.array_equal(stored["anchor_images"][1], decomposition.anchors[1].image)
    for interval in decomposition.intervals:
        mine = stored["step_interval"] == interval.anchor
        assert np.array_equal(stored["step_frames"][mine], interval.frames)
        assert np.array_equal(stored["step_times"][mine], interval.times)
        for name, values in interval.maps.__dict__.items():
            assert np.array_equal(stored[name][mine], values)
            assert stored[name].dtype == np.float32


@pytest.mark.parametrize("write", [save_streams, draw_streams])
def test_a_file_that_cannot_be_written_is_one_sentence(write: Callable, encode_clip: Encode, tmp_path: Path) -> None:
    decomposition = Video(encode_clip("a.mp4", num_frames=3)).decompose(num_anchors=1)
    with pytest.raises(HimmelError, match="Cannot write"):
        write(decomposition, tmp_path / "none" / "out.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4"]


@pytest.mark.parametrize(
    ("num_anchors", "size", "frames"), [(1, (160, 128), 1), (3, (96, 160), 20), (14, (160, 96), 60)]
)
def test_picture_is_drawn_for_any_number_of_intervals(
    num_anchors: int, size: tuple[int, int], frames: int, encode_clip: Encode, tmp_path: Path
) -> None:
    decomposition = Video(encode_clip("a.mp4", size=size, num_frames=frames)).decompose(num_anchors=num_anchors)
    target = tmp_path / "picture.png"
    draw_streams(decomposition, target)
    picture = cv2.imread(str(target))
    assert picture.shape[1] > 400
    assert picture.shape[1] < 4000
    assert picture.std() > 5


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("a.png", b"\x89PNG"),
        ("a.jpg", b"\xff\xd8\xff"),
        ("a.JPEG", b"\xff\xd8\xff"),
        ("a.svg", b"<?xml"),
        ("a.pdf", b"%PDF-"),
    ],
)
def test_a_picture_is_what_its_name_says(name: str, begins: bytes, encode_clip: Encode, tmp_path: Path) -> None:
    decomposition = Video(encode_clip("a.mp4", num_frames=10)).decompose(num_anchors=1)
    draw_streams(decomposition, tmp_path / name)
    written = (tmp_path / name).read_bytes()
    assert written.startswith(begins)
    draw_streams(decomposition, tmp_path / name)
    assert (tmp_path / name).read_bytes() == written


@pytest.mark.parametrize("name", ["a", "a.gif", "a.npz"])
def test_a_picture_of_another_ending_is_refused(name: str, encode_clip: Encode, tmp_path: Path) -> None:
    decomposition = Video(encode_clip("b.mp4", num_frames=10)).decompose(num_anchors=1)
    with pytest.raises(
        UsageError, match=r"does not say which kind of picture to write; let its name end in \.png, \.jpg"
    ):
        draw_streams(decomposition, tmp_path / name)
    assert not (tmp_path / name).exists()
