"""Side data of kinds that PyAV doesn't know must not hide the kinds that are needed."""

import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from av.sidedata.sidedata import Type

from himmel.video import Video
from himmel.video.file.side_data import side_data

Encode = Callable[..., Path]

# Exif's orientation 6: turn clockwise by 90 degrees.
_TURNED = 6


def rewrite(source: Path, target: Path, change: Callable[[bytes], bytes]) -> Path:
    """Copy a clip with each packet's bytes changed."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                changed = av.Packet(change(bytes(packet)))
                changed.pts, changed.dts, changed.time_base = packet.pts, packet.dts, packet.time_base
                changed.is_keyframe, changed.stream = packet.is_keyframe, stream
                new.mux(changed)
    return target


def with_exif(jpeg: bytes) -> bytes:
    """Behind the SOI marker, an APP1 segment with a TIFF header and one entry: the orientation."""
    entry = struct.pack("<HHIHH", 0x112, 3, 1, _TURNED, 0)
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(body)) + body + jpeg[2:]


reads_exif = pytest.mark.skipif(
    av.library_versions["libavcodec"] < (62,), reason="FFmpeg before 8 does not read Exif in motion JPEG"
)


@reads_exif
def test_exif_in_motion_jpeg_is_its_orientation(tmp_path: Path, encode_clip: Encode) -> None:
    plain = encode_clip("plain.avi", codec="mjpeg", pix_fmt="yuvj420p", num_frames=10)
    video = Video(rewrite(plain, tmp_path / "exif.avi", with_exif))
    assert video.num_frames == 10
    assert (video.width, video.height, video.rotation) == (128, 160, 90)
    turned, stored = video.decompose(num_anchors=3), Video(plain).decompose(num_anchors=3)
    for one, other in zip(turned.anchors, stored.anchors, strict=True):
        assert np.array_equal(one.image, np.rot90(other.image, -1))


@reads_exif
def test_other_kinds_are_found_or_missing_as_always(tmp_path: Path, encode_clip: Encode) -> None:
    plain = encode_clip("plain.avi", codec="mjpeg", pix_fmt="yuvj420p", num_frames=1)
    with av.open(str(rewrite(plain, tmp_path / "exif.avi", with_exif))) as container:
        frame = next(container.decode(video=0))
        # PyAV knows Exif since release 19.
        if "EXIF" not in Type.__members__:
            with pytest.raises(ValueError, match="not a valid Type"):
                len(frame.side_data)
        found = side_data(frame, "DISPLAYMATRIX")
        assert found is not None
        assert found.buffer_size == 36
        assert side_data(frame, "MOTION_VECTORS") is None
