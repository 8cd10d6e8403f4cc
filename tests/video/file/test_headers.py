"""Parameter sets that change in the middle of a file: each part is read by its own."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from himmel.video import Decomposition, Video
from himmel.video.file.pyav import PACKETS_HAVE_SIDE_DATA
from odd_files import Sample, take_apart, write_mp4

Encode = Callable[..., Path]

_NUM = 30
_VIDEO = 9


def flv_tags(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(kind, time in milliseconds, body) of each tag (Adobe's FLV specification, E.4.1)."""
    at = 13
    while at + 11 <= len(data):
        length = int.from_bytes(data[at + 1 : at + 4])
        time = int.from_bytes(data[at + 4 : at + 7]) | data[at + 7] << 24
        yield data[at], time, data[at + 11 : at + 11 + length]
        at += 11 + length + 4


def append_flv(first: Path, second: Path, target: Path, shift: int) -> Path:
    """The second recording's video tags, sequence header and all, behind those of the first."""
    joined = bytearray(first.read_bytes()[:13])
    tags = [*flv_tags(first.read_bytes())]
    tags += [(kind, time + shift, body) for kind, time, body in flv_tags(second.read_bytes()) if kind == _VIDEO]
    for kind, time, body in tags:
        # What ends a sequence would end the file.
        if kind == _VIDEO and body[1:2] == b"\2":
            continue
        joined += struct.pack(
            ">B3s3sB3s", kind, len(body).to_bytes(3), (time & 0xFFFFFF).to_bytes(3), time >> 24, bytes(3)
        )
        joined += body + struct.pack(">I", 11 + len(body))
    target.write_bytes(joined)
    return target


def append_mp4(first: Path, second: Path, target: Path, length_bytes: int = 4) -> Path:
    """Both recordings in one track with two sample descriptions, the second's units behind lengths of another size."""
    one, other = take_apart(first), take_apart(second)
    config = bytearray(other.config)
    at = 21 if other.kind == b"hvc1" else 4
    config[at] = config[at] & 0xFC | length_bytes - 1
    entry = type(other)(other.size, other.kind, other.config_kind, bytes(config), ()).entry
    again = [Sample(reframe(s.data, length_bytes), s.key, s.shown + len(one.samples), 1) for s in other.samples]
    return write_mp4(target, [*one.samples, *again], [one.entry, entry], one.size)


def reframe(data: bytes, length_bytes: int) -> bytes:
    units, at = b"", 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4])
        units += length.to_bytes(length_bytes) + data[at + 4 : at + 4 + length]
        at += 4 + length
    return units


def decode(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def steps_of(found: Decomposition) -> dict[int, np.ndarray]:
    """Maps of each step by its picture."""
    return {
        int(frame): np.concatenate((i.maps.past[k], i.maps.residual[k], i.maps.covered[k][None]))
        for i in found.intervals
        for k, frame in enumerate(i.frames)
    }


HALVES = {
    # Read by the other's parameter sets, both are garbage: another entropy coder, another transform.
    "h264": [{"options": {"g": "10", "bf": "0", "x264-params": params}} for params in ("cabac=0", "cabac=1:8x8dct=1")],
    "hevc": [
        {"codec": "libx265", "options": {"x265-params": f"log-level=none:keyint=10:bframes=0:{params}"}}
        for params in ("ctu=16:min-cu-size=8", "ctu=64:no-amp=1:sao=0")
    ],
}


@pytest.fixture(params=["h264.mp4", "h264_short.mp4", "h264.flv", "hevc.mp4"])
def joined(request: pytest.FixtureRequest, tmp_path: Path, encode_clip: Encode) -> tuple[Path, list[Path]]:
    """A file of two halves that need other parameter sets, and the halves."""
    codec, ending = request.param.split("_")[0].split(".")[0], request.param.split(".")[-1]
    halves = [encode_clip(f"{k}.{ending}", num_frames=_NUM, **how) for k, how in enumerate(HALVES[codec])]
    target = tmp_path / f"joined.{ending}"
    if ending == "flv":
        return append_flv(*halves, target, 40 * _NUM), halves
    return append_mp4(*halves, target, length_bytes=2 if "short" in request.param else 4), halves


follows_changes = pytest.mark.skipif(not PACKETS_HAVE_SIDE_DATA, reason="PyAV before 16 does not tell new headers")


@follows_changes
def test_anchors_of_both_parts(joined: tuple[Path, list[Path]]) -> None:
    path, halves = joined
    expected = [picture for half in halves for picture in decode(half)]
    video = Video(path)
    assert video.num_frames == 2 * _NUM
    # Forwards, and across the change in one go.
    for num_anchors in (7, 2 * _NUM):
        anchors = video.decompose(num_anchors=num_anchors, anchor_mode="exact", steps_per_interval=1, threads=1).anchors
        assert len(anchors) == num_anchors
        assert all(np.array_equal(anchor.image, expected[anchor.frame]) for anchor in anchors)


@follows_changes
@pytest.mark.parametrize("accumulate", [False, True])
def test_steps_of_both_parts(accumulate: bool, joined: tuple[Path, list[Path]]) -> None:
    path, halves = joined
    how = {"accumulate": accumulate, "anchor_mode": "exact", "steps_per_interval": _NUM}
    # FFmpeg exports no vectors of HEVC.
    for backend in ("bitstream", "libav", "proxy") if Video(path).codec == "h264" else ("proxy",):
        found = steps_of(Video(path).decompose(num_anchors=2, backend=backend, **how))
        for start, half in zip((0, _NUM), halves, strict=True):
            expected = steps_of(Video(half).decompose(num_anchors=1, backend=backend, **how))
            assert len(expected) == _NUM - 1
            assert all(np.array_equal(found[frame + start], maps) for frame, maps in expected.items())


def test_a_change_that_cannot_be_followed_is_told(joined: tuple[Path, list[Path]]) -> None:
    path, halves = joined
    told = [note for note in Video(path).notes if note.startswith("The codec's parameters change in the middle")]
    assert bool(told) != PACKETS_HAVE_SIDE_DATA
    assert Video(halves[0]).notes == ()
