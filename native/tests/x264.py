"""x264's settings for all clips, so that it writes the same bytes each time and the fields in the order asked for."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import av.filter

from himmel_bitstream import Picture

_CPUINFO = Path("/proc/cpuinfo")
# The AVX-512 code of x264 165 takes other decisions now and then over the same pictures; its AVX2 code does not.
_ASM = ":asm=AVX2" if _CPUINFO.is_file() and "avx512bw" in _CPUINFO.read_text() else ""
PARAMETERS = f"threads=1{_ASM}"


class FieldOrder:
    """Marks frames as top field first, which PyAV's frames themselves cannot be.

    FFmpeg sets x264's order of fields by the frames, not the parameters: frames without a mark make "tff=1"
    a stream with the bottom field first.
    """

    def __init__(self, width: int, height: int, pix_fmt: str) -> None:
        self._graph = av.filter.Graph()
        source = self._graph.add_buffer(width=width, height=height, format=pix_fmt, time_base=Fraction(1, 25))
        self._graph.link_nodes(source, self._graph.add("setfield", "tff"), self._graph.add("buffersink")).configure()

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The marked frame."""
        self._graph.vpush(frame)
        return self._graph.vpull()


def field_order(pictures: Iterable[Picture]) -> set[str]:
    """What the order counts of pictures say: "tff", "bff", or "" where both fields have the same."""
    return {("", "tff", "bff")[(bottom > top) - (bottom < top)] for top, bottom in (p.poc_fields for p in pictures)}
