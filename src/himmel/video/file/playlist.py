"""Playlists of broadcasts that are still running, which are refused: FFmpeg would wait for what may never come.

It takes a playlist without an end for one that grows, begins three segments before its last, and waits (RFC 8216,
6.3.4). A copy of a finished recording often lacks the end mark.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from himmel.errors import VideoError
from himmel.video.file.source import show

_HLS, _END, _SEGMENT = b"#EXTM3U", b"#EXT-X-ENDLIST", b"#EXTINF"
# dash: a manifest that is dynamic has segments yet to come (ISO 23009-1, 5.3.1.2).
_DYNAMIC = re.compile(rb"<MPD\b[^>]*\btype\s*=\s*[\"']dynamic[\"']")
_BYTES = 2**24
_DASH_HEAD = 2**12
_MOST_VARIANTS = 64


def check_playlist(path: Path) -> None:
    """Raise VideoError for a playlist, or one that it names, of a broadcast that has not ended."""
    with path.open("rb") as file:
        head = file.read(_DASH_HEAD)
        if _DYNAMIC.search(head):
            raise VideoError(
                f"{show(path)} is the manifest of a broadcast that is still running (type 'dynamic'); if it has ended,"
                " write 'static' there."
            )
        if not head.startswith(_HLS):
            return
        playlist = head + file.read(_BYTES)
    for name, listed in [(path, playlist), *_variants(path, playlist)]:
        if _SEGMENT in listed and _END not in listed:
            raise VideoError(
                f"{show(name)} is the playlist of a broadcast that is still running; if it has ended, add a last line"
                " '#EXT-X-ENDLIST' to it."
            )


def _variants(path: Path, playlist: bytes) -> Iterator[tuple[Path, bytes]]:
    """The playlists beside a playlist that it names (RFC 8216, 4.3.4)."""
    lines = [line.strip() for line in playlist.splitlines()]
    named = [line for line in lines if line and not line.startswith(b"#")]
    named += re.findall(rb'#EXT-X-MEDIA:[^\n]*URI="([^"]+)"', playlist)
    for line in named[:_MOST_VARIANTS]:
        try:
            other = path.parent / line.decode()
            with other.open("rb") as file:
                listed = file.read(_BYTES)
        except (OSError, ValueError):
            continue
        if listed.startswith(_HLS):
            yield other, listed
