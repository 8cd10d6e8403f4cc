"""Which backend a file gets: chosen by what its pictures yield, not by the codec's name."""

from pathlib import Path

import numpy as np

from himmel._install import GET_ENGINE, NO_ENGINE
from himmel.errors import VideoError
from himmel.video.backends import bitstream, coviar
from himmel.video.file.decoder import Decoder, Segment
from himmel.video.file.index import PictureIndex
from himmel.video.file.picture import PictureFormat
from himmel.video.file.reference import ZERO_B_VECTORS

_PLACES = 4
_PICTURES = 3


def choose_backend(
    path: Path, codec: str, index: PictureIndex, fmt: PictureFormat, asked: str, has_steps: bool
) -> tuple[str, str]:
    """Return (backend, reason).

    "auto" takes the bitstream engine if it is installed and reads the file, libav if a few pictures from all over the
    file hold vectors, and otherwise proxy.

    Raises:
        VideoError: bitstream or libav was asked for and yields nothing.
    """
    if not has_steps:
        return ("libav" if asked == "auto" else asked), "there is no picture besides the anchors"
    if asked == "proxy":
        return "proxy", "asked for"
    if asked == "coviar":
        if coviar.must_be_recoded(path, codec, index, fmt):
            return (
                "coviar",
                f"asked for; {codec} is encoded again as MPEG-4 Part 2 in groups of {coviar.GROUP} pictures",
            )
        return "coviar", "asked for; the file is MPEG-4 Part 2 without B pictures"
    because = ""
    if asked == "bitstream" or (asked == "auto" and codec == bitstream.CODEC):
        refused = _why_no_bitstream(path, codec, index)
        if refused is None:
            return "bitstream", "asked for" if asked == "bitstream" else "the H.264 stream is parsed without decoding"
        if asked == "bitstream":
            raise VideoError(f"{str(path)!r} cannot be read by backend 'bitstream': {refused}; use 'auto' or 'libav'.")
        because = f"; not bitstream: {refused}"
    backend, reason = _decoding_backend(path, codec, index, fmt, asked)
    return backend, reason + because


def _why_no_bitstream(path: Path, codec: str, index: PictureIndex) -> str | None:
    if codec != bitstream.CODEC:
        return f"it reads H.264 alone, not {codec}"
    if not bitstream.is_available():
        return f"{NO_ENGINE} ({GET_ENGINE})"
    others = np.flatnonzero(~index.key & index.shown)
    if not len(others):
        return "every picture is a keyframe"
    with Decoder(path, index, vectors=False) as decoder:
        reason = None
        for place in sorted({int(others[k * (len(others) - 1) // _PLACES]) for k in range(_PLACES)}):
            start = index.start_for(place)
            reason = bitstream.why_not(decoder, start, place)
            if reason is None:
                return None
        return reason


def _decoding_backend(path: Path, codec: str, index: PictureIndex, fmt: PictureFormat, asked: str) -> tuple[str, str]:
    if asked == "auto" and fmt.interlaced and codec == "h264":
        return "proxy", "the vectors of interlaced H.264 are exported without usable positions"
    if asked == "auto" and codec in ZERO_B_VECTORS and not index.reference.all():
        return "proxy", f"the vectors of B pictures are exported as zeros ({codec})"
    found, seen = _count_vectors(path, index)
    if found:
        return "libav", "asked for" if asked == "libav" else f"the file yields motion vectors ({codec})"
    what = f"{seen} pictures of the file yield no motion vectors ({codec})" if seen else "every picture is a keyframe"
    if asked == "libav":
        raise VideoError(f"{str(path)!r} has no motion vectors for backend 'libav': {what}; use 'auto' or 'proxy'.")
    return "proxy", what


def _count_vectors(path: Path, index: PictureIndex) -> tuple[int, int]:
    """(vectors, pictures looked at) among the first pictures after keyframes at a few places of the file."""
    found = seen = 0
    others = np.flatnonzero(~index.key & index.shown)
    if not len(others):
        return 0, 0
    places = {int(others[k * (len(others) - 1) // _PLACES]) for k in range(_PLACES)}
    starts = sorted({index.start_for(place) for place in places})
    with Decoder(path, index, vectors=True) as decoder:
        for start in starts:
            last = min(start + _PICTURES, len(index.size) - 1)
            for number, frame in decoder.pictures(Segment(start, tuple(range(start, last + 1)))):
                data = frame.side_data.get("MOTION_VECTORS")
                found += 0 if data is None else len(data.to_ndarray())
                seen += not index.key[number]
            if found:
                break
    return found, seen
