"""Which H.264 packets hold the second field of a picture whose first field came in the packet before.

Recorders and MPEG-TS put each field of a picture into a packet of its own; nothing in the container says so.
"""

from himmel.video.file.bits import Bits
from himmel.video.file.h264 import FRAME, ParameterSets, SliceHeader
from himmel.video.file.nal import NalUnits

# What is read of a slice header is never longer.
_HEADER_BYTES = 48


class FieldRule:
    """Finds second fields in one stream, packet by packet in decode order.

    Args:
        extradata: the stream's global header with its parameter sets; without it no field is found.

    Attributes:
        may_find: whether the stream may hold fields at all (frame_mbs_only_flag is 0 in some parameter set).
    """

    def __init__(self, extradata: bytes | None) -> None:
        self._units = NalUnits(extradata)
        self._sets = ParameterSets()
        self._first: SliceHeader | None = None
        self._sets.take(self._units.parameter_sets())
        self.may_find = any(not sequence.frames_only for sequence in self._sets.sequences.values())

    def is_second(self, data: memoryview) -> bool:
        """Whether a packet holds the second field of the picture whose first field the packet before held."""
        first, self._first = self._first, None
        header = self._header(data)
        if header is None or header.parity == FRAME:
            return False
        if first is not None and _joins(header, first):
            return True
        # Both fields may share a packet: then the last slice is of the other parity.
        last = self._header(data, last=True)
        self._first = header if last is not None and last.parity == header.parity else None
        return False

    def _header(self, data: memoryview, *, last: bool = False) -> SliceHeader | None:
        at = self._units.last_slice(data) if last else self._units.first_slice(data)
        if at is None:
            return None
        try:
            return self._sets.read_header(Bits.of_nal(bytes(data[at + 1 : at + 1 + _HEADER_BYTES])), data[at])
        except (KeyError, EOFError):
            return None


def _joins(header: SliceHeader, first: SliceHeader) -> bool:
    """Whether two fields make a complementary pair (clause 3).

    Beyond the standard, a field that is no reference joins one that is, and an IDR field an IDR field, as FFmpeg and
    the bitstream engine have it.
    """
    return (
        header.parity != first.parity
        and header.frame_num == first.frame_num
        and header.reference <= first.reference
        and header.idr <= first.idr
    )
