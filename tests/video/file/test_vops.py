"""MPEG-4 Part 2 as DivX and XviD wrote it into AVI: packed B pictures, and packets in which nothing is coded."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from himmel.video import Decomposition, Video

Encode = Callable[..., Path]
Pan = Callable[..., Iterator[np.ndarray]]

_VOP = b"\0\0\1\xb6"
_USER_DATA = b"\0\0\1\xb2"
_RATE = 25
_NUM = 40


def empty_vop(kind: str, time: int) -> bytes:
    """A VOP with vop_coded 0 (ISO 14496-2, 6.2.5) of a stream that counts 25 moments in a second, in 5 bits."""
    bits = f"{'IPBS'.index(kind):02b}" + "01" + f"{time % _RATE:05b}" + "1" + "0" + "01111"
    return _VOP + int(bits, 2).to_bytes(2, "big")


def kind_of(vop: bytes) -> str:
    return "IPBS"[vop[vop.index(_VOP) + 4] >> 6]


def vops_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def write_avi(path: Path, like: Path, packets: list[tuple[bytes, bool]], user_data: list[bytes]) -> Path:
    """AVI of packets (bytes, keyframe), an empty one leaving its moment out; user data goes before keyframes' VOPs."""
    header = b"".join(_USER_DATA + text for text in user_data)
    with av.open(str(like)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        stream.time_base = Fraction(1, _RATE)
        for moment, (data, key) in enumerate(packets):
            if not data:
                continue
            packet = av.Packet(data.replace(_VOP, header + _VOP, 1) if key else data)
            packet.pts = packet.dts = moment
            packet.time_base, packet.is_keyframe, packet.stream = Fraction(1, _RATE), key, stream
            new.mux(packet)
    return path


def pack(vops: list[bytes]) -> list[tuple[bytes, bool]]:
    """A B picture goes behind the picture decoded before it; after the last in a row comes an empty VOP."""
    packets: list[tuple[bytes, bool]] = []
    behind = False
    for number, vop in enumerate(vops):
        kind = kind_of(vop)
        if kind == "B" and not behind:
            packets[-1] = packets[-1][0] + vop, packets[-1][1]
            behind = True
            continue
        if kind != "B" and behind:
            packets.append((empty_vop("P", number), False))
            behind = False
        packets.append((vop, kind == "I"))
    return [*packets, (empty_vop("P", len(vops)), False)] if behind else packets


@pytest.fixture(params=["1", "2"])
def packed(request: pytest.FixtureRequest, tmp_path: Path, encode_clip: Encode) -> Path:
    whole = encode_clip("whole.avi", codec="mpeg4", options={"g": "12", "bf": request.param, "q": "2"}, num_frames=_NUM)
    vops = vops_of(whole)
    assert {kind_of(vop) for vop in vops} == set("IPB")
    return write_avi(tmp_path / "packed.avi", whole, pack(vops), [b"DivX503b1393p", b"XviD0069"])


def likeness(image: np.ndarray, picture: np.ndarray) -> float:
    return float(np.abs(image.astype(np.float64) - picture).mean())


def speeds(found: Decomposition) -> list[np.ndarray]:
    """Median displacement a picture of each step that has any."""
    maps = [(interval.maps, k) for interval in found.intervals for k in range(len(interval.frames))]
    moving = [(m, k) for m, k in maps if m.past_distance[k]]
    return [np.median(m.past[k], axis=(1, 2)) / m.past_distance[k] for m, k in moving]


def test_packed_b_pictures_come_in_their_order(packed: Path, pan: Pan) -> None:
    video = Video(packed)
    shown = list(pan(_NUM, (160, 128)))
    assert video.num_frames == _NUM
    assert any("B pictures are packed together with the pictures before them" in note for note in video.notes)
    assert len(video.notes) == 1
    assert np.allclose(np.diff(video.times), 1 / _RATE)
    for anchor in video.decompose(num_anchors=13, anchor_mode="exact", steps_per_interval=1).anchors:
        own = likeness(anchor.image, shown[anchor.frame])
        others = [likeness(anchor.image, shown[k]) for k in (anchor.frame - 1, anchor.frame + 1) if 0 <= k < _NUM]
        assert own < 0.9 * min(others), anchor.frame


def test_packed_pictures_are_those_of_ffmpegs_own_way(packed: Path) -> None:
    with av.open(str(packed)) as container:
        expected = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    found = Video(packed).decompose(num_anchors=_NUM, steps_per_interval=1)
    assert len(found.anchors) == len(expected)
    assert all(np.array_equal(a.image, expected[a.frame]) for a in found.anchors)


@pytest.mark.parametrize("backend", ["libav", "proxy"])
def test_motion_of_packed_pictures(backend: str, packed: Path) -> None:
    found = Video(packed).decompose(num_anchors=3, anchor_mode="exact", backend=backend)
    moved = np.array(speeds(found))
    assert len(moved) >= 8
    assert np.abs(moved - (2, 1)).max() < 0.5
    assert any("steps are B pictures" in note for note in found.notes) == (backend == "libav")
    assert Video(packed).decompose(num_anchors=2).backend == "proxy"


def test_b_pictures_of_avi_are_no_zero_vectors(encode_clip: Encode) -> None:
    """AVI says nothing about the order of pictures: only the pictures themselves tell what they are."""
    found = Video(encode_clip("b.avi", codec="mpeg4", options={"g": "12", "bf": "2"})).decompose(backend="libav")
    assert np.abs(np.array(speeds(found)) - (2, 1)).max() < 0.5
    assert any("steps are B pictures" in note for note in found.notes)


@pytest.mark.parametrize("filler", [empty_vop("P", 3), b"\x7f", b""], ids=["not coded", "one byte", "empty"])
def test_the_picture_before_stays_where_a_packet_holds_none(filler: bytes, tmp_path: Path, encode_clip: Encode) -> None:
    """What capture programs write for a picture that they dropped."""
    whole = encode_clip("whole.avi", codec="mpeg4", options={"g": "10", "bf": "0", "q": "2"}, num_frames=30)
    packets = [(vop, kind_of(vop) == "I") for vop in vops_of(whole)]
    dropped = [*packets[:7], (filler, False), (filler, False), *packets[7:20], (filler, False), *packets[20:]]
    video = Video(write_avi(tmp_path / "dropped.avi", whole, dropped, [b"DivX503b1393", b"XviD0069"]))
    plain = Video(write_avi(tmp_path / "plain.avi", whole, packets, [b"DivX503b1393", b"XviD0069"]))
    assert any(note.startswith("3 packets of the file hold no picture") for note in video.notes)
    assert not any("no picture" in note for note in plain.notes)
    assert video.num_frames == plain.num_frames == 30
    moments = [*range(7), *range(9, 22), *range(23, 33)]
    assert np.allclose(video.times, np.array(moments) / _RATE)
    found, expected = (one.decompose(num_anchors=30, anchor_mode="exact", backend="libav") for one in (video, plain))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(found.anchors, expected.anchors, strict=True))
    assert len(found.anchors) >= 28
    found, expected = (one.decompose(num_anchors=1, steps_per_interval=30, backend="libav") for one in (video, plain))
    assert found.num_vectors == expected.num_vectors
    assert np.array_equal(found.intervals[0].maps.past, expected.intervals[0].maps.past)
    assert np.array_equal(found.intervals[0].maps.past_distance, expected.intervals[0].maps.past_distance)


def test_a_small_picture_in_which_nothing_moves_is_a_picture(encode_clip: Encode) -> None:
    """All macroblocks skipped: as short as one in which nothing is coded."""
    path = encode_clip("still.avi", "still", codec="mpeg4", size=(48, 32), num_frames=12)
    assert min(len(vop) for vop in vops_of(path)) < 19
    video = Video(path)
    assert video.num_frames == 12
    assert not video.notes
