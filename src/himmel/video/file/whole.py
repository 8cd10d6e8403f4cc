"""Notes about what is missing in a file, or is not read of it."""

import io
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

from himmel._text import by_number
from himmel.video.file.boxes import inside, read_movie, sample_table, top_boxes
from himmel.video.file.container import demux, open_stream
from himmel.video.file.packets import MAX_PACKETS, Columns
from himmel.video.file.pyav import PACKETS_HAVE_SIDE_DATA, STREAMS_CAN_BE_DISCARDED, STREAMS_HAVE_AN_INDEX

# Boxes that hold pictures or say where they are.
_NEEDED = frozenset({b"mdat", b"moof", b"moov"})
# How a file of these formats begins, header flags and all, and how far behind the pictures that is looked for again.
_SIGNATURE_BYTES = {"flv": 9, "asf": 16}
_SEARCHED = 2**24
# Where an FLV's tags begin, how long a tag's head is, its kinds, and how much of a sequence header is compared.
_FLV_BEGIN, _FLV_TAG, _FLV_VIDEO, _FLV_H264, _FLV_HEADER_BYTES = 13, 11, 9, 7, 2**16
# A transport stream is looked at closer if so much of it lies behind its pictures.
_BARE_SHARE = 0.02
# Packets that are looked at, and how many of them another stream of pictures has at least.
_LOOKED_AT, _FEWEST = 2000, 10


def note_missing(path: Path, stream: VideoStream) -> str | None:
    """A sentence if the file is cut short.

    Pictures that an edit list leaves out are in the file's own table, but not in FFmpeg's index.

    Args:
        stream: of a container that was read to its end, so that all fragments are in its index.
    """
    size = path.stat().st_size
    index = stream.index_entries if STREAMS_HAVE_AN_INDEX else ()
    entries = [(entry.pos, entry.pos + entry.size) for entry in index]
    if any(end > size for _, end in entries):
        there = sum(begin < size for begin, _ in entries)
        return f"The file is cut short: {there} of {len(entries)} pictures can be read."
    with path.open("rb", buffering=0) as file:
        needed = [box for box in top_boxes(file) if box.kind in _NEEDED]
    end = max((box.end for box in needed), default=0)
    if end > size:
        missing = by_number(end - size, "{} byte is missing", "{} bytes are missing")
        return f"The file is cut short: {missing} at its end."
    if needed and needed[-1].kind == b"moof":
        return "The file is cut short: the pictures of its last fragment are missing."
    return None


def note_changes(path: Path, format_name: str, track: int) -> str | None:
    """A sentence if the global header changes in the middle of a file and PyAV does not say where.

    Args:
        track: number of an MP4's track.
    """
    if PACKETS_HAVE_SIDE_DATA:
        return None
    with path.open("rb", buffering=0) as file:
        if format_name == "flv":
            changes = len(set(_flv_headers(file))) > 1
        else:
            movie = read_movie(file)
            described = memoryview(b"") if movie is None else inside(sample_table(movie, track), b"stsd")
            changes = int.from_bytes(described[4:8], "big") > 1
    if not changes:
        return None
    return (
        f"The codec's parameters change in the middle of the file, which PyAV {av.__version__} does not tell: pictures "
        "after the change may be wrong; install PyAV 16 or later."
    )


def _flv_headers(file: io.FileIO) -> Iterator[bytes]:
    """The H.264 sequence headers of an FLV (Adobe's FLV specification, E.4.3.1)."""
    at = _FLV_BEGIN
    for _ in range(MAX_PACKETS):
        file.seek(at)
        tag = file.read(_FLV_TAG + 2)
        if len(tag) < _FLV_TAG + 2:
            return
        length = int.from_bytes(tag[1:4], "big")
        if tag[0] & 0x1F == _FLV_VIDEO and tag[_FLV_TAG] & 0xF == _FLV_H264 and tag[_FLV_TAG + 1] == 0:
            file.seek(at + _FLV_TAG)
            yield file.read(min(length, _FLV_HEADER_BYTES))
        at += _FLV_TAG + length + 4


def note_appended(path: Path, format_name: str, columns: Columns) -> str | None:
    """A sentence if another file of the same kind follows in this one where FFmpeg stops reading: it is not read."""
    with path.open("rb", buffering=0) as file:
        if format_name in _SIGNATURE_BYTES:
            signature = file.read(_SIGNATURE_BYTES[format_name])
            file.seek(int(np.max(columns.pos + columns.size, initial=len(signature))))
            appended = signature in file.read(_SEARCHED)
        else:
            appended = sum(box.kind == b"moov" for box in top_boxes(file)) > 1
    if not appended:
        return None
    return "The file contains another recording after this one, which is not read: to read it, split the file there."


def note_other_stream(path: Path, stream: VideoStream, columns: Columns) -> str | None:
    """A sentence if a transport stream's pictures continue in another stream.

    Broadcasters change a programme's PID now and then.
    """
    if not (columns.pos >= 0).any():
        return None
    last = int(columns.pos.max() + columns.size[np.argmax(columns.pos)])
    size = path.stat().st_size
    other = _find_pictures(path, stream.id, last) if size - last > _BARE_SHARE * size else None
    if other is None:
        return None
    return (
        f"The video continues in another stream of the file (PID {other}, not {stream.id}), which is not read: to read "
        "it, split the file where the stream changes."
    )


def _find_pictures(path: Path, own: int, start: int) -> int | None:
    """The PID of a stream of pictures other than `own` from a place in a file on."""
    counts: dict[int, int] = {}
    try:
        with open_stream(path) as (container, _):
            if STREAMS_CAN_BE_DISCARDED:
                for other in container.streams:
                    other.discard = av.stream.Discard.none
            container.seek(start, unsupported_byte_offset=True)
            for _, packet in zip(range(_LOOKED_AT), demux(container), strict=False):
                if packet.stream.type == "video" and packet.stream.id != own:
                    counts[packet.stream.id] = counts.get(packet.stream.id, 0) + 1
    except av.FFmpegError:
        return None
    most = max(counts, key=counts.__getitem__, default=None)
    return most if most is not None and counts[most] >= _FEWEST else None
