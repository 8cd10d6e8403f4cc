"""Encryption that FFmpeg takes for damage: what a file's own words say about it."""

from pathlib import Path

from himmel.errors import VideoError
from himmel.video.file.boxes import boxes, inside, read_movie, sample_table
from himmel.video.file.source import show

# Kinds of sample entries that hold what is encrypted: Common Encryption (ISO 14496-12, 8.12), and Apple's own.
_ENCRYPTED = frozenset({b"encv", b"drmi", b"drms"})
# Bytes of a visual sample entry before its boxes (12.1.3).
_VISUAL_ENTRY = 78
_HEAD = 2**20
_MATROSKA = b"\x1a\x45\xdf\xa3"
# ContentEncodingType 1 (RFC 9559, 5.1.4.1.31.3).
_CONTENT_ENCRYPTION = b"\x50\x33\x81\x01"
# Length of a transport packet with what comes before it: nothing, or four bytes of time as cameras and discs have it.
_PACKETS = ((188, 0), (192, 4))
_SYNC, _SCRAMBLED = 0x47, 0xC0
_MOST_SCRAMBLED = 0.2


def check_samples(path: Path, track: int) -> str | None:
    """A note if a part of an MP4's track is encrypted.

    Raises:
        VideoError: all of it is.
    """
    with path.open("rb", buffering=0) as file:
        movie = read_movie(file)
    entries = list(boxes(inside(sample_table(movie or memoryview(b""), track), b"stsd")[8:]))
    encrypted = [(kind, body) for kind, body in entries if kind in _ENCRYPTED]
    if not encrypted:
        return None
    kind, body = encrypted[0]
    scheme = (bytes(inside(body[_VISUAL_ENTRY:], b"sinf", b"schm")[4:8]) or kind).decode("latin-1")
    if len(encrypted) == len(entries):
        raise VideoError(f"{show(path)} is encrypted (scheme {scheme!r}); decrypt it with its key first.")
    return f"Part of the file is encrypted (scheme {scheme!r}): its pictures cannot be read correctly."


def is_encrypted(path: Path) -> bool:
    """Whether a Matroska file or a transport stream that could not be read says that it is encrypted."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(_MATROSKA):
        return _CONTENT_ENCRYPTION in head
    for length, begin in _PACKETS:
        starts = range(begin, len(head) - 3, length)
        if len(starts) > 1 and all(head[at] == _SYNC for at in starts):
            return sum(bool(head[at + 3] & _SCRAMBLED) for at in starts) > _MOST_SCRAMBLED * len(starts)
    return False
