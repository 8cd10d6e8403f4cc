"""The order in which a stream's pictures are shown, from the stream itself, for files that do not store it.

H.264 and HEVC have it in each picture's first slice header: a count that rises in presentation order and starts again
at some pictures. In MPEG's older codecs a B picture is shown at once, any other picture when the next one that is not B
comes. Files of other codecs are decoded once.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from himmel.video.file.counters import H264Counter, HevcCounter
from himmel.video.file.decoder import Decoder, Segment, learn_order
from himmel.video.file.index import PictureIndex, with_order
from himmel.video.file.packets import BoolArray, IntArray
from himmel.video.file.vops import CODEC as MPEG4
from himmel.video.file.vops import classic_places

# A packet's first slice header, and the parameter sets before it, mostly lie within so many bytes.
_HEAD = 8192
# MPEG-1 and MPEG-2: the start code of pictures, and picture_coding_type behind ten bits (ISO 13818-2, 6.2.3).
_MPEG12 = frozenset({"mpeg1video", "mpeg2video"})
_PICTURE, _KIND, _B = b"\0\0\1\0", 0x0038, 0x0018


def in_order(path: Path, index: PictureIndex, codec: str) -> PictureIndex:
    """The index with its pictures in the order in which they are shown, where times leave that open.

    Args:
        codec: FFmpeg's name.
    """
    if index.has_order:
        return index
    if codec in _MPEG12:
        index = replace(index, reference=~_b_pictures(path, index))
    numbers = read_order(path, index, codec)
    if numbers is not None:
        return with_order(index, numbers, "the order was read from the video stream")
    return with_order(index, learn_order(path, index), "all pictures were decoded once to find the order")


def read_order(path: Path, index: PictureIndex, codec: str) -> IntArray | None:
    """Decode-order numbers in presentation order, found without decoding; None if they cannot be.

    Args:
        index: with the references of MPEG-1, MPEG-2 and MPEG-4 Part 2, which are all but the B pictures.
    """
    if codec in _MPEG12 or codec == MPEG4:
        pictures = np.flatnonzero(index.coded)
        return pictures[np.argsort(classic_places(index.reference[pictures]), kind="stable")]
    if codec not in ("h264", "hevc"):
        return None
    counter = H264Counter(index.extradata) if codec == "h264" else HevcCounter(index.extradata)
    places: dict[int, tuple[int, int, int]] = {}
    try:
        for number, packet in _heads(path, index):
            place = None if index.second[number] else counter.count(packet)
            if place is not None:
                places[number] = (int(index.part[number]), *place)
    except (KeyError, EOFError):
        return None
    return np.array(sorted(places, key=places.__getitem__), np.int64)


def _b_pictures(path: Path, index: PictureIndex) -> BoolArray:
    """Which packets hold B pictures of MPEG-1 or MPEG-2, bool [P]."""
    found = np.zeros(len(index.size), np.bool_)
    for number, packet in _heads(path, index):
        at = packet.find(_PICTURE) + len(_PICTURE)
        found[number] = at >= len(_PICTURE) and int.from_bytes(packet[at : at + 2], "big") & _KIND == _B
    return found


def _heads(path: Path, index: PictureIndex) -> Iterator[tuple[int, bytes]]:
    """The beginning of each packet, at least, with its decode-order number."""
    if index.direct:
        with path.open("rb", buffering=0) as file:
            for number, (place, size) in enumerate(zip(index.pos.tolist(), index.size.tolist(), strict=True)):
                file.seek(place)
                yield number, file.read(min(size, _HEAD))
        return
    with Decoder(path, index, vectors=False) as decoder:
        for number, packet in decoder.packets(Segment(0, tuple(range(len(index.size))))):
            yield number, bytes(packet)
