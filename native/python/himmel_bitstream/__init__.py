"""Reads the motion that an H.264 stream stores, without decoding its pictures.

    from himmel_bitstream import Stream

    stream = Stream(extradata)
    for number, packet in enumerate(packets):
        for picture in stream.push(packet, number=number):
            picture.vectors()
    for picture in stream.flush():
        picture.vectors()

`Stream` takes demuxed packets and returns a `Picture` per frame. A picture is parsed when you first ask for its
content, on any thread.
"""

from himmel_bitstream._core import (
    BOTTOM,
    BYPASS,
    DAMAGED,
    DIRECT,
    FIELD,
    INTRA,
    INTRA_NXN,
    PCM,
    SKIP,
    INTRA16x16,
    TRANSFORM8x8,
    UnsupportedStream,
)
from himmel_bitstream._pictures import MACROBLOCK, VECTOR, Maps, Picture, Slice, Stream

__all__ = [
    "BOTTOM",
    "BYPASS",
    "DAMAGED",
    "DIRECT",
    "FIELD",
    "INTRA",
    "INTRA_NXN",
    "MACROBLOCK",
    "PCM",
    "SKIP",
    "VECTOR",
    "INTRA16x16",
    "Maps",
    "Picture",
    "Slice",
    "Stream",
    "TRANSFORM8x8",
    "UnsupportedStream",
]
