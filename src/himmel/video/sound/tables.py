"""Tables of AAC (ISO/IEC 14496-3, subpart 4): how scale factors are coded, and how wide their bands are."""

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

LONGEST: Final = 19
"""Bits of the longest codeword of a scale factor."""
RATES: Final = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
"""Sampling rates by their index (table 4.82)."""

# Table 4.A.1: how many codewords are 1, 2, ... bits long, and what they stand for in the order of the codewords. The
# code is canonical, so that this is all of it.
_LENGTHS: Final = (1, 0, 1, 3, 2, 4, 3, 5, 4, 6, 6, 6, 5, 8, 4, 7, 3, 7, 46)
_DIFFERENCES: Final = (
    *(0, -1, 1, -2, 2, -3, 3, -4, 4, -5, 5, 6, -6, 7, -7, 8, -8, 9, -9, 10, -10, -11, 11, 12, -12, 13, -13, 14, -14),
    *(16, 15, 17, 18, -15, -17, -16, 19, -18, -19, 20, -20, 21, -21, 22, -22, 23, -23, -25, 25, -27, -24, -26, 24, -28),
    *(27, 29, -30, -29, 26, -31, -34, -33, -32, -36, 28, -35, -38, -37, 30, -39, -41, -57, -59, -58, -60, 38, 39, 40),
    *(41, 42, 57, 37, 31, 32, 33, 34, 35, 36, 44, 51, 52, 53, 54, 55, 56, 50, 45, 46, 47, 48, 49, 58, -54, -52, -51),
    *(-50, -55, 43, 60, 59, -56, -53, -45, -44, -42, -40, -43, -49, -48, -46, -47),
)
# Tables 4.129 to 4.147: (how many bands, of so many lines), for the rates down to each.
_LONG: Final = {
    88200: ((14, 4), (5, 8), (5, 12), (2, 16), (1, 24), (1, 28), (1, 36), (1, 44), (11, 64)),
    64000: ((14, 4), (4, 8), (3, 12), (3, 16), (1, 20), (2, 24), (1, 28), (1, 36), (18, 40)),
    44100: ((10, 4), (7, 8), (4, 12), (2, 16), (2, 20), (2, 24), (2, 28), (19, 32), (1, 96)),
    32000: ((10, 4), (7, 8), (4, 12), (2, 16), (2, 20), (2, 24), (2, 28), (22, 32)),
    22050: (
        *((11, 4), (10, 8), (4, 12), (3, 16), (2, 20), (2, 24), (2, 28)),
        *((1, 32), (2, 36), (1, 40), (1, 44), (1, 48), (2, 52), (5, 64)),
    ),
    11025: (
        *((11, 8), (9, 12), (4, 16), (3, 20), (2, 24), (2, 28), (1, 32), (1, 36), (2, 40)),
        *((1, 44), (1, 48), (1, 52), (1, 56), (1, 60), (3, 64)),
    ),
    7350: (
        *((13, 12), (7, 16), (4, 20), (3, 24), (2, 28), (1, 32), (2, 36), (1, 40)),
        *((1, 44), (1, 48), (1, 52), (1, 56), (1, 60), (1, 64), (1, 80)),
    ),
}
_SHORT: Final = {
    64000: ((6, 4), (3, 8), (1, 16), (1, 28), (1, 36)),
    32000: ((5, 4), (3, 8), (3, 12), (3, 16)),
    22050: ((7, 4), (3, 8), (2, 12), (2, 16), (1, 20)),
    11025: ((8, 4), (2, 8), (2, 12), (1, 16), (2, 20)),
    7350: ((7, 4), (4, 8), (1, 12), (1, 16), (2, 20)),
}


def widths(rate: int, *, short: bool) -> npt.NDArray[np.float64]:
    """Lines of each scale factor band of a long window (1,024 lines) or a short one (128), float64 [bands]."""
    table = _SHORT if short else _LONG
    runs = table[next((lowest for lowest in table if rate >= lowest), min(table))]
    return np.repeat([width for _, width in runs], [count for count, _ in runs]).astype(np.float64)


@cache
def scale_factor_code() -> tuple[npt.NDArray[np.int8], npt.NDArray[np.uint8]]:
    """By the next 19 bits: the difference that a codeword stands for, int8 [2^19], and its length, uint8 [2^19]."""
    bits = np.repeat(np.arange(1, LONGEST + 1), _LENGTHS)
    covers = 1 << (LONGEST - bits)
    return np.repeat(np.array(_DIFFERENCES, np.int8), covers), np.repeat(bits.astype(np.uint8), covers)
