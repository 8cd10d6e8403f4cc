"""Bits of H.264 streams for tests: Exp-Golomb codes, NAL units and CAVLC residual blocks (clauses 7.3.1, 9.1, 9.2)."""

from __future__ import annotations

from collections.abc import Sequence

# Table 9-4, chroma formats 1 and 2: coded_block_pattern by codeNum.
CBP_INTRA: tuple[int, ...] = (
    47,
    31,
    15,
    0,
    23,
    27,
    29,
    30,
    7,
    11,
    13,
    14,
    39,
    43,
    45,
    46,
    16,
    3,
    5,
    10,
    12,
    19,
    21,
    26,
    28,
    35,
    37,
    42,
)
CBP_INTRA += (44, 1, 2, 4, 8, 17, 18, 20, 24, 6, 9, 22, 25, 32, 33, 34, 36, 40, 38, 41)
CBP_INTER: tuple[int, ...] = (
    0,
    16,
    1,
    2,
    4,
    8,
    32,
    3,
    5,
    10,
    12,
    15,
    47,
    7,
    11,
    13,
    14,
    6,
    9,
    31,
    35,
    37,
    42,
    44,
    33,
    34,
    36,
    40,
    39,
    43,
)
CBP_INTER += (45, 46, 17, 18, 20, 24, 19, 21, 26, 28, 23, 27, 29, 30, 22, 25, 38, 41)

# Table 9-5 as (length, value), index [table][TotalCoeff * 4 + TrailingOnes]; the tables are 0 <= nC < 2, < 4, < 8, 8
# <= nC
# (six bits, computed below) and nC = -1.
_TOKEN_LENGTH = (
    "1... 62.. 863. 9875 a986 ba97 dba8 ddb9 ddda eedb eeed ffee fffe gfff gggf gggg gggg",
    "2... 62.. 653. 7664 8664 8775 9886 b996 bbb7 cbb9 cccb cccb dddc dddd dedd eeed eeee",
    "4... 64.. 654. 6554 7554 7554 7664 7664 8775 8876 9887 9988 9998 a999 aaaa aaaa aaaa",
)
_TOKEN_VALUE = (
    "1... 51.. 741. 7653 7653 7654 f654 be54 8ad4 fe94 badc fe9c bad8 f19c bed8 7a9c 4658",
    "3... b2.. 773. 7a95 7654 4656 7658 f654 bed4 fa94 bedc 8a98 fedc ba9c 7b68 98a1 7654",
    "f... fe.. bfd. 8cec fabb b89a 9ed9 8a98 fedd beac fadc be9c 8ad8 d79c 9cba 5876 1432",
)
_TOKEN_CHROMA_DC: tuple[tuple[int, int], ...] = (
    (2, 1),
    (6, 7),
    (1, 1),
    (6, 4),
    (6, 6),
    (3, 1),
    (6, 3),
    (7, 3),
    (7, 2),
    (6, 5),
)
_TOKEN_CHROMA_DC += ((6, 2), (8, 3), (8, 2), (7, 0))
_CHROMA_DC_KEYS = (0, 4, 5, 8, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19)


def _token_tables() -> list[dict[int, tuple[int, int]]]:
    tables: list[dict[int, tuple[int, int]]] = []
    for lengths, values in zip(_TOKEN_LENGTH, _TOKEN_VALUE, strict=True):
        pairs = zip(lengths.replace(" ", ""), values.replace(" ", ""), strict=True)
        tables.append({k: (int(n, 17), int(v, 16)) for k, (n, v) in enumerate(pairs) if n != "."})
    fixed = {
        4 * total + ones: (6, 4 * (total - 1) + ones) for total in range(1, 17) for ones in range(min(total, 3) + 1)
    }
    tables.append({0: (6, 3)} | fixed)
    tables.append(dict(zip(_CHROMA_DC_KEYS, _TOKEN_CHROMA_DC, strict=True)))
    return tables


_TOKEN = _token_tables()

# Tables 9-7 and 9-8: total_zeros by tzVlcIndex, then 9-9 (a), then run_before (9-10) by min(zerosLeft, 7).
_ZEROS_LENGTH = (
    "1334455667788999 333334444556666 43334433455656 5344333434555 444333334545 65333333436 6533323436 645322336"
    " 66422325 5532224 443313 44213 3312 221 11"
).split()
_ZEROS_VALUE = (
    "1323232323232321 765435432323210 57654343232110 3754654332210 543765432110 11765432110 1154332110 111332210"
    " 10132111 1013211 011213 01111 0111 011 01"
).split()
_ZEROS_DC_LENGTH, _ZEROS_DC_VALUE = "1233 122 11".split(), "1110 110 10".split()
_RUN_LENGTH = "11 122 2222 22233 223333 2333333 3333333456789ab".split()
_RUN_VALUE = "10 110 3210 32110 323210 3013254 765432111111111".split()


class BitWriter:
    """Bits of one RBSP, first bit first."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.length = 0

    def u(self, bits: int, value: int) -> None:
        """u(n): `value` in `bits` bits."""
        if bits:
            if not 0 <= value < 1 << bits:
                raise ValueError(f"{value} does not fit {bits} bits")
            self._parts.append(format(value, f"0{bits}b"))
            self.length += bits

    def ue(self, value: int) -> None:
        """ue(v), 9.1."""
        self.u(2 * (value + 1).bit_length() - 1, value + 1)

    def se(self, value: int) -> None:
        """se(v), 9.1.1."""
        self.ue(2 * value - 1 if value > 0 else -2 * value)

    def te(self, greatest: int, value: int) -> None:
        """te(v) of a syntax element whose greatest value is `greatest` (at least 1)."""
        if greatest > 1:
            self.ue(value)
        else:
            self.u(1, 1 - value)

    def align(self, bit: int = 0) -> None:
        """Fill the byte with `bit`."""
        while self.length % 8:
            self.u(1, bit)

    def data(self, values: bytes) -> None:
        """Whole bytes."""
        self._parts.append("".join(format(v, "08b") for v in values))
        self.length += 8 * len(values)

    def raw(self, bits: str) -> None:
        """Bits as another writer's `bits` gives them."""
        self._parts.append(bits)
        self.length += len(bits)

    @property
    def bits(self) -> str:
        """All bits so far as text of 0 and 1."""
        return "".join(self._parts)

    def trailing(self) -> None:
        """rbsp_trailing_bits()."""
        self.u(1, 1)
        self.align()

    def bytes(self) -> bytes:
        """The bytes so far; their number of bits must be whole."""
        return int("1" + self.bits, 2).to_bytes(self.length // 8 + 1, "big")[1:]


def nal(ref_idc: int, unit_type: int, rbsp: bytes) -> bytes:
    """A NAL unit in Annex B form with emulation prevention (7.4.1)."""
    payload, zeros = bytearray(), 0
    for value in rbsp:
        if zeros >= 2 and value <= 3:
            payload.append(3)
            zeros = 0
        payload.append(value)
        zeros = zeros + 1 if value == 0 else 0
    return b"\0\0\0\1" + bytes([ref_idc << 5 | unit_type]) + bytes(payload)


def _level(bits: BitWriter, level: int, suffix_length: int, shortened: bool) -> None:
    """One level_prefix and level_suffix (9.2.2); `shortened`: its magnitude is known to exceed 1."""
    code = 2 * abs(level) - 2 + (level < 0) - 2 * shortened
    if suffix_length == 0 and code < 14:
        prefix, size, suffix = code, 0, 0
    elif suffix_length == 0 and code < 30:
        prefix, size, suffix = 14, 4, code - 14
    elif suffix_length and code < 15 << suffix_length:
        prefix, size, suffix = code >> suffix_length, suffix_length, code & ((1 << suffix_length) - 1)
    else:
        prefix, size, suffix = 15, 12, code - (15 << suffix_length if suffix_length else 30)
    bits.u(prefix + 1, 1)
    bits.u(size, suffix)


def residual_block(bits: BitWriter, levels: Sequence[int], context: int) -> int:
    """residual_block_cavlc() (7.3.5.3.2) of `levels` in scan order, all coefficients of the block.

    Args:
        bits: where to.
        levels: 4 (chroma DC), 15 or 16 values.
        context: nC of 9.2.1.

    Returns:
        TotalCoeff(coeff_token).
    """
    places = [i for i, level in enumerate(levels) if level]
    total, ones = len(places), 0
    while ones < min(3, total) and abs(levels[places[total - 1 - ones]]) == 1:
        ones += 1
    table = 4 if context < 0 else 0 if context < 2 else 1 if context < 4 else 2 if context < 8 else 3
    bits.u(*_TOKEN[table][4 * total + ones])
    if not total:
        return 0
    backwards = [levels[i] for i in reversed(places)]
    for level in backwards[:ones]:
        bits.u(1, int(level < 0))
    suffix_length = int(total > 10 and ones < 3)
    for i, level in enumerate(backwards[ones:]):
        _level(bits, level, suffix_length, i == 0 and ones < 3)
        suffix_length = max(suffix_length, 1)
        if abs(level) > 3 << (suffix_length - 1) and suffix_length < 6:
            suffix_length += 1
    zeros = places[-1] + 1 - total
    if total < len(levels):
        dc = len(levels) == 4
        lengths, values = (_ZEROS_DC_LENGTH, _ZEROS_DC_VALUE) if dc else (_ZEROS_LENGTH, _ZEROS_VALUE)
        bits.u(int(lengths[total - 1][zeros]), int(values[total - 1][zeros]))
    for last, before in zip(reversed(places[1:]), reversed(places[:-1]), strict=True):
        if zeros <= 0:
            break
        run, row = last - before - 1, min(zeros, 7) - 1
        bits.u(int(_RUN_LENGTH[row][run], 16), int(_RUN_VALUE[row][run]))
        zeros -= run
    return total
