"""An MP4's own tables in place of its packets: FFmpeg's index of it, and the one column that FFmpeg keeps to itself.

When a file is opened, FFmpeg gives place, size, decoding time and keyframes of all pictures. Presentation times come
from the composition offsets (ISO 14496-12, 8.6.1.3). What is unusual is left to `walk_packets`.
"""

import io
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.stream import VideoStream

from himmel.video.file.boxes import boxes, read_movie, sample_table
from himmel.video.file.container import demux
from himmel.video.file.fields import FieldRule
from himmel.video.file.nal import NalUnits
from himmel.video.file.packets import Columns, IntArray, is_mp4
from himmel.video.file.pyav import STREAMS_HAVE_AN_INDEX

# Unencrypted H.264 with its parameter sets in the sample entry, or in the stream as well (ISO 14496-15, 5.4.2.1).
_SAMPLE_ENTRIES = frozenset({b"avc1", b"avc3"})
# AVIndexEntry.
_ENTRY = np.dtype([("dts", "i8"), ("pos", "i8"), ("size", "i4"), ("flags", "i4")])
_KEYFRAME, _DISCARD = 1, 2
# Packets at the beginning, and at most so many at the end, are demuxed to compare.
_FIRST, _LAST = 8, 1024
# A packet's first slice mostly begins in so many bytes.
HEAD = 64


def read_tables(path: Path, container: InputContainer, stream: VideoStream) -> Columns | None:
    """Everything about a file's packets but which are references, and what `agrees` adds; None if it isn't all there.

    That is so for fragmented and encrypted files, several sample descriptions, edit lists that hide pictures, and
    streams that may hold fields, and under a PyAV that keeps FFmpeg's index to itself.
    """
    codec = stream.codec_context
    if codec.name != "h264" or not is_mp4(container) or not STREAMS_HAVE_AN_INDEX:
        return None
    if FieldRule(codec.extradata).may_find:
        return None
    found = ((entry.timestamp, entry.pos, entry.size, entry.flags) for entry in stream.index_entries)
    entries = np.fromiter(found, _ENTRY)
    if not len(entries) or len(entries) != stream.frames or (entries["flags"] & _DISCARD).any():
        return None
    dts, pos, size = (entries[name].copy() for name in ("dts", "pos", "size"))
    key = (entries["flags"] & _KEYFRAME).astype(np.bool_)
    del entries
    if pos.min() < 0 or (pos + size).max() > path.stat().st_size:
        return None
    with path.open("rb", buffering=0) as file:
        offsets = _composition_offsets(file, stream.id, size)
    if offsets is None:
        return None
    pts, duration, every = dts + offsets, np.diff(dts, append=dts[-1]), np.ones_like(key)
    return Columns(pts, dts, pos, size, key, every, every.copy(), ~every, duration, every.copy(), direct=True)


def agrees(path: Path, container: InputContainer, stream: VideoStream, columns: Columns) -> bool:
    """Compare what the tables say with the packets at both ends, which are demuxed; the container must be fresh.

    From the first packet comes what FFmpeg adds to all presentation times (it shifts decoding times so that none is
    later than its picture is shown), from the last ones their durations.
    """
    count = len(columns.size)
    last = int(np.flatnonzero(columns.key)[-1]) if columns.key.any() else 0
    if count - last > _LAST:
        return False
    spans = [(0, min(_FIRST, count)), (last, count)] if last else [(0, count)]
    try:
        with path.open("rb", buffering=0) as file:
            return all(_agrees_in(span, file, container, stream, columns) for span in spans)
    except av.FFmpegError:
        return False


def _agrees_in(
    span: tuple[int, int], file: io.FileIO, container: InputContainer, stream: VideoStream, columns: Columns
) -> bool:
    start, stop = span
    seen = 0
    if start:
        container.seek(int(columns.pts[start]), stream=stream)
    for number, packet in zip(range(start, stop), demux(container, stream), strict=False):
        if packet.pts is None or packet.dts is None or packet.pos is None:
            return False
        if number == 0:
            columns.pts[:] += packet.pts - columns.pts[0]
        told = packet.pts, packet.dts, packet.pos, packet.size, packet.is_keyframe
        held = columns.pts, columns.dts, columns.pos, columns.size, columns.key
        if told != tuple(column[number] for column in held) or packet.is_discard:
            return False
        if number == start:
            file.seek(packet.pos)
            if file.read(packet.size) != bytes(packet):
                return False
        columns.duration[number] = packet.duration or 0
        seen += 1
    return seen == stop - start


def look_up_references(path: Path, pos: IntArray, extradata: bytes | None) -> npt.NDArray[np.bool_]:
    """Which packets of a file with plain tables hold reference pictures, bool [P], from the first bytes of each."""
    units = NalUnits(extradata)
    flags = bytearray(len(pos))
    with path.open("rb", buffering=0) as file:
        for number, place in enumerate(pos.tolist()):
            file.seek(place)
            flags[number] = units.is_reference(memoryview(file.read(HEAD)))
    return np.frombuffer(flags, np.bool_)


def _composition_offsets(file: io.FileIO, track: int, size: npt.NDArray[np.int32]) -> IntArray | None:
    """Composition offset of each sample of the track, int64 [P]; None if the track isn't plain or has other samples."""
    movie = read_movie(file)
    if movie is None or any(kind == b"mvex" for kind, _ in boxes(movie)):
        return None
    return _offsets_of(sample_table(movie, track), size)


def _offsets_of(table: memoryview, size: npt.NDArray[np.int32]) -> IntArray | None:
    found = dict(boxes(table))
    described, sizes, offsets = (bytes(found.get(kind, b"")) for kind in (b"stsd", b"stsz", b"ctts"))
    if described[4:8] != b"\0\0\0\1" or described[12:16] not in _SAMPLE_ENTRIES or len(sizes) < 12:
        return None
    same, count = np.frombuffer(sizes, ">u4", 2, 4).tolist()
    # The count is the file's word alone where all samples are of one size: nothing is made of it before it is checked.
    if count != len(size) or (not same and len(sizes) < 12 + 4 * count):
        return None
    if not np.array_equal(size, np.full(count, same) if same else np.frombuffer(sizes, ">u4", count, 12)):
        return None
    if not offsets:
        return np.zeros(len(size), np.int64)
    runs = np.frombuffer(offsets[8 : len(offsets) // 8 * 8], ">i4").reshape(-1, 2).astype(np.int64)
    if (runs[:, 0] < 0).any() or runs[:, 0].sum() != len(size):
        return None
    return np.repeat(runs[:, 1], runs[:, 0])
