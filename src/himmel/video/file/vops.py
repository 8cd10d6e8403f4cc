"""MPEG-4 Part 2 pictures (VOPs, ISO 14496-2, 6.2) in packets: which kind each is, and B pictures that share a packet.

AVI gives each packet the next moment of one clock, so DivX and XviD pack a B picture behind the later picture that it
is predicted from, and let a packet follow in which nothing is coded. FFmpeg's filter `mpeg4_unpack_bframes` undoes that
the same way: the number of packets stays.
"""

import re
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from himmel._text import by_number
from himmel.video.file.bits import Bits

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

CODEC = "mpeg4"
# vop_coding_type (table 6-20).
_I, _B = 0, 2
_VOP = b"\x00\x00\x01\xb6"
# video_object_layer_start_code ends with 0x20 to 0x2f.
_LAYER = re.compile(rb"\x00\x00\x01[\x20-\x2f]")
# What DivX and XviD write into the stream's user data, with a "p" where B pictures may be packed.
_PACKED = re.compile(rb"\x00\x00\x01\xb2DivX\d{1,5}(?:Build|b)\d{1,8}p")
# A VOP in which nothing is coded is never longer, as FFmpeg has it.
_EMPTY_BYTES = 19
_HEADER_BYTES = 64
# Encoders pack two; what follows the last of so many stays with it.
_MOST_PACKED = 8
_EXTENDED_PAR = 15
_VBV_BITS = 79
_GRAYSCALE = 3


class Vop(NamedTuple):
    """Beginning of a VOP.

    Attributes:
        kind: 0 to 3 for I, P, B, S.
        coded: False where nothing is: the picture before is shown on.
    """

    kind: int
    coded: bool


class VopReader:
    """Reads the packets of one stream one after the other; what headers say holds from there on.

    Args:
        extradata: the stream's global header, if it has one.

    Attributes:
        packed: whether the stream says that B pictures are packed.
    """

    def __init__(self, extradata: bytes | None) -> None:
        self.packed = False
        self._time_bits: int | None = None
        self._held: list[bytes] = []
        self._take_header(extradata or b"")

    def unpack(self, data: bytes) -> bytes:
        """The one VOP to decode in place of a packet; call this for all packets from a keyframe on."""
        starts = self._read_header(data)
        if not self.packed:
            return data
        if len(starts) > 1 and self._at(data, starts[1]).kind == _B:
            ends = [*starts[1:], len(data)]
            first, *self._held = (data[begin:end] for begin, end in zip([0, *starts[1:]], ends, strict=True))
            return first
        if not self._held:
            return data
        ready = self._held.pop(0)
        if self.read(data).coded:
            self._held.append(data)
        return ready

    def read(self, data: bytes) -> Vop:
        """The kind of the VOP in `data`; a P picture with nothing in it where there is none in a few bytes."""
        at = data.find(_VOP)
        return self._at(data, at) if at >= 0 else Vop(1, len(data) > _EMPTY_BYTES)

    def _at(self, data: bytes, start: int) -> Vop:
        """vop_coding_type and vop_coded (6.2.5)."""
        bits = Bits(data[start + 4 : start + 4 + _EMPTY_BYTES])
        try:
            kind = bits.u(2)
            if self._time_bits is None or len(data) - start > _EMPTY_BYTES:
                return Vop(kind, True)
            while bits.u(1):
                pass  # modulo_time_base: a 1 for each second
            bits.u(1), bits.u(self._time_bits), bits.u(1)
            return Vop(kind, bool(bits.u(1)))
        except EOFError:
            return Vop(1, False)

    def _read_header(self, data: bytes) -> list[int]:
        """Look through what comes before the first VOP; returns where VOPs begin, at most one if none are packed."""
        first = data.find(_VOP)
        if first != 0:
            self._take_header(data[: first if first > 0 else _HEADER_BYTES])
        if first < 0 or not self.packed:
            return [first] if first >= 0 else []
        return [found.start() for found in islice(re.finditer(re.escape(_VOP), data), _MOST_PACKED)]

    def _take_header(self, header: bytes) -> None:
        layer = _LAYER.search(header)
        if layer is not None:
            try:
                self._time_bits = _read_time_bits(Bits(header[layer.end() : layer.end() + _HEADER_BYTES]))
            except EOFError:
                return
        self.packed = self.packed or _PACKED.search(header) is not None


def _read_time_bits(bits: Bits) -> int:
    """Length of vop_time_increment, which follows from vop_time_increment_resolution (6.2.3, 6.3.3)."""
    bits.u(1), bits.u(8)  # random_accessible_vol, video_object_type_indication
    verid = 1
    if bits.u(1):
        verid = bits.u(4)
        bits.u(3)
    if bits.u(4) == _EXTENDED_PAR:
        bits.u(16)
    if bits.u(1):  # vol_control_parameters
        bits.u(3)
        if bits.u(1):
            bits.u(_VBV_BITS)
    if bits.u(2) == _GRAYSCALE and verid != 1:
        bits.u(4)
    bits.u(1)
    return max(1, (bits.u(16) - 1).bit_length())


class VopColumns(NamedTuple):
    """What VOPs say about the packets of a stream; see `PictureIndex`.

    Attributes:
        pts: presentation times, as they were unless B pictures are packed.
    """

    pts: IntArray
    key: BoolArray
    reference: BoolArray
    shown: BoolArray
    coded: BoolArray
    packed: bool


class VopRule:
    """Gathers the VOPs of one stream while its packets are walked."""

    def __init__(self, extradata: bytes | None) -> None:
        self._reader = VopReader(extradata)
        self._kinds, self._coded, self._moved = bytearray(), bytearray(), bytearray()

    def add(self, data: bytes) -> None:
        """Take the next packet."""
        own = self._reader.unpack(data)
        kind, coded = self._reader.read(own)
        self._kinds.append(kind)
        self._coded.append(coded)
        # Whether it came in a packet before this one.
        self._moved.append(not data.startswith(own))

    def columns(self, pts: IntArray, key: BoolArray, shown: BoolArray, notes: list[str]) -> VopColumns:
        """What was found, joined with what the container says.

        Args:
            pts: usable times, which packed pictures are given in the order in which they are shown.
        """
        kinds = np.frombuffer(self._kinds, np.uint8)
        coded, moved = np.frombuffer(self._coded, np.bool_), np.frombuffer(self._moved, np.bool_)
        packed = bool(moved.any())
        key = key & coded
        if packed:
            key &= (kinds == _I) & ~moved
            pts = _in_order(pts, kinds != _B)
            notes.append(
                by_number(
                    int(np.sum(moved)),
                    "{} B picture is packed together with the picture before it: they are read separately.",
                    "{} B pictures are packed together with the pictures before them: they are read separately.",
                )
            )
        return VopColumns(pts, key, kinds != _B, shown & coded, coded, packed)


def classic_places(others: BoolArray) -> npt.NDArray[np.float64]:
    """Places in presentation order, of pictures in decode order: B pictures at once, `others` before the next other."""
    place = np.arange(len(others), dtype=np.float64)
    following = np.flatnonzero(others)
    place[following[:-1]] = following[1:] - 0.5
    place[following[-1:]] = len(others)
    return place


def _in_order(times: IntArray, others: BoolArray) -> IntArray:
    """Times dealt out in the order in which pictures are shown."""
    dealt = np.empty_like(times)
    dealt[np.argsort(classic_places(others), kind="stable")] = np.sort(times)
    return dealt
