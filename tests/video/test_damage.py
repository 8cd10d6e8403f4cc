"""Damage is reported: how many pictures, and what replaces an anchor."""

import errno
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from himmel.errors import VideoError
from himmel.video import Decomposition, Video
from himmel.video.file.decoder import Decoder

Encode = Callable[..., Path]

_TS_PACKET = 188
BACKENDS = ["bitstream", "libav", "proxy"]


def decode(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def places(path: Path) -> list[tuple[int, int]]:
    """(position, size) of each picture in decode order."""
    with av.open(str(path)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]


def overwrite(path: Path, name: str, numbers: Iterable[int]) -> Path:
    """A copy with zeros in place of some pictures."""
    data = bytearray(path.read_bytes())
    at = places(path)
    for number in numbers:
        position, size = at[number]
        data[position : position + size] = bytes(size)
    target = path.with_name(name)
    target.write_bytes(data)
    return target


def flip(path: Path, name: str, count: int) -> Path:
    """A copy with bits flipped in pictures, not in their first bytes."""
    rng, data = np.random.default_rng(5), bytearray(path.read_bytes())
    at = places(path)[1:]
    for number in rng.choice(len(at), count, replace=False).tolist():
        position, size = at[number]
        data[position + int(rng.integers(size // 4, size // 2))] ^= 1 << int(rng.integers(8))
    target = path.with_name(name)
    target.write_bytes(data)
    return target


def lose(path: Path, name: str, number: int) -> Path:
    """A copy of a transport stream in which three of the packets of one picture got lost."""
    data = path.read_bytes()
    begin = places(path)[number][0] + 4 * _TS_PACKET
    target = path.with_name(name)
    target.write_bytes(data[:begin] + data[begin + 3 * _TS_PACKET :])
    return target


def note(found: Decomposition, text: str) -> str:
    return next((note for note in found.notes if text in note), "")


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_picture_before_a_lost_keyframe_is_the_anchor(backend: str, encode_clip: Encode) -> None:
    whole = encode_clip("whole.mp4", options={"g": "10", "bf": "0"}, num_frames=40)
    found = Video(overwrite(whole, "lost.mp4", [10])).decompose(num_anchors=4, backend=backend)
    assert [anchor.frame for anchor in found.anchors] == [0, 9, 20, 30]
    expected = decode(whole)
    assert all(np.array_equal(anchor.image, expected[anchor.frame]) for anchor in found.anchors)
    assert [(i.start, i.stop) for i in found.intervals] == [(1, 9), (10, 20), (21, 30), (31, 40)]
    assert all(interval.frames.min() >= interval.start for interval in found.intervals)
    assert note(found, "at 0.400 s is damaged: the previous undamaged picture, at 0.360 s, is used instead")


@pytest.mark.parametrize("accumulate", [False, True])
def test_the_picture_after_a_lost_one_is_the_anchor(accumulate: bool, encode_clip: Encode) -> None:
    """A picture that no other is predicted from: what follows is whole."""
    whole = encode_clip("whole.mp4", options={"g": "40", "bf": "1", "x264-params": "b-adapt=0"}, num_frames=40)
    with av.open(str(whole)) as container:
        shown = np.argsort(np.argsort([packet.pts for packet in container.demux(video=0) if packet.size]))
        container.seek(0)
        kinds = [frame.pict_type for frame in container.decode(video=0)]
    assert kinds[13] == PictureType.B
    lost = overwrite(whole, "lost.mp4", np.flatnonzero(shown == 13))
    how = {"num_anchors": 3, "anchor_mode": "exact", "backend": "bitstream", "accumulate": accumulate}
    found, expected = Video(lost).decompose(**how), Video(whole).decompose(**how)
    assert [anchor.frame for anchor in expected.anchors] == [0, 13, 27]
    assert [anchor.frame for anchor in found.anchors] == [0, 14, 27]
    assert np.array_equal(found.anchors[1].image, decode(whole)[14])
    assert note(found, "the next undamaged picture, at 0.560 s, is used instead")
    last, other = found.intervals[2].maps, expected.intervals[2].maps
    assert np.array_equal(last.past, other.past)


def test_an_anchor_with_lost_packets_is_not_grey(encode_clip: Encode) -> None:
    whole = encode_clip("whole.ts", options={"g": "10", "bf": "0"}, num_frames=40, size=(320, 256))
    found = Video(lose(whole, "lost.ts", 20)).decompose(num_anchors=4)
    expected = decode(whole)
    assert [anchor.frame for anchor in found.anchors] == [0, 10, 19, 30]
    assert all(np.array_equal(anchor.image, expected[anchor.frame]) for anchor in found.anchors)
    assert note(found, "at 0.800 s is damaged")


KINDS = {
    "h264.mp4": {"options": {"g": "12", "bf": "2"}},
    "cavlc.mkv": {"options": {"g": "12", "bf": "0", "x264-params": "cabac=0"}},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"g": "12"}},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"g": "12", "bf": "2"}},
}


@pytest.mark.parametrize(
    ("name", "backend"), [*(("h264.mp4", b) for b in BACKENDS), *((k, "auto") for k in list(KINDS)[1:])]
)
def test_flipped_bits_are_counted(name: str, backend: str, encode_clip: Encode) -> None:
    whole = encode_clip(name, num_frames=60, size=(320, 256), **KINDS[name])
    how = {"num_anchors": 2, "steps_per_interval": 60, "backend": backend}
    plain = Video(whole).decompose(**how)
    assert plain.num_damaged == 0
    assert not note(plain, "damaged")
    found = Video(flip(whole, "flipped_" + name, 20)).decompose(**how)
    assert 5 <= found.num_damaged <= 30
    assert note(found, "are damaged")


@pytest.mark.parametrize("backend", BACKENDS)
def test_traces_go_on_past_lost_pictures(backend: str, encode_clip: Encode) -> None:
    """What is missing on the way, the base or others, costs its own steps alone."""
    whole = encode_clip("whole.mp4", options={"g": "20", "bf": "3", "x264-params": "b-pyramid=normal"}, num_frames=60)
    lost = Video(overwrite(whole, "lost.mp4", [3, 8, 9, 17, 20, 31, 46]))
    found = lost.decompose(num_anchors=3, backend=backend, accumulate=True, steps_per_interval=60)
    assert found.num_damaged >= 6
    assert sum(len(interval.frames) for interval in found.intervals) > 30
    assert all(np.isfinite(interval.maps.past).all() for interval in found.intervals)


def switch_size(first: Path, second: Path, target: Path) -> Path:
    """One stream after the other, as a broadcaster sends them."""
    with av.open(str(target), "w") as new:
        stream, offset = None, 0
        for path in (first, second):
            with av.open(str(path)) as old:
                stream = stream or new.add_stream_from_template(old.streams.video[0])
                for packet in old.demux(video=0):
                    if packet.size:
                        packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, stream
                        new.mux(packet)
            offset += 20 * 3600
    return target


def speeds(found: Decomposition, interval: int) -> Iterator[np.ndarray]:
    maps = found.intervals[interval].maps
    for k, distance in enumerate(maps.past_distance):
        if distance:
            yield np.median(maps.past[k], axis=(1, 2)) / distance


@pytest.mark.parametrize("backend", BACKENDS)
def test_another_size_in_the_middle_is_told(backend: str, tmp_path: Path, encode_clip: Encode) -> None:
    """The second half is twice as large and moves as many of its own pixels: half as many of the first half's."""
    how = {"options": {"g": "20", "bf": "0", "x264-params": "ref=1"}, "num_frames": 20}
    halves = [encode_clip(f"{width}.ts", size=(width, width // 2), **how) for width in (160, 320)]
    video = Video(switch_size(*halves, tmp_path / "switched.ts"))
    assert (video.num_frames, video.width, video.height) == (40, 160, 80)
    found = video.decompose(num_anchors=2, backend=backend)
    assert found.num_damaged == 0
    assert np.allclose(list(speeds(found, 0)), (2, 1), atol=0.5)
    if backend == "bitstream":
        assert note(found, "16 steps are left out: their pictures have another size than the first (160 x 80)")
        assert note(found, "1 of the pictures read has another size than the first (160 x 80): it is scaled")
        assert len(found.intervals[1].frames) == 0
    else:
        assert note(found, "17 of the pictures read have another size than the first (160 x 80): they are scaled")
        assert np.allclose(list(speeds(found, 1)), (1, 0.5), atol=0.25)


def test_damage_is_told_of_what_is_encoded_again(encode_clip: Encode) -> None:
    whole = encode_clip("whole.ts", options={"g": "12", "bf": "0"}, num_frames=40, size=(320, 256))
    found = Video(lose(whole, "lost.ts", 13)).decompose(num_anchors=1, backend="coviar")
    assert note(found, "1 picture is damaged: it was encoded again")


def test_missing_memory_is_not_taken_for_damage(encode_clip: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a video kept without the pictures for which there was none."""
    video = Video(encode_clip("a.mp4", options={"g": "12", "bf": "0"}, num_frames=40))
    video.decompose(num_anchors=2, backend="bitstream")
    decode_packet, calls = Decoder._decode, 0

    def decode_once(decoder: Decoder, packet: Any) -> Iterator[tuple[int, av.VideoFrame]]:
        nonlocal calls
        calls += 1
        if calls == 1:
            return decode_packet(decoder, packet)
        decoder.refusal = av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory")
        return iter(())

    monkeypatch.setattr(Decoder, "_decode", decode_once)
    with pytest.raises(VideoError, match=r"no memory for all pictures of .*a.mp4") as raised:
        video.decompose(num_anchors=2, backend="bitstream")
    assert isinstance(raised.value.__cause__, MemoryError)
