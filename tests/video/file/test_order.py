"""The order of pictures where the file does not store it, or not exactly enough."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from writer import write_stream
from writer_features import FEATURES

from himmel.video import StepMaps, Video
from himmel.video.file.container import open_stream
from himmel.video.file.decoder import learn_order
from himmel.video.file.index import build_index
from himmel.video.file.order import read_order
from himmel.video.file.pyav import STREAMS_HAVE_AN_INDEX
from odd_files import take_apart, write_mp4, write_vfw
from stamps import read_stamp, stamp

Encode = Callable[..., Path]

PYRAMID = {"g": "24", "bf": "3", "x264-params": "b-adapt=0:b-pyramid=normal:ref=3:scenecut=0"}
OPEN = {"g": "24", "bf": "3", "x264-params": "open-gop=1:b-adapt=0:b-pyramid=normal:scenecut=0"}
HEVC = {"x265-params": "log-level=none:keyint=24:bframes=4:b-adapt=0:scenecut=0:open-gop=1"}
NOTE = "The file does not store the order in which its pictures are shown: the order was read from the video stream."


def without_times(source: Path, target: Path) -> Path:
    """Copy a clip with the times of decoding as those of presentation, as stream copying of a raw stream does it."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(p for p in old.demux(video=0) if p.size):
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number - 2
            packet.duration = 1
            new.mux(packet)
    return target


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", PYRAMID),
        ("a.mov", "libx264", PYRAMID),
        ("a.mkv", "libx264", PYRAMID),
        ("a.mp4", "libx264", OPEN),
        ("a.mp4", "libx264", {"g": "24", "bf": "3", "flags": "+ilme+ildct", "x264-params": "interlaced=1"}),
        ("a.mp4", "libx265", HEVC),
        ("a.mov", "libx265", HEVC),
        ("a.mkv", "libx265", HEVC),
        ("a.mp4", "mpeg4", {"g": "24", "bf": "2"}),
        ("a.mkv", "mpeg2video", {"g": "24", "bf": "2"}),
    ],
)
def test_b_pictures_without_times_of_presentation(
    name: str, codec: str, options: dict, tmp_path: Path, encode_clip: Encode
) -> None:
    """Each picture carries its number; maps are those of the file with times."""
    whole = encode_clip("whole.mkv", [stamp(k) for k in range(60)], codec=codec, options=options)
    video = Video(without_times(whole, tmp_path / name))
    assert video.num_frames == 60
    np.testing.assert_allclose(video.times, np.arange(60) / 25, atol=2e-3)
    assert video.duration == pytest.approx(60 / 25, abs=0.01)
    read, known = (v.decompose(num_anchors=60, anchor_mode="exact") for v in (video, Video(whole)))
    assert [read_stamp(anchor.image) for anchor in read.anchors] == list(range(60))
    if codec in ("libx264", "libx265"):
        assert NOTE in video.notes
    one, other = (v.decompose(num_anchors=2, steps_per_interval=20) for v in (video, Video(whole)))
    assert [a.frame for a in one.anchors] == [a.frame for a in other.anchors]
    for first, second in zip(one.intervals, other.intervals, strict=True):
        for field in StepMaps.__dataclass_fields__:
            assert np.array_equal(first.maps.__dict__[field], second.maps.__dict__[field]), field
    assert len(read.anchors) == len(known.anchors)


@pytest.mark.parametrize(
    ("codec", "fourcc", "options"),
    [("libx264", b"H264", PYRAMID), ("mpeg4", b"XVID", {"g": "24", "bf": "2"})],
)
def test_a_stream_as_avi_has_it_in_matroska(
    codec: str, fourcc: bytes, options: dict, tmp_path: Path, encode_clip: Encode
) -> None:
    kind = {"libx264": "h264", "libx265": "hevc", "mpeg4": "m4v"}[codec]
    raw = encode_clip(f"a.{kind}", [stamp(k) for k in range(60)], codec=codec, options=options)
    with av.open(str(raw)) as container:
        packets = [(bytes(packet), packet.is_keyframe) for packet in container.demux(video=0) if packet.size]
    video = Video(write_vfw(tmp_path / "a.mkv", packets, fourcc, (160, 128)))
    assert video.num_frames == 60
    anchors = video.decompose(num_anchors=60, anchor_mode="exact").anchors
    assert [read_stamp(anchor.image) for anchor in anchors] == list(range(60))


def test_an_mp4_without_composition_offsets(tmp_path: Path, encode_clip: Encode) -> None:
    whole = encode_clip("whole.mp4", [stamp(k) for k in range(60)], options=PYRAMID)
    track = take_apart(whole)
    plain = write_mp4(tmp_path / "plain.mp4", track.samples, [track.entry], track.size, with_offsets=False)
    video = Video(plain)
    assert video._file.index.direct == STREAMS_HAVE_AN_INDEX
    anchors = video.decompose(num_anchors=60, anchor_mode="exact").anchors
    assert [read_stamp(anchor.image) for anchor in anchors] == list(range(60))
    # More is hidden than decoding can be ahead by: it is meant.
    cut = write_mp4(
        tmp_path / "cut.mp4", track.samples, [track.entry], track.size, with_offsets=False, edits=[(40, 20)]
    )
    anchors = Video(cut).decompose(num_anchors=40, anchor_mode="exact").anchors
    assert [read_stamp(anchor.image) for anchor in anchors] == list(range(20, 60))


def test_no_b_pictures_no_note(tmp_path: Path, encode_clip: Encode) -> None:
    """The encoder said that it may reorder pictures, and did not."""
    still = [stamp(3)] * 2 + [np.random.default_rng(k).integers(0, 255, (128, 160, 3), np.uint8) for k in range(20)]
    whole = encode_clip("whole.mp4", still, options={"bf": "2", "x264-params": "b-adapt=1"})
    video = Video(without_times(whole, tmp_path / "a.mp4"))
    if (np.diff(Video(whole)._file.index.pts) > 0).all():
        assert video.notes == ()


@pytest.mark.parametrize(("codec", "options"), [("libx264", PYRAMID), ("libx265", HEVC)])
@pytest.mark.parametrize("rate", [1000, 2000, 5000])
def test_equal_times_in_a_clock_of_milliseconds(
    rate: int, codec: str, options: dict, tmp_path: Path, encode_clip: Encode
) -> None:
    whole = encode_clip("whole.mp4", [stamp(k) for k in range(60)], codec=codec, options=options)
    path = tmp_path / "fast.mkv"
    with av.open(str(whole)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                place = round(packet.pts * packet.time_base * 25)
                packet.stream, packet.time_base, packet.dts = stream, Fraction(1, 1000), None
                packet.pts = place * 1000 // rate
                packet.duration = 0
                new.mux(packet)
    video = Video(path)
    assert video.num_frames == 60
    assert (np.diff(video.times) >= 0).all()
    assert any("have the same time" in note for note in video.notes) == (rate > 1000)
    anchors = video.decompose(num_anchors=60, anchor_mode="exact").anchors
    assert [read_stamp(anchor.image) for anchor in anchors] == list(range(60))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", sorted(FEATURES))
def test_counts_against_the_decoder(name: str, seed: int, tmp_path: Path) -> None:
    """Streams that no encoder writes: all types of counts, fields, operation 5."""
    stream = write_stream(seed, FEATURES[name])
    path = tmp_path / "a.h264"
    path.write_bytes(stream.data)
    with open_stream(path) as opened:
        index = build_index(path, *opened)
    counted = read_order(path, index, "h264")
    assert counted is not None
    decoded = learn_order(path, index)
    there = np.isin(counted, decoded)
    assert there.mean() > 0.7
    assert counted[there].tolist() == decoded[np.isin(decoded, counted)].tolist()
