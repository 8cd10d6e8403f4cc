"""HEVC's parameter sets and slice headers, as far as the order of pictures needs them (ITU-T H.265, 7.3)."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from himmel.video.file.bits import Bits

# NAL unit types (Table 7-1).
_SPS, _PPS = 33, 34
_BLA, _IDR, _IRAP = range(16, 19), range(19, 21), range(16, 24)
_RADL, _RASL = range(6, 8), range(8, 10)
_SLICES = 32
_SET_BYTES = 4096
_MOST_LAYERS = 7


@dataclass(frozen=True)
class _PictureSet:
    """A picture parameter set (7.4.3.3.1)."""

    sequence: int
    tells_output: bool
    extra_bits: int


@dataclass(frozen=True)
class _Sequence:
    """A sequence parameter set (7.4.3.2.1)."""

    log2_max_lsb: int
    separate_planes: bool


@dataclass(frozen=True)
class SliceHeader:
    """Beginning of the first slice's header of a picture (7.3.6.1).

    Attributes:
        kind: nal_unit_type.
        lsb: slice_pic_order_cnt_lsb; `log2_max_lsb` bits.
        output: pic_output_flag.
        base: the picture counts for those after it: of temporal layer 0, no leading picture, and referred to.
    """

    kind: int
    lsb: int
    log2_max_lsb: int
    output: bool
    base: bool

    @property
    def starts(self) -> bool:
        """Counting starts again here: IDR or BLA."""
        return self.kind in _BLA or self.kind in _IDR

    @property
    def may_start(self) -> bool:
        """Decoding may start here."""
        return self.kind in _IRAP

    @property
    def leans_back(self) -> bool:
        """RASL: predicted from pictures before the keyframe that it follows."""
        return self.kind in _RASL


@dataclass
class ParameterSets:
    """The sets that are in force, by their numbers."""

    sequences: dict[int, _Sequence] = field(default_factory=dict)
    pictures: dict[int, _PictureSet] = field(default_factory=dict)

    def take(self, units: Iterable[bytes]) -> None:
        """Take in NAL units; those that hold no set, or a damaged one, change nothing."""
        for unit in units:
            bits = Bits.of_nal(unit[2 : 2 + _SET_BYTES])
            kind = unit[0] >> 1 & 63
            try:
                if kind == _SPS:
                    number, sequence = _read_sequence(bits)
                    self.sequences[number] = sequence
                elif kind == _PPS:
                    number, sequence_number = bits.ue(), bits.ue()
                    bits.u(1)
                    self.pictures[number] = _PictureSet(sequence_number, bool(bits.u(1)), bits.u(3))
            except EOFError:
                continue

    def read_header(self, unit: bytes) -> SliceHeader:
        """The beginning of the header of a picture's first slice.

        Args:
            unit: a NAL unit, at least its first bytes.

        Raises:
            KeyError, EOFError: a set is missing, or the header breaks off.
        """
        kind, layer = unit[0] >> 1 & 63, unit[1] & 7
        bits = Bits.of_nal(unit[2:])
        if not bits.u(1):
            raise EOFError
        if kind in _IRAP:
            bits.u(1)
        picture = self.pictures[bits.ue()]
        sequence = self.sequences[picture.sequence]
        bits.u(picture.extra_bits)
        bits.ue()
        output = bool(bits.u(1)) if picture.tells_output else True
        bits.u(2 * sequence.separate_planes)
        lsb = 0 if kind in _IDR else bits.u(sequence.log2_max_lsb)
        # Of types below 16, even ones are not referred to within their layer.
        base = layer == 1 and kind not in _RADL and kind not in _RASL and not (kind < 16 and kind % 2 == 0)
        return SliceHeader(kind, lsb, sequence.log2_max_lsb, output, base)


def is_slice(unit: bytes | memoryview) -> bool:
    """Whether a NAL unit is a slice of the base layer."""
    return unit[0] >> 1 < _SLICES and not unit[0] & 1 and len(unit) > 1 and not unit[1] & 0xF8


def _read_sequence(bits: Bits) -> tuple[int, _Sequence]:
    """sps_seq_parameter_set_id and the rest (7.3.2.2.1)."""
    bits.u(4)
    layers = bits.u(3)
    bits.u(1)
    _skip_profile(bits, layers)
    number = bits.ue()
    separate = bits.ue() == 3 and bool(bits.u(1))
    bits.ue(), bits.ue()
    if bits.u(1):
        bits.ue(), bits.ue(), bits.ue(), bits.ue()
    bits.ue(), bits.ue()
    return number, _Sequence(4 + bits.ue(), separate)


def _skip_profile(bits: Bits, layers: int) -> None:
    """profile_tier_level (7.3.3)."""
    if layers >= _MOST_LAYERS:
        raise EOFError
    bits.u(96)
    present = [(bits.u(1), bits.u(1)) for _ in range(layers)]
    if layers:
        bits.u(2 * (8 - layers))
    for profile, level in present:
        bits.u(88 * profile + 8 * level)
