"""H.264's parameter sets and slice headers, as far as fields and the order of pictures need them (ITU-T H.264, 7.3)."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from himmel.video.file.bits import Bits

FRAME, TOP, BOTTOM = 0, 1, 2
IDR = 5
_SPS, _PPS = 7, 8
_P, _B, _I, _SP, _SI = range(5)
# A parameter set up to what matters here is never longer, scaling lists and all, unless it is made to waste time.
_SET_BYTES = 4096
# Profiles whose parameter sets give the chroma format and scaling lists (7.3.2.1.1).
_WITH_CHROMA = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
_MOST_OFFSETS = 255
_MOST_REFERENCES = 32
_MOST_COMMANDS = 256
_RESET = 5
# Operands of each memory management control operation (7.3.3.3).
_OPERANDS = {1: 1, 2: 1, 3: 2, 4: 1, 5: 0, 6: 1}


@dataclass(frozen=True)
class Sequence:
    """A sequence parameter set (7.4.2.1.1).

    Attributes:
        order_type: how the order of pictures is coded, 0 to 2 (8.2.1).
        offsets: offset_for_non_ref_pic and offset_for_top_to_bottom_field, then offset_for_ref_frame; of type 1.
    """

    log2_max_frame_num: int
    order_type: int
    log2_max_lsb: int
    always_zero: bool
    offsets: tuple[int, ...]
    has_chroma: bool
    separate_planes: bool
    frames_only: bool


@dataclass(frozen=True)
class PictureSet:
    """A picture parameter set (7.4.2.2)."""

    sequence: int
    has_deltas: bool
    num_references: tuple[int, int]
    weighted: bool
    weighted_b: bool
    redundant: bool


@dataclass(frozen=True)
class SliceHeader:
    """Beginning of a slice header (7.3.3); `parity` is FRAME, TOP or BOTTOM, `reference` whether nal_ref_idc isn't 0.

    Attributes:
        lsb: pic_order_cnt_lsb.
        deltas: delta_pic_order_cnt_bottom, or both of delta_pic_order_cnt.
    """

    sequence: Sequence
    picture: PictureSet
    frame_num: int
    parity: int
    reference: bool
    idr: bool
    slice_type: int
    lsb: int
    deltas: tuple[int, int]


@dataclass
class ParameterSets:
    """The sets that are in force, by their numbers."""

    sequences: dict[int, Sequence] = field(default_factory=dict)
    pictures: dict[int, PictureSet] = field(default_factory=dict)

    def take(self, units: Iterable[bytes]) -> None:
        """Take in NAL units; those that hold no set, or a damaged one, change nothing."""
        for unit in units:
            bits = Bits.of_nal(unit[1 : 1 + _SET_BYTES])
            try:
                if unit[0] & 0x1F == _SPS:
                    number, sequence = _read_sequence(bits)
                    self.sequences[number] = sequence
                elif unit[0] & 0x1F == _PPS:
                    number, picture = _read_picture_set(bits)
                    self.pictures[number] = picture
            except EOFError:
                continue

    def read_header(self, bits: Bits, nal: int) -> SliceHeader:
        """The beginning of a slice header.

        Args:
            bits: after the NAL unit's header byte `nal`.

        Raises:
            KeyError, EOFError: a set is missing, or the header breaks off.
        """
        bits.ue()
        slice_type = bits.ue() % 5
        picture = self.pictures[bits.ue()]
        sequence = self.sequences[picture.sequence]
        bits.u(2 * sequence.separate_planes)
        frame_num = bits.u(sequence.log2_max_frame_num)
        parity = FRAME if sequence.frames_only or not bits.u(1) else TOP + bits.u(1)
        idr = nal & 0x1F == IDR
        if idr:
            bits.ue()
        lsb, deltas = 0, (0, 0)
        whole = picture.has_deltas and parity == FRAME
        if sequence.order_type == 0:
            lsb = bits.u(sequence.log2_max_lsb)
            deltas = (bits.se() if whole else 0), 0
        elif sequence.order_type == 1 and not sequence.always_zero:
            deltas = bits.se(), (bits.se() if whole else 0)
        return SliceHeader(sequence, picture, frame_num, parity, bool(nal & 0x60), idr, slice_type, lsb, deltas)


def resets_order(bits: Bits, header: SliceHeader) -> bool:
    """Whether a slice's marking holds memory management control operation 5, which sets back all counts (8.2.1).

    Args:
        bits: after what `read_header` took.

    Raises:
        EOFError: the header breaks off.
    """
    if header.idr or not header.reference:
        return False
    picture, kind = header.picture, header.slice_type
    if picture.redundant:
        bits.ue()
    if kind == _B:
        bits.u(1)
    counts = list(picture.num_references)
    if kind in (_P, _SP, _B) and bits.u(1):
        counts = [1 + bits.ue() for _ in range(1 + (kind == _B))]
    lists = {_P: 1, _SP: 1, _B: 2}.get(kind, 0)
    for _ in range(lists):
        if bits.u(1):
            _skip_commands(bits, end=3)
    if (picture.weighted and kind in (_P, _SP)) or (picture.weighted_b and kind == _B):
        _skip_weights(bits, counts[:lists], has_chroma=header.sequence.has_chroma)
    if not bits.u(1):
        return False
    for _ in range(_MOST_COMMANDS):
        command = bits.ue()
        if command == 0:
            return False
        if command == _RESET:
            return True
        for _ in range(_OPERANDS.get(command, 0)):
            bits.ue()
    raise EOFError


def _read_sequence(bits: Bits) -> tuple[int, Sequence]:
    """seq_parameter_set_id and the rest (7.3.2.1.1)."""
    profile = bits.u(8)
    bits.u(16)
    number, separate, chroma = bits.ue(), False, 1
    if profile in _WITH_CHROMA:
        chroma = bits.ue()
        separate = chroma == 3 and bool(bits.u(1))
        bits.ue(), bits.ue(), bits.u(1)
        if bits.u(1):
            for k in range(12 if chroma == 3 else 8):
                if bits.u(1):
                    _skip_scaling_list(bits, 16 if k < 6 else 64)
    log2_max_frame_num = 4 + bits.ue()
    order_type, log2_max_lsb, always_zero = bits.ue(), 0, False
    offsets: tuple[int, ...] = ()
    if order_type == 0:
        log2_max_lsb = 4 + bits.ue()
    elif order_type == 1:
        always_zero = bool(bits.u(1))
        offsets = bits.se(), bits.se()
        count = bits.ue()
        if count > _MOST_OFFSETS:
            raise EOFError
        offsets += tuple(bits.se() for _ in range(count))
    bits.ue(), bits.u(1), bits.ue(), bits.ue()
    frames_only = bool(bits.u(1))
    has_chroma = chroma != 0 and not separate
    return number, Sequence(
        log2_max_frame_num, order_type, log2_max_lsb, always_zero, offsets, has_chroma, separate, frames_only
    )


def _read_picture_set(bits: Bits) -> tuple[int, PictureSet]:
    """pic_parameter_set_id and the rest (7.3.2.2)."""
    number, sequence = bits.ue(), bits.ue()
    bits.u(1)
    has_deltas = bool(bits.u(1))
    if bits.ue():
        # Slice groups, which no encoder in use writes, are not read, and neither is what follows them.
        return number, PictureSet(sequence, has_deltas, (1, 1), weighted=False, weighted_b=False, redundant=False)
    counts = 1 + bits.ue(), 1 + bits.ue()
    weighted, weighted_b = bool(bits.u(1)), bits.u(2) == 1
    bits.ue(), bits.ue(), bits.ue(), bits.u(2)
    return number, PictureSet(sequence, has_deltas, counts, weighted, weighted_b, bool(bits.u(1)))


def _skip_scaling_list(bits: Bits, size: int) -> None:
    """7.3.2.1.1.1; values count from 8, and a next one of 0 ends the list."""
    latest = 8
    for _ in range(size):
        latest = (latest + bits.se()) % 256
        if latest == 0:
            return


def _skip_commands(bits: Bits, *, end: int) -> None:
    """Changes to a reference list (7.3.3.1)."""
    for _ in range(2 * _MOST_REFERENCES + 2):
        if bits.ue() == end:
            return
        bits.ue()
    raise EOFError


def _skip_weights(bits: Bits, counts: list[int], *, has_chroma: bool) -> None:
    """Weights of the references of each list (7.3.3.2)."""
    bits.ue()
    if has_chroma:
        bits.ue()
    for count in counts:
        if count > _MOST_REFERENCES:
            raise EOFError
        for _ in range(count):
            if bits.u(1):
                bits.se(), bits.se()
            if has_chroma and bits.u(1):
                bits.se(), bits.se(), bits.se(), bits.se()
