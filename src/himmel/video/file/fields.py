"""Which H.264 packets hold the second field of a picture whose first field came in the packet before.

Recorders and MPEG-TS put each field of a picture into a packet of its own; nothing in the container says so.
"""

from dataclasses import dataclass

from himmel.video.file.bits import Bits
from himmel.video.file.nal import NalUnits

_FRAME, _TOP = 0, 1
_IDR, _SPS, _PPS = 5, 7, 8
# A slice header's fields up to bottom_field_flag are never longer.
_HEADER_BYTES = 24
# Nor a parameter set up to frame_mbs_only_flag, scaling lists and all, unless it is made to waste time.
_SET_BYTES = 4096
# Profiles whose parameter sets tell the chroma format and scaling lists (7.3.2.1.1).
_WITH_CHROMA = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})


@dataclass(frozen=True)
class _Sequence:
    """What a sequence parameter set says about slice headers."""

    log2_max_frame_num: int
    separate_planes: bool
    frames_only: bool


@dataclass(frozen=True)
class _Header:
    """Beginning of a slice header; parity 0 for frames, 1 top, 2 bottom field."""

    frame_num: int
    parity: int
    reference: bool
    idr: bool


class FieldRule:
    """Finds second fields in one stream, packet by packet in decode order.

    Args:
        extradata: the stream's global header with its parameter sets; without it no field is found.

    Attributes:
        may_find: whether the stream may hold fields at all (frame_mbs_only_flag is 0 in some parameter set).
    """

    def __init__(self, extradata: bytes | None) -> None:
        self._units = NalUnits(extradata)
        self._sequences: dict[int, _Sequence] = {}
        self._pictures: dict[int, int] = {}
        self._first: _Header | None = None
        for unit in self._units.parameter_sets():
            self._take_set(unit)
        self.may_find = any(not sequence.frames_only for sequence in self._sequences.values())

    def is_second(self, data: memoryview) -> bool:
        """Whether a packet holds the second field of the picture whose first field the packet before held."""
        first, self._first = self._first, None
        header = self._header(data)
        if header is None or header.parity == _FRAME:
            return False
        if first is not None and _joins(header, first):
            return True
        # Both fields may share a packet: then the last slice is of the other parity.
        last = self._header(data, last=True)
        self._first = header if last is not None and last.parity == header.parity else None
        return False

    def _header(self, data: memoryview, *, last: bool = False) -> _Header | None:
        at = self._units.last_slice(data) if last else self._units.first_slice(data)
        if at is None:
            return None
        nal = data[at]
        bits = Bits.of_nal(bytes(data[at + 1 : at + 1 + _HEADER_BYTES]))
        try:
            bits.ue(), bits.ue()  # first_mb_in_slice, slice_type
            sequence = self._sequences[self._pictures[bits.ue()]]
            bits.u(2 * sequence.separate_planes)
            frame_num = bits.u(sequence.log2_max_frame_num)
            parity = _FRAME if sequence.frames_only or not bits.u(1) else _TOP + bits.u(1)
        except (KeyError, EOFError):
            return None
        return _Header(frame_num, parity, bool(nal & 0x60), nal & 0x1F == _IDR)

    def _take_set(self, unit: bytes) -> None:
        bits = Bits.of_nal(unit[1 : 1 + _SET_BYTES])
        try:
            if unit[0] & 0x1F == _SPS:
                number, sequence = _read_sequence(bits)
                self._sequences[number] = sequence
            elif unit[0] & 0x1F == _PPS:
                number = bits.ue()
                self._pictures[number] = bits.ue()
        except EOFError:
            return


def _joins(header: _Header, first: _Header) -> bool:
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


def _read_sequence(bits: Bits) -> tuple[int, _Sequence]:
    """seq_parameter_set_id and what matters here (7.3.2.1.1)."""
    profile = bits.u(8)
    bits.u(16)
    number, separate = bits.ue(), False
    if profile in _WITH_CHROMA:
        chroma = bits.ue()
        separate = chroma == 3 and bool(bits.u(1))
        bits.ue(), bits.ue(), bits.u(1)
        if bits.u(1):
            for k in range(12 if chroma == 3 else 8):
                if bits.u(1):
                    _skip_scaling_list(bits, 16 if k < 6 else 64)
    log2_max_frame_num = 4 + bits.ue()
    order_type = bits.ue()
    if order_type == 0:
        bits.ue()
    elif order_type == 1:
        bits.u(1)
        bits.ue(), bits.ue()
        for _ in range(bits.ue()):
            bits.ue()
    bits.ue(), bits.u(1), bits.ue(), bits.ue()
    return number, _Sequence(log2_max_frame_num, separate, bool(bits.u(1)))


def _skip_scaling_list(bits: Bits, size: int) -> None:
    """7.3.2.1.1.1; values count from 8, and a next one of 0 ends the list."""
    latest = 8
    for _ in range(size):
        code = bits.ue()
        latest = (latest + ((code + 1) // 2 if code % 2 else -(code // 2))) % 256
        if latest == 0:
            return
