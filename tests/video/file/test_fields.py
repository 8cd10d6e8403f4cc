"""Field pictures whose two fields come in packets of their own: streams that no encoder at hand writes."""

import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from writer import WrittenStream, write_stream
from writer_features import FEATURES

from himmel.video import StepMaps, Video
from himmel.video.file.fields import FieldRule


def write(stream: WrittenStream, path: Path) -> Path:
    """A written stream in a container, a packet for each field."""
    raw = path.with_suffix(".h264")
    raw.write_bytes(stream.data)
    if raw == path:
        return path
    with av.open(str(raw)) as source, av.open(str(path), "w") as sink:
        video = source.streams.video[0]
        copy = sink.add_stream_from_template(video)
        number = 0
        for packet in source.demux(video):
            if packet.size:
                # Raw H.264 has no times; any that rise will do to store it.
                packet.pts = packet.dts = number * int(0.02 / packet.time_base)
                packet.stream = copy
                sink.mux(packet)
                number += 1
    assert number == len(stream.pictures) > len(stream.sizes)
    return path


@pytest.mark.parametrize("container", ["h264", "mkv", "ts", "mp4"])
@pytest.mark.parametrize("name", ["field_b", "paff_marking", "paff_mbaff"])
def test_two_fields_are_one_picture(name: str, container: str, tmp_path: Path) -> None:
    """Every picture but the anchor is read, so both of its packets went to the engine and to the decoder."""
    stream = write_stream(0, FEATURES[name])
    video = Video(write(stream, tmp_path / f"a.{container}"))
    assert video.num_frames == len(stream.sizes)
    decomposition = video.decompose(num_anchors=1, steps_per_interval=60)
    assert decomposition.backend == "bitstream"
    assert len(decomposition.intervals[0].frames) == len(stream.sizes) - 1


def test_a_field_pair_lasts_as_long_as_its_two_packets(tmp_path: Path) -> None:
    video = Video(write(write_stream(1, FEATURES["field_b"]), tmp_path / "a.mkv"))
    np.testing.assert_allclose(np.diff(video.times), 0.04, atol=2e-3)
    assert video.duration == pytest.approx(0.04 * video.num_frames, abs=2e-3)


@pytest.mark.parametrize("name", ["field_b", "paff_marking"])
def test_maps_are_those_of_both_fields_in_one_packet(name: str, tmp_path: Path) -> None:
    """As recorders write them; the same references at the same distances."""
    stream = write_stream(1, FEATURES[name])
    apart = write(stream, tmp_path / "apart.mkv")
    joined: dict[int, bytes] = {}
    for unit, picture in zip(stream.units, stream.pictures, strict=True):
        joined[picture.frame] = joined.get(picture.frame, b"") + unit
    together = tmp_path / "together.mkv"
    with av.open(str(apart.with_suffix(".h264"))) as source, av.open(str(together), "w") as sink:
        copy = sink.add_stream_from_template(source.streams.video[0])
        for number, data in enumerate(joined.values()):
            packet = av.Packet(data)
            packet.stream, packet.is_keyframe = copy, number == 0
            packet.pts = packet.dts = number
            packet.time_base = Fraction(1, 25)
            sink.mux(packet)
    read = [
        Video(path).decompose(num_anchors=1, steps_per_interval=60, backend="bitstream").intervals[0]
        for path in (apart, together)
    ]
    assert len(read[0].frames) == len(stream.sizes) - 1
    for field in StepMaps.__dataclass_fields__:
        assert np.array_equal(read[0].maps.__dict__[field], read[1].maps.__dict__[field]), field


def test_a_parameter_set_that_goes_on_and_on_costs_no_time() -> None:
    """Picture order count type 1 with 2^28 offsets of one bit each: every unit as long as an avcC record allows."""
    fields = "1" + "1" + "010" + "1" + "1" + "1" + "0" * 28 + "1" + "0" * 28
    begin = bytes([0x67, 66, 0, 30]) + int(fields.ljust(72, "1"), 2).to_bytes(9, "big")
    unit = begin + b"\xff" * (65535 - len(begin))
    extradata = b"\x01\x42\x00\x1e\xff" + bytes([0xE0 | 31]) + (len(unit).to_bytes(2, "big") + unit) * 31 + b"\0"
    began = time.thread_time()
    assert not FieldRule(extradata).may_find
    assert time.thread_time() - began < 5
