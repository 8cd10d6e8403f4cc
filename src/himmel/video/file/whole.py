"""Whether an MP4 or MOV file is all there, so that what is missing is told."""

from pathlib import Path

from av.video.stream import VideoStream

from himmel.video.file.boxes import top_boxes

# Boxes that hold pictures or tell where they are.
_NEEDED = frozenset({b"mdat", b"moof", b"moov"})


def note_missing(path: Path, stream: VideoStream) -> str | None:
    """A sentence if the file is cut short.

    What an edit list leaves out stands in the file's own table, but not in FFmpeg's index.

    Args:
        stream: of a container that was read to its end, so that all fragments are in its index.
    """
    size = path.stat().st_size
    entries = [(entry.pos, entry.pos + entry.size) for entry in stream.index_entries]
    if any(end > size for _, end in entries):
        there = sum(begin < size for begin, _ in entries)
        return f"The file is cut short: {there} of its {len(entries)} pictures are there."
    with path.open("rb", buffering=0) as file:
        end = max((box.end for box in top_boxes(file) if box.kind in _NEEDED), default=0)
    if end > size:
        return f"The file is cut short: its last part lacks {end - size} bytes."
    return None
