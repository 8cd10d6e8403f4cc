"""Picture order counts: places in presentation order, from the slice headers of H.264 and HEVC.

A place is (how often counts were set back, count); a stream's pictures are shown in the order of their places.
"""

from himmel.video.file import h264, hevc
from himmel.video.file.bits import Bits
from himmel.video.file.nal import NalUnits

Place = tuple[int, int]

# A slice header up to its marking is never longer.
_HEADER_BYTES = 2048
_H264_SETS, _H264_SLICES = (7, 8), (1, 2, 5)
_HEVC_SETS, _HEVC_END = (33, 34), (36, 37)


class H264Counter:
    """Counts the pictures of an H.264 stream, packet by packet in decode order (ITU-T H.264, 8.2.1).

    Args:
        extradata: the stream's global header.
    """

    def __init__(self, extradata: bytes | None) -> None:
        self._units = NalUnits(extradata)
        self._sets = h264.ParameterSets()
        self._sets.take(self._units.parameter_sets())
        self._round = 0
        self._msb = self._lsb = 0
        self._frame_num = self._offset = 0

    def count(self, packet: bytes) -> Place | None:
        """Place of a packet's picture; None if it holds none.

        Raises:
            KeyError, EOFError: it cannot be read.
        """
        for unit in self._units.units(packet):
            kind = unit[0] & 0x1F
            if kind in _H264_SETS:
                self._sets.take([unit])
            elif kind in _H264_SLICES:
                bits = Bits.of_nal(unit[1:_HEADER_BYTES])
                header = self._sets.read_header(bits, unit[0])
                return self._place(header, resets=h264.resets_order(bits, header))
        return None

    def _place(self, header: h264.SliceHeader, *, resets: bool) -> Place:
        if header.idr:
            self._round += 1
            self._msb = self._lsb = self._frame_num = self._offset = 0
        fields = self._by_lsb(header) if header.sequence.order_type == 0 else self._by_frame_num(header)
        if not resets:
            return self._round, min(fields)
        # Counting starts again at this picture; all pictures before it are shown before it.
        self._round += 1
        self._msb = self._frame_num = self._offset = 0
        self._lsb = 0 if header.parity == h264.BOTTOM else fields[0] - min(fields)
        return self._round, 0

    def _by_lsb(self, header: h264.SliceHeader) -> tuple[int, ...]:
        """Counts of a picture's fields, of type 0 (8.2.1.1)."""
        size = 1 << header.sequence.log2_max_lsb
        msb = self._msb
        if self._lsb - header.lsb >= size // 2:
            msb += size
        elif header.lsb - self._lsb > size // 2:
            msb -= size
        if header.reference:
            self._msb, self._lsb = msb, header.lsb
        count = msb + header.lsb
        return (count, count + header.deltas[0]) if header.parity == h264.FRAME else (count,)

    def _by_frame_num(self, header: h264.SliceHeader) -> tuple[int, ...]:
        """Of types 1 and 2 (8.2.1.2, 8.2.1.3)."""
        if header.frame_num < self._frame_num:
            self._offset += 1 << header.sequence.log2_max_frame_num
        self._frame_num = header.frame_num
        number = self._offset + header.frame_num
        if header.sequence.order_type != 1:
            return (0 if header.idr else 2 * number - (not header.reference),)
        of_others, to_bottom, *cycle = header.sequence.offsets
        number = number if cycle else 0
        number -= number > 0 and not header.reference
        count = 0
        if number > 0:
            rounds, place = divmod(number - 1, len(cycle))
            count = rounds * sum(cycle) + sum(cycle[: place + 1])
        if not header.reference:
            count += of_others
        first, second = header.deltas
        if header.parity == h264.FRAME:
            return count + first, count + first + to_bottom + second
        return (count + first + (to_bottom if header.parity == h264.BOTTOM else 0),)


class HevcCounter:
    """Counts the pictures of an HEVC stream, packet by packet in decode order (ITU-T H.265, 8.3.1).

    Args:
        extradata: the stream's global header.
    """

    def __init__(self, extradata: bytes | None) -> None:
        self._units = NalUnits(extradata, hevc=True)
        self._sets = hevc.ParameterSets()
        self._sets.take(self._units.parameter_sets())
        self._round = self._msb = self._lsb = 0
        self._begins, self._leads_nowhere = True, False

    def count(self, packet: bytes) -> Place | None:
        """Place of a packet's picture; None if it holds none, or one that is not shown.

        Raises:
            KeyError, EOFError: it cannot be read.
        """
        for unit in self._units.units(packet):
            kind = unit[0] >> 1 & 63
            if kind in _HEVC_SETS:
                self._sets.take([unit])
            elif kind in _HEVC_END:
                self._begins = True
            elif hevc.is_slice(unit):
                return self._place(self._sets.read_header(unit[:_HEADER_BYTES]))
        return None

    def _place(self, header: hevc.SliceHeader) -> Place | None:
        if header.may_start:
            self._leads_nowhere = self._begins or header.starts
        if header.starts or (header.may_start and self._begins):
            self._round += 1
            self._msb = self._lsb = 0
            msb = 0
        else:
            size = 1 << header.log2_max_lsb
            msb = self._msb
            if self._lsb - header.lsb >= size // 2:
                msb += size
            elif header.lsb - self._lsb > size // 2:
                msb -= size
        self._begins = False
        if header.base:
            self._msb, self._lsb = msb, header.lsb
        if not header.output or (header.leans_back and self._leads_nowhere):
            return None
        return self._round, msb + header.lsb
