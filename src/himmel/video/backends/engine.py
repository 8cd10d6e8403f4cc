"""The compiled H.264 engine, import package himmel_bitstream, which is there where a compiler was at installation."""

from collections.abc import Iterator, Set
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from himmel.video.file.decoder import Decoder, Segment

try:
    import himmel_bitstream
except ImportError:
    himmel_bitstream = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from himmel_bitstream import Picture

FloatArray = npt.NDArray[np.float32]

CODEC = "h264"
_BOTTOM = 2
_QUARTER = np.float32(0.25)


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


def displacements(vectors: npt.NDArray[np.void]) -> tuple[FloatArray, FloatArray]:
    """From each block of VECTOR [V] to where it is predicted from, float32 [V], right and down in pixels of the frame.

    Vectors of fields are turned into lines of the frame: line k of a bottom field is line 2 k + 1.
    """
    dx, dy = (vectors[name].astype(np.float32) * _QUARTER for name in ("mv_x", "mv_y"))
    parities = (vectors["ref_structure"] == _BOTTOM).astype(np.float32) - (vectors["field"] == _BOTTOM)
    return dx, np.where(vectors["field"] > 0, 2 * dy + parities, dy).astype(np.float32)


def intra_share(picture: "Picture") -> float:
    """Share of a picture's macroblocks that are intra-coded, 0..1."""
    return float(np.mean(picture.macroblocks()["flags"] & himmel_bitstream.INTRA > 0))
