"""Which pictures others are predicted from, and which of them is assumed to be the reference."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from himmel.video import Video
from himmel.video.file.container import open_stream
from himmel.video.file.decoder import Decoder, Segment, plan_segments
from himmel.video.file.index import PictureIndex, build_index, with_references
from himmel.video.file.reference import ReferenceRule

Encode = Callable[..., Path]

PYRAMID = {"g": "24", "bf": "3", "x264-params": "b-adapt=0:b-pyramid=normal:ref=4:open-gop=0:scenecut=0"}


def index_of(path: Path) -> PictureIndex:
    """The picture index of a clip."""
    with open_stream(path) as (container, stream):
        return with_references(path, build_index(path, container, stream))


@pytest.mark.parametrize("name", ["avcc.mp4", "avcc.mkv", "annexb.ts"])
def test_h264_reference_flags_follow_the_pyramid(name: str, encode_clip: Encode) -> None:
    """I0 P4 B2 b1 b3: the middle B picture is a reference, the outer ones are not."""
    index = index_of(encode_clip(name, options=PYRAMID, num_frames=48))
    flags = index.reference[index.order][:24]
    assert flags[:21].tolist() == [True, False, True, False] * 5 + [True]
    number = {frame: int(n) for frame, n in enumerate(index.order)}
    assert index.references_for(number[4]) == (number[0], -1)
    assert index.references_for(number[2]) == (number[0], number[4])
    assert index.references_for(number[1]) == (number[0], number[2])
    assert index.references_for(number[3]) == (number[2], number[4])
    assert index.references_for(number[0]) == (-1, -1)


def test_mpeg2_b_pictures_are_no_references(encode_clip: Encode) -> None:
    path = encode_clip("a.mpg", codec="mpeg2video", options={"g": "12", "bf": "2"})
    index = index_of(path)
    with av.open(str(path)) as container:
        kinds = [av.video.frame.PictureType(frame.pict_type).name for frame in container.decode(video=0)]
    assert index.reference[index.order].tolist() == [kind != "B" for kind in kinds]
    assert "B" in kinds


def test_displacements_over_estimated_distances_agree_in_a_pyramid(encode_clip: Encode, pan: Callable) -> None:
    path = encode_clip("p.mp4", pan(48, (160, 128), (2, 2)), options=PYRAMID)
    maps = Video(path).decompose(num_anchors=1, steps_per_interval=47).intervals[0].maps
    known = maps.past_valid[:, 3:-3, 3:-3] > 0.99
    speeds = [
        np.median(maps.past[k, 0, 3:-3, 3:-3][known[k]]) / maps.past_distance[k]
        for k in range(len(known))
        if maps.past_distance[k] and known[k].sum() > 20
    ]
    assert len(speeds) > 10
    assert (np.abs(np.array(speeds) - 2) < 0.2).mean() > 0.8


def test_long_messages_before_the_slice_are_passed_over() -> None:
    rule = ReferenceRule("h264", None)
    padding = b"\x00\x00\x01\x06" + b"\x05" * 5000
    for header, expected in ((0x65, True), (0x41, True), (0x01, False), (0x21, True)):
        packet = av.Packet(padding + b"\x00\x00\x00\x01" + bytes([header, 0x88, 0x80]))
        assert rule.is_reference(packet, reordered=False) is expected
    assert rule.is_reference(av.Packet(b"\x00\x00\x01"), reordered=False) is True
    avcc = ReferenceRule("h264", bytes([1, 100, 0, 31, 0xFF, 0xE1, 0, 0]))
    unit = bytes([0, 0, 0, 3, 0x06, 1, 1, 0, 0, 0, 2, 0x01, 0x88])
    assert avcc.is_reference(av.Packet(unit), reordered=False) is False
    assert avcc.is_reference(av.Packet(b"\xff\xff\xff\xff\x06"), reordered=False) is True


def test_leading_pictures_of_an_open_gop_start_at_the_keyframe_before(encode_clip: Encode) -> None:
    path = encode_clip("o.mkv", options={"g": "12", "bf": "3", "x264-params": "open-gop=1"}, num_frames=60)
    index = index_of(path)
    keys = index.key_numbers
    leading = [n for n in range(len(index.size)) if (k := keys[keys <= n].max()) != n and index.rank[n] < index.rank[k]]
    assert leading
    for number in leading:
        before = keys[keys <= number]
        assert index.start_for(number) == before[-2]
    with Decoder(path, index, vectors=True) as decoder:
        for number in leading[:4]:
            segment = Segment(index.start_for(number), (number,))
            assert number in [found for found, _ in decoder.pictures(segment)]


def test_segments_join_where_they_overlap(encode_clip: Encode) -> None:
    index = index_of(encode_clip("s.mp4", options={"g": "10", "bf": "0"}, num_frames=50))
    one = plan_segments(index, [{3}, {7}, {25}])
    assert one == [Segment(0, (3, 7)), Segment(20, (25,))]
    # Two pictures that belong together come from one stretch.
    assert plan_segments(index, [{19, 20}]) == [Segment(10, (19, 20))]
    assert plan_segments(index, [{29, 30}, {35}]) == [Segment(20, (29, 30, 35))]
    assert plan_segments(index, []) == []


def test_intra_refresh_gives_every_picture(encode_clip: Encode) -> None:
    """What counts as a keyframe there gives whole pictures only later: an earlier start is tried."""
    path = encode_clip("i.mp4", options={"x264-params": "intra-refresh=1:keyint=20"}, num_frames=80, size=(96, 64))
    with av.open(str(path)) as container:
        plain = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    decomposition = Video(path).decompose(num_anchors=5)
    assert not any("cannot be decoded" in note for note in decomposition.notes)
    for anchor in decomposition.anchors:
        assert np.abs(anchor.image.astype(int) - plain[anchor.frame]).mean() < 1
