"""Syntax elements of slice data in CABAC (9.3.2, 9.3.3.1): binarisations and contexts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from writer_arithmetic import ArithmeticEncoder, table
from writer_bits import BitWriter
from writer_neighbours import Grid, Macroblock, Rect, block, place

# Tables 9-37 and 9-38.
_P_TYPES = {0: "000", 1: "011", 2: "010", 3: "001"}
_B_TYPES = {0: "0", 1: "100", 2: "101", 11: "111110", 22: "111111"}
_B_TYPES |= {n: "11" + format(n - 3, "04b") for n in range(3, 11)}
_B_TYPES |= {n: "11" + format(n + 4, "05b") for n in range(12, 22)}
_P_SUB = "1 00 011 010".split()
_B_SUB = "0 100 101 11000 11001 11010 11011 111000 111001 111010 111011 11110 11111".split()

# First contexts by ctxBlockCat (Tables 9-34 and 9-40): Intra_16x16 DC and AC, 4x4, chroma DC and AC, 8x8.
_CODED = (85, 89, 93, 97, 101)
_SIGNIFICANT = ((105, 120, 134, 149, 152, 402), (277, 292, 306, 321, 324, 436))  # frame, field
_LAST = ((166, 181, 195, 210, 213, 417), (338, 353, 367, 382, 385, 451))
_LEVEL = (227, 237, 247, 257, 266, 426)


class Cabac:
    """Writes the syntax elements of one slice, as Cavlc does.

    Args:
        bits: where to; the slice header is written.
        grid: of the picture.
        kind: of the slice.
        field_picture: whether all macroblocks use the contexts of fields.
        qp: SliceQPY.
        init_idc: cabac_init_idc.
    """

    def __init__(self, bits: BitWriter, grid: Grid, *, kind: str, field_picture: bool, qp: int, init_idc: int) -> None:
        bits.align(1)
        self._bits, self._grid, self._kind, self._field_picture = bits, grid, kind, field_picture
        self._engine = ArithmeticEncoder(bits, qp=qp, initialisation=0 if kind == "I" else 1 + init_idc)
        self._delta = self._delta_before = 0
        self.address = 0

    def begin(self, address: int) -> None:
        """The next macroblock."""
        self.address = address
        self._delta_before, self._delta = self._delta, 0

    def end(self, *, last: bool) -> None:
        """end_of_slice_flag, which also is rbsp_stop_one_bit; not after the top macroblock of a pair."""
        if not self._grid.mbaff or self.address % 2:
            self._engine.terminate(int(last))
        if last:
            self._bits.align()

    def skip(self, skipped: bool) -> None:
        """mb_skip_flag: while mb_field_decoding_flag is not known, the inferred one counts (7.3.4)."""
        grid, field = self._grid, None
        if grid.mbaff and (self.address % 2 == 0 or grid.done[self.address - 1].kind == "skip"):
            field = grid.inferred(self.address)
        near = (grid.neighbour(self.address, x, y, field=field) for x, y in ((-1, 0), (0, -1)))
        increment = sum(where is not None and where[0].kind != "skip" for where in near)
        self._engine.decision((24 if self._kind == "B" else 11) + increment, int(skipped))

    def field(self, value: bool) -> None:
        """mb_field_decoding_flag."""
        self._engine.decision(70 + self._grid.field_pairs(self.address), int(value))

    def mb_type(self, number: int) -> None:
        """mb_type, numbered as in slices of this kind."""
        if self._kind == "I":
            self._intra_type(number, (3 + self._count(lambda mb: mb.kind != "nxn"), 6, 7, 8, 9, 10))
        elif self._kind == "P":
            bins = _P_TYPES.get(number, "1")
            self._bins(bins, 14, 15, 16 if bins[1:2] == "0" else 17)
            if number >= 5:
                self._intra_type(number - 5, (17, 18, 19, 19, 20, 20))
        else:
            bins = _B_TYPES.get(number, "111101")
            first = 27 + self._count(lambda mb: mb.kind not in ("skip", "direct"))
            self._bins(bins, first, 30, *((31, 32) if bins[1:2] == "1" else (32,)))
            if number >= 23:
                self._intra_type(number - 23, (32, 33, 34, 34, 35, 35))

    def _intra_type(self, number: int, contexts: tuple[int, ...]) -> None:
        """mb_type of I slices (Table 9-36); contexts of its first bin, luma, chroma (2) and prediction mode (2)."""
        first, luma, chroma, which, *mode = contexts
        decide = self._engine.decision
        decide(first, int(number > 0))
        if number == 0:
            return
        self._engine.terminate(int(number == 25))
        if number == 25:
            return
        decide(luma, int(number > 12))
        coded = (number - 1) // 4 % 3
        decide(chroma, int(coded > 0))
        if coded:
            decide(which, int(coded == 2))
        decide(mode[0], (number - 1) >> 1 & 1)
        decide(mode[1], (number - 1) & 1)

    def pcm(self, samples: bytes) -> None:
        """What follows the type I_PCM."""
        self._bits.align()
        self._bits.data(samples)
        self._engine.start()
        self._grid.done[self.address].whole(1)

    def sub_mb_type(self, number: int) -> None:
        """sub_mb_type."""
        if self._kind == "P":
            self._bins(_P_SUB[number], 21, 22, 23)
        else:
            bins = _B_SUB[number]
            self._bins(bins, 36, 37, 38 if bins[1:2] == "1" else 39, 39)

    def transform8x8(self, value: bool) -> None:
        """transform_size_8x8_flag."""
        self._engine.decision(399 + self._count(lambda mb: mb.transform8x8), int(value))

    def intra_mode(self, rest: int | None) -> None:
        """prev_intra4x4_pred_mode_flag (or 8x8), and rem_intra4x4_pred_mode where the mode is not the predicted one."""
        self._engine.decision(68, int(rest is None))
        for bit in range(3 if rest is not None else 0):
            self._engine.decision(69, (rest or 0) >> bit & 1)

    def chroma_mode(self, value: int) -> None:
        """intra_chroma_pred_mode."""
        first = 64 + self._count(lambda mb: mb.chroma_mode != 0)
        self._bins(("0", "10", "110", "111")[value], first, 67)

    def ref_idx(self, which: int, part: Rect, index: int, greatest: int) -> None:
        """ref_idx of list `which`."""
        mb = self._mb
        if greatest > 0:
            increment = 0
            for weight, (other, at) in self._beside(part):
                # The index of a field counts as that of its frame.
                increment += weight * (other.ref_idx[which][at] > self._twice(other, mb))
            self._bins("1" * index + "0", 54 + increment, 58, 59)
        for at in _covered(part):
            mb.ref_idx[which][at] = index

    def mvd(self, which: int, part: Rect, difference: tuple[int, int]) -> None:
        """mvd of list `which`."""
        mb = self._mb
        for component, value in enumerate(difference):
            total = 0
            for _, (other, at) in self._beside(part):
                size = abs(other.mvd[which][at][component])
                if component:
                    # Rows of the current macroblock.
                    size = size << self._twice(other, mb) >> self._twice(mb, other)
                total += size
            self._vector(40 + 7 * component, (total > 2) + (total > 32), value)
        for at in _covered(part):
            mb.mvd[which][at] = difference

    def _vector(self, base: int, increment: int, value: int) -> None:
        """UEG3 with a sign, uCoff 9 (9.3.2.3)."""
        size = abs(value)
        contexts = (base + increment, *range(base + 3, base + 7))
        self._bins("1" * min(size, 9) + "0" * (size < 9), *contexts)
        if size >= 9:
            self._engine.suffix(size - 9, 3)
        if size:
            self._engine.bypass(int(value < 0))

    def coded_block_pattern(self, value: int) -> None:
        """coded_block_pattern; the macroblock's own grows as its bins are written."""
        mb = self._mb
        mb.cbp = 0
        for quarter in range(4):
            x, y = 8 * (quarter % 2), 8 * (quarter // 2)
            increment = 0
            for weight, (nx, ny) in ((1, (x - 1, y)), (2, (x, y - 1))):
                where = self._grid.neighbour(self.address, nx, ny)
                if where:
                    other, px, py = where
                    increment += weight * (not other.cbp >> (px // 8 + 2 * (py // 8)) & 1)
            self._engine.decision(73 + increment, value >> quarter & 1)
            mb.cbp |= value & 1 << quarter
        chroma = value >> 4
        self._engine.decision(77 + self._weighted(lambda mb: mb.cbp >> 4 > 0), int(chroma > 0))
        if chroma:
            self._engine.decision(81 + self._weighted(lambda mb: mb.cbp >> 4 == 2), int(chroma == 2))
        mb.cbp = value

    def qp_delta(self, value: int) -> None:
        """mb_qp_delta."""
        self._delta = value
        mapped = 2 * value - 1 if value > 0 else -2 * value
        self._bins("1" * mapped + "0", 60 + (self._delta_before != 0), 62, 63)

    def dc(self, plane: str, levels: Sequence[int]) -> None:
        """The DC levels of Intra_16x16 or of a chroma plane."""
        category = 0 if plane == "luma" else 3
        coded = any(levels)
        increment = 0
        for weight, (x, y) in ((1, (-1, 0)), (2, (0, -1))):
            where = self._grid.neighbour(self.address, x, y)
            increment += weight * (where[0].dc[plane] if where else self._mb.intra)
        self._engine.decision(_CODED[category] + increment, int(coded))
        self._mb.dc[plane] = int(coded)
        if coded:
            self._residual(category, levels)

    def levels(self, plane: str, index: int, levels: Sequence[int]) -> None:
        """A block of 15 or 16 levels, or an 8x8 block of 64, which has no coded_block_flag and thus a level."""
        mb, counts = self._mb, self._mb.counts[plane]
        if len(levels) == 64:
            counts[index : index + 4] = [1] * 4
            self._residual(5, levels)
            return
        category = 4 if plane != "luma" else 1 if len(levels) == 15 else 2
        x, y = place(plane, index)
        increment = 0
        for weight, (nx, ny) in ((1, (4 * x - 1, 4 * y)), (2, (4 * x, 4 * y - 1))):
            where = self._grid.neighbour(self.address, nx, ny, 16 if plane == "luma" else 8)
            if where:
                other, px, py = where
                increment += weight * other.counts[plane][block(plane, px // 4, py // 4)]
            else:
                increment += weight * mb.intra
        counts[index] = int(any(levels))
        self._engine.decision(_CODED[category] + increment, counts[index])
        if counts[index]:
            self._residual(category, levels)

    def _residual(self, category: int, levels: Sequence[int]) -> None:
        """residual_block_cabac() (7.3.5.3.3) after coded_block_flag."""
        engine = self._engine
        fields = self._field_picture or self._mb.field
        significant, last = _SIGNIFICANT[fields][category], _LAST[fields][category]
        places = [i for i, level in enumerate(levels) if level]
        for i in range(min(places[-1] + 1, len(levels) - 1)):
            first = second = min(i, 2) if category == 3 else i
            if category == 5:
                first, second = table("kSignificant8x8")[63 * fields + i], table("kLast8x8")[i]
            engine.decision(significant + first, int(levels[i] != 0))
            if levels[i]:
                engine.decision(last + second, int(i == places[-1]))
        base, ones, more = _LEVEL[category], 0, 0
        for i in reversed(places):
            size = abs(levels[i]) - 1
            context = base + (0 if more else min(4, 1 + ones))
            self._bins("1" * min(size, 14) + "0" * (size < 14), context, base + 5 + min(4 - (category == 3), more))
            if size >= 14:
                engine.suffix(size - 14, 0)
            engine.bypass(int(levels[i] < 0))
            ones, more = ones + (size == 0), more + (size > 0)

    @property
    def _mb(self) -> Macroblock:
        return self._grid.done[self.address]

    def _bins(self, bins: str, *contexts: int) -> None:
        """Bins with a context each; the last one is that of all further bins."""
        for i, value in enumerate(bins):
            self._engine.decision(contexts[min(i, len(contexts) - 1)], int(value))

    def _weighted(self, test: Callable[[Macroblock], bool]) -> int:
        """ctxIdxInc of a condition on the macroblocks left (1) and above (2) that are there."""
        near = (self._grid.neighbour(self.address, x, y) for x, y in ((-1, 0), (0, -1)))
        return sum(weight for weight, where in enumerate(near, 1) if where and test(where[0]))

    def _count(self, test: Callable[[Macroblock], bool]) -> int:
        """How many of the macroblocks left and above are there and pass a test."""
        return (0, 1, 1, 2)[self._weighted(test)]

    def _beside(self, part: Rect) -> list[tuple[int, tuple[Macroblock, int]]]:
        """Left (1) of a partition and above it (2), where there is anything: the macroblock and its 4x4 block."""
        x, y = 4 * part[0], 4 * part[1]
        found = []
        for weight, (nx, ny) in ((1, (x - 1, y)), (2, (x, y - 1))):
            where = self._grid.neighbour(self.address, nx, ny)
            if where:
                found.append((weight, (where[0], where[1] // 4 + where[2] // 4 * 4)))
        return found

    def _twice(self, laced: Macroblock, whole: Macroblock) -> int:
        """1 where the first macroblock is of a field and the second of the frame, so that rows count twice."""
        return int(laced.field and not whole.field)


def _covered(part: Rect) -> list[int]:
    """The 4x4 blocks of a partition in raster order."""
    x, y, width, height = part
    return [column + 4 * row for row in range(y, y + height) for column in range(x, x + width)]
