"""How loud packets of AAC are, from the scale factors of their first channel; no coefficient is decoded.

A packet (raw_data_block, ISO/IEC 14496-3, 4.4.2.1) begins with the element of its first one or two channels. In front
of a channel's coefficients come: which windows it has, by which codebook each band of frequencies is coded, and the
bands' scale factors. A coefficient is its quantised value to the power of 4/3 times 2^((scale factor - 100) / 4), and a
codebook bounds the quantised values; so both together say nearly how much energy a band has.

Many packets are read at once: each array has one entry for each of P packets, and `at` is the bit that is read next.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from himmel.video.sound.tables import LONGEST, RATES, scale_factor_code, widths

HEAD: Final = 512
"""Bytes of a packet that are looked at; what comes before the coefficients takes less than 450."""

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

_SINGLE, _PAIR, _DATA, _FILL = 0, 1, 4, 6
_MOST_ELEMENTS_BEFORE: Final = 4
_SHORT_WINDOWS: Final = 2
_LOW_COMPLEXITY: Final = (2, 5, 29)
_ZERO, _LAST_SPECTRAL, _RESERVED, _NOISE = 0, 11, 12, 13
_MOST_BANDS: Final = 120
# Mean |quantised value|^(8/3) of a band by its codebook. Two books share each bound: 1, 2, 4, 7 and 12; the last one
# has none. Fitted to what FFmpeg decodes of rendered sound; `python -m benchmarks.sound` shows how near that comes.
_MEAN_SQUARES: Final = np.array([0, 0.25, 0.25, 0.8, 0.8, 2.0, 2.0, 9.0, 9.0, 36.0, 36.0, 350.0, 0, 0, 0, 0])
# Energy of a packet's coefficients to the mean square of its samples, at full scale 2^15 (ISO/IEC 14496-3, 4.6.11):
# 2 N^2 for a window of N lines, and eight short windows of 128.
_PER_SAMPLE: Final = {False: 2.0 * 1024**2 * 2**30, True: 8 * 2.0 * 128**2 * 2**30}


@dataclass(frozen=True)
class Packing:
    """How a track's packets are packed.

    Attributes:
        rate: samples a second.
        adts: each packet has an ADTS header (ISO/IEC 14496-3, 1.A.2) before its block.
    """

    rate: int
    adts: bool


def read_packing(extradata: bytes | None, first: bytes) -> Packing | None:
    """How packets of AAC are packed; None where their syntax is another one than that of AAC-LC (and HE-AAC).

    Args:
        extradata: the track's AudioSpecificConfig (1.6.2.1), if the file has one.
        first: a packet.
    """
    if extradata:
        bits = int.from_bytes(extradata[:8].ljust(8, b"\0"), "big")
        kind, index = bits >> 59, bits >> 55 & 15
        if kind not in _LOW_COMPLEXITY or index >= len(RATES):
            return None
        return Packing(RATES[index], adts=False)
    if len(first) < 7 or first[0] != 0xFF or first[1] & 0xF6 != 0xF0:
        return None
    profile, index = first[2] >> 6, first[2] >> 2 & 15
    return Packing(RATES[index], adts=True) if profile == 1 and index < len(RATES) else None


def read_powers(heads: npt.NDArray[np.uint8], sizes: IntArray, packing: Packing) -> FloatArray:
    """Mean square of the samples of each packet's windows, 1 being a full-scale square wave.

    Args:
        heads: uint8 [P, HEAD], the beginning of each packet, zeros behind its end.
        sizes: int64 [P], bytes of each packet.

    Returns:
        float64 [P]; NaN for packets that are damaged or say it in another way.
    """
    bits = _Bits(heads, sizes)
    if packing.adts:
        # Seven bytes, and two more where there is a checksum, which a bit of 0 says.
        bits.at += np.where(heads[:, 1] & 1, 56, 72)
    _to_channel(bits)
    windows = _read_windows(bits, packing.rate)
    books = _read_books(bits, windows)
    return _sum_powers(bits, windows, books, packing.rate)


class _Bits:
    """The packets' bits, each read at a place of its own.

    Attributes:
        at: int64 [P], the bit that is read next.
        good: bool [P], false for packets that were found to be wrong, or to end too early; they are read no further.
    """

    def __init__(self, heads: npt.NDArray[np.uint8], sizes: IntArray) -> None:
        wide = np.pad(heads, ((0, 0), (0, 4))).astype(np.uint32)
        self._words = wide[:, :-3] << 24 | wide[:, 1:-2] << 16 | wide[:, 2:-1] << 8 | wide[:, 3:]
        self._rows = np.arange(len(heads))
        self._end = 8 * np.minimum(sizes, HEAD)
        self.at = np.zeros(len(heads), np.int64)
        self.good = np.ones(len(heads), np.bool_)

    def peek(self, rows: IntArray, count: int) -> IntArray:
        """The next bits of some packets, at most 25."""
        at = np.minimum(self.at[rows], 8 * HEAD)
        return (self._words[rows, at >> 3] << (at & 7).astype(np.uint32) >> np.uint32(32 - count)).astype(np.int64)

    def read(self, rows: IntArray, count: int) -> IntArray:
        """The next bits of some packets, at most 25, which are behind them then."""
        found = self.peek(rows, count)
        self.skip(rows, count)
        return found

    def skip(self, rows: IntArray, count: int | npt.NDArray[np.integer]) -> None:
        """Pass some packets' bits."""
        self.at[rows] += count
        self.good[rows] &= self.at[rows] <= self._end[rows]

    def where(self, those: BoolArray) -> IntArray:
        """Which of these packets are good."""
        return np.flatnonzero(those & self.good)


@dataclass(frozen=True, eq=False)
class _Windows:
    """Windows of each packet.

    Attributes:
        short: bool [P], eight short ones instead of a long one.
        bands: int64 [P], scale factor bands of each group of windows.
        lengths: int64 [P, 8], windows of each group; 0 for groups that are not there.
        gain: int64 [P], the first channel's global gain.
    """

    short: BoolArray
    bands: IntArray
    lengths: IntArray
    gain: IntArray

    @property
    def total(self) -> IntArray:
        """Bands of all groups, int64 [P]."""
        return self.bands * np.count_nonzero(self.lengths, axis=1)


def _to_channel(bits: _Bits) -> None:
    """Pass what may come before the first channel; its element's name is next."""
    for _ in range(_MOST_ELEMENTS_BEFORE):
        kind = bits.peek(np.arange(len(bits.at)), 3)
        fill = bits.where(kind == _FILL)
        bits.skip(fill, 3)
        size = bits.read(fill, 4)
        longer = fill[size == 15]
        size[size == 15] += bits.read(longer, 8) - 1
        bits.skip(fill, 8 * size)
        data = bits.where(kind == _DATA)
        bits.skip(data, 7)
        aligned = bits.read(data, 1)
        size = bits.read(data, 8)
        longer = data[size == 255]
        size[size == 255] += bits.read(longer, 8)
        bits.skip(data, np.where(aligned, -bits.at[data] % 8, 0) + 8 * size)


def _read_windows(bits: _Bits, rate: int) -> _Windows:
    """Read up to the first channel's codebooks."""
    count = len(bits.at)
    everyone = np.arange(count)
    kind = bits.read(everyone, 3)
    bits.good &= (kind == _SINGLE) | (kind == _PAIR)
    bits.skip(everyone, 4)
    common = np.zeros(count, np.bool_)
    pairs = bits.where(kind == _PAIR)
    common[pairs] = bits.read(pairs, 1) == 1
    gain = np.zeros(count, np.int64)
    alone = bits.where(~common)
    gain[alone] = bits.read(alone, 8)
    bits.good &= bits.read(everyone, 1) == 0
    short = bits.read(everyone, 2) == _SHORT_WINDOWS
    bits.skip(everyone, 1)
    bands, lengths = np.zeros(count, np.int64), np.zeros((count, 8), np.int64)
    rows = bits.where(short)
    bands[rows] = bits.read(rows, 4)
    lengths[rows] = _group(bits.read(rows, 7))
    rows = bits.where(~short)
    bands[rows] = bits.read(rows, 6)
    lengths[rows, 0] = 1
    # Prediction belongs to other profiles.
    bits.good[rows] &= bits.read(rows, 1) == 0
    bits.good &= bands <= np.where(short, len(widths(rate, short=True)), len(widths(rate, short=False)))
    windows = _Windows(short, bands, lengths, gain)
    # Windows that two channels have in common come before the first one with its gain.
    rows = bits.where(common)
    masked = rows[bits.read(rows, 2) == 1]
    bits.skip(masked, windows.total[masked])
    rows = bits.where(common)
    gain[rows] = bits.read(rows, 8)
    return windows


def _group(grouping: IntArray) -> IntArray:
    """Windows of each group, int64 [n, 8], from scale_factor_grouping: a bit for each window but the first."""
    follows = grouping[:, None] >> np.arange(6, -1, -1) & 1
    begins = np.pad(1 - follows, ((0, 0), (1, 0)), constant_values=1)
    group = np.cumsum(begins, axis=1) - 1
    lengths = np.zeros_like(group)
    np.add.at(lengths, (np.arange(len(group))[:, None], group), 1)
    return lengths


def _read_books(bits: _Bits, windows: _Windows) -> npt.NDArray[np.uint8]:
    """Codebook of each band, uint8 [P, 120], group by group (section_data)."""
    total = windows.total
    books = np.zeros((len(total), _MOST_BANDS), np.uint8)
    band, length, book = np.zeros_like(total), np.zeros_like(total), np.zeros_like(total)
    goes_on = np.zeros(len(total), np.bool_)
    while len(rows := bits.where(band < total)):
        fresh = rows[~goes_on[rows]]
        book[fresh] = bits.read(fresh, 4)
        length[fresh] = 0
        width = np.where(windows.short[rows], 3, 5)
        part = bits.peek(rows, 5) >> (5 - width)
        bits.skip(rows, width)
        length[rows] += part
        goes_on[rows] = part == (1 << width) - 1
        done = rows[~goes_on[rows]]
        bands = windows.bands[done]
        bits.good[done] &= (book[done] != _RESERVED) & (band[done] % bands + length[done] <= bands)
        done = done[bits.good[done]]
        counts = length[done]
        places = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(band[done], counts)
        books[np.repeat(done, counts), places] = np.repeat(book[done], counts)
        band[done] += counts
    return books


def _sum_powers(bits: _Bits, windows: _Windows, books: npt.NDArray[np.uint8], rate: int) -> FloatArray:
    """Read the scale factors, and add up what each band has by them (scale_factor_data)."""
    differences, lengths = scale_factor_code()
    count, total = len(books), windows.total
    gain, noise = windows.gain.copy(), windows.gain - 90
    seen, energy = np.zeros(count, np.bool_), np.zeros(count)
    lines = np.zeros((2, _MOST_BANDS))
    for short in (False, True):
        known = widths(rate, short=short)
        lines[int(short), : len(known)] = known
    for place in range(int(total.max(initial=0))):
        rows = bits.where((place < total) & (books[:, place] != _ZERO))
        book, bands = books[rows, place], windows.bands[rows]
        times = windows.lengths[rows, place // bands]
        first = (book == _NOISE) & ~seen[rows]
        code = bits.peek(rows, LONGEST)
        change = np.where(first, (code >> (LONGEST - 9)) - 256, differences[code])
        bits.skip(rows, np.where(first, 9, lengths[code]))
        spectral, noisy = book <= _LAST_SPECTRAL, book == _NOISE
        gain[rows[spectral]] += change[spectral]
        noise[rows[noisy]] += change[noisy]
        seen[rows[noisy]] = True
        bits.good[rows] &= (gain[rows] >= 0) & (gain[rows] <= 255)
        level = np.where(spectral, gain[rows] - 100, np.clip(noise[rows], -100, 155))
        width = np.where(spectral, lines[windows.short[rows].astype(int), place % bands] * _MEAN_SQUARES[book], noisy)
        energy[rows] += width * times * 2.0 ** (level / 2)
    energy /= np.where(windows.short, _PER_SAMPLE[True], _PER_SAMPLE[False])
    return np.where(bits.good, energy, np.nan)
