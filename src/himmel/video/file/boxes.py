"""The boxes of an MP4 or MOV file (ISO 14496-12, 4.2)."""

import io
from collections.abc import Iterator
from typing import NamedTuple

_MOVIE_BYTES = 2**28
_MOST_BOXES = 2**22


class TopBox(NamedTuple):
    """A box of the file itself: its kind, where its contents begin, and where it says that it ends."""

    kind: bytes
    begin: int
    end: int


def top_boxes(file: io.FileIO) -> Iterator[TopBox]:
    """A file's boxes, up to the end of the file or to what is no box."""
    at, size = 0, file.seek(0, io.SEEK_END)
    for _ in range(_MOST_BOXES):
        file.seek(at)
        header = file.read(16)
        if len(header) < 8:
            return
        length, head = int.from_bytes(header[:4], "big"), 8
        if length == 1:
            length, head = int.from_bytes(header[8:16], "big"), 16
        elif length == 0:
            length = size - at
        if length < head:
            return
        yield TopBox(header[4:8], at + head, at + length)
        at += length


def read_movie(file: io.FileIO) -> memoryview | None:
    """Contents of the first movie box; None if there is none, or one that is too large."""
    for box in top_boxes(file):
        if box.kind == b"moov" and box.end - box.begin <= _MOVIE_BYTES:
            file.seek(box.begin)
            return memoryview(file.read(box.end - box.begin))
    return None


def boxes(body: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and contents of the boxes in a box."""
    at = 0
    while at + 8 <= len(body):
        length, head = int.from_bytes(body[at : at + 4], "big"), 8
        if length == 1:
            length, head = int.from_bytes(body[at + 8 : at + 16], "big"), 16
        elif length == 0:
            length = len(body) - at
        if length < head:
            return
        yield bytes(body[at + 4 : at + 8]), body[at + head : at + length]
        at += length


def inside(body: memoryview, *path: bytes) -> memoryview:
    """Contents of a box in a box in a box; empty if one of them is missing."""
    for kind in path:
        body = dict(boxes(body)).get(kind, memoryview(b""))
    return body


def sample_table(movie: memoryview, track: int) -> memoryview:
    """Contents of a track's sample table (8.5.1), by the track's number; empty if it has none."""
    for kind, body in boxes(movie):
        if kind == b"trak" and _track_id(dict(boxes(body)).get(b"tkhd", b"")) == track:
            return inside(body, b"mdia", b"minf", b"stbl")
    return memoryview(b"")


def _track_id(header: memoryview | bytes) -> int:
    """tkhd: version 1 has times of eight bytes (8.3.2)."""
    at = 20 if header[:1] == b"\1" else 12
    return int.from_bytes(header[at : at + 4], "big")
