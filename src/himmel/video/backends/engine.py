"""The compiled H.264 engine, import package himmel_bitstream, which is there where a compiler was at installation."""

from collections.abc import Iterator, Set
from typing import TYPE_CHECKING

import numpy as np

from himmel.video.file.decoder import Decoder, Segment

try:
    import himmel_bitstream
except ImportError:
    himmel_bitstream = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from himmel_bitstream import Picture

CODEC = "h264"


def is_available() -> bool:
    """Whether the engine can be imported; himmel may be installed without it, where nothing compiles it."""
    return himmel_bitstream is not None


def parse(decoder: Decoder, segment: Segment, *, keep: Set[int], strict: bool = False) -> "Iterator[Picture]":
    """Pictures of a segment's packets in the order in which they are complete, nearly that of decoding.

    Args:
        keep: decode-order numbers of those that will be parsed; of the others only headers are.
        strict: raise UnsupportedStream, a ValueError, at a packet that the engine refuses. Otherwise the stream is
            known to be readable: that packet is damaged, is left out, and what refers to it lacks a reference.

    Raises:
        ValueError: the stream's global header is no such.
    """
    index = decoder.index
    stream = himmel_bitstream.Stream(index.extradata)
    for number, packet in decoder.packets(segment):
        position = float(index.rank[number])
        try:
            pictures = stream.push(packet, number=number, position=position, keep=number in keep)
        except himmel_bitstream.UnsupportedStream:
            if strict:
                raise
            continue
        yield from pictures
    yield from stream.flush()


def is_damaged(picture: "Picture") -> bool:
    """Whether parts of a picture that has been parsed are missing."""
    return picture.broken_header or picture.damaged > 0


def intra_share(picture: "Picture") -> float:
    """Share of a picture's macroblocks that are intra-coded, 0..1."""
    return float(np.mean(picture.macroblocks()["flags"] & himmel_bitstream.INTRA > 0))
