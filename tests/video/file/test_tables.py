"""An MP4's tables against its packets."""

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from himmel.video import Video
from himmel.video.file.container import open_stream
from himmel.video.file.packets import Columns, walk_packets
from himmel.video.file.pyav import STREAMS_HAVE_AN_INDEX
from himmel.video.file.tables import _offsets_of, agrees, look_up_references, read_tables

Encode = Callable[..., Path]

PYRAMID = {"g": "30", "bf": "3", "x264-params": "b-pyramid=normal:ref=3"}
OPEN = {"g": "12", "bf": "3", "x264-params": "open-gop=1:b-adapt=0"}


needs_an_index = pytest.mark.skipif(not STREAMS_HAVE_AN_INDEX, reason="PyAV before 17 keeps FFmpeg's index to itself")


def tables_of(path: Path) -> Columns | None:
    """What the tables say, if they agree with the packets at the ends."""
    with open_stream(path) as (container, stream):
        columns = read_tables(path, container, stream)
        return columns if columns is not None and agrees(path, container, stream, columns) else None


@needs_an_index
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.mp4", {"options": PYRAMID}),
        ("a.mov", {"options": PYRAMID}),
        ("a.mp4", {"options": OPEN}),
        ("a.mp4", {"options": {"x264-params": "intra-refresh=1", "g": "24"}}),
        ("a.mp4", {"options": PYRAMID, "container_options": {"movflags": "faststart"}}),
        ("a.mp4", {"options": PYRAMID, "container_options": {"movflags": "negative_cts_offsets"}}),
        ("a.mp4", {"options": PYRAMID, "container_options": {"use_editlist": "0"}}),
        ("a.mp4", {"options": {"bf": "0"}, "shift": 5000}),
        ("a.mp4", {"options": PYRAMID, "pts": [k * k // 3 + k for k in range(70)], "rate": 1000}),
    ],
)
def test_tables_say_what_packets_say(name: str, how: dict, encode_clip: Encode) -> None:
    path = encode_clip(name, num_frames=70, **how)
    told = tables_of(path)
    assert told is not None
    assert told.direct
    with open_stream(path) as (container, stream):
        walked = walk_packets(container, stream, [])
        reference = look_up_references(path, told.pos, stream.codec_context.extradata)
    for column in ("pts", "dts", "pos", "size", "key", "shown", "second", "duration"):
        assert np.array_equal(told.__dict__[column], walked.__dict__[column]), column
    assert np.array_equal(reference, walked.reference)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("fragmented.mp4", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
        ("interlaced.mp4", {"options": {"x264-params": "interlaced=1"}}),
        ("other.mp4", {"codec": "mpeg4"}),
        ("other.mkv", {}),
    ],
)
def test_what_is_not_plain_is_walked(name: str, how: dict, encode_clip: Encode) -> None:
    path = encode_clip(name, **how)
    assert tables_of(path) is None
    assert Video(path).num_frames == 40


@needs_an_index
def test_offsets_that_are_not_so_are_not_believed(encode_clip: Encode) -> None:
    """Another composition offset in the last group of pictures than the packets have once FFmpeg has read the file."""
    path = encode_clip("a.mp4", num_frames=70, options=PYRAMID)
    with open_stream(path) as (container, stream):
        columns = read_tables(path, container, stream)
        assert columns is not None
        columns.pts[-2] += 1
        assert not agrees(path, container, stream, columns)


def test_a_file_that_is_cut_short_is_walked(tmp_path: Path, encode_clip: Encode) -> None:
    whole = encode_clip("a.mp4", num_frames=70, container_options={"movflags": "faststart"}).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert tables_of(path) is None
    assert any("cut short" in note for note in Video(path).notes)


@pytest.mark.parametrize("same", [0, 100])
def test_a_count_of_samples_is_not_believed_before_it_is_checked(same: int) -> None:
    """Four thousand million samples in a box of a few bytes."""
    described = struct.pack(">I4sIII4s", 24, b"stsd", 0, 1, 8, b"avc1")
    table = described + struct.pack(">I4sIII", 20, b"stsz", 0, same, 2**32 - 1)
    tracemalloc.start()
    try:
        assert _offsets_of(memoryview(table), np.full(3, 100, np.int32)) is None
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
