"""Notes about what is missing in a file, or is not read of it."""

from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

from himmel._text import by_number
from himmel.video.file.boxes import top_boxes
from himmel.video.file.container import demux, open_stream
from himmel.video.file.packets import Columns

# Boxes that hold pictures or say where they are.
_NEEDED = frozenset({b"mdat", b"moof", b"moov"})
# How a file of these formats begins, header flags and all, and how far behind the pictures that is looked for again.
_SIGNATURE_BYTES = {"flv": 9, "asf": 16}
_SEARCHED = 2**24
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
    entries = [(entry.pos, entry.pos + entry.size) for entry in stream.index_entries]
    if any(end > size for _, end in entries):
        there = sum(begin < size for begin, _ in entries)
        return f"The file is cut short: {there} of {len(entries)} pictures can be read."
    with path.open("rb", buffering=0) as file:
        end = max((box.end for box in top_boxes(file) if box.kind in _NEEDED), default=0)
    if end > size:
        missing = by_number(end - size, "{} byte is missing", "{} bytes are missing")
        return f"The file is cut short: {missing} at its end."
    return None


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
