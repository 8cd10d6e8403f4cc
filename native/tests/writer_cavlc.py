"""Syntax elements of slice data in CAVLC (7.3.4, 7.3.5, 9.2)."""

from __future__ import annotations

from collections.abc import Sequence

from writer_bits import CBP_INTER, CBP_INTRA, BitWriter, residual_block
from writer_neighbours import Grid, Rect, block, place


class Cavlc:
    """Writes the syntax elements of one slice; `address` is the current macroblock's, which is in the grid."""

    def __init__(self, bits: BitWriter, grid: Grid) -> None:
        self._bits, self._grid = bits, grid
        self._run = 0
        self.address = 0

    def begin(self, address: int) -> None:
        """The next macroblock."""
        self.address = address

    def end(self, *, last: bool) -> None:
        """The macroblock is written; `last` of the slice."""
        if last:
            if self._run:
                self._bits.ue(self._run)
            self._bits.trailing()

    def skip(self, skipped: bool) -> None:
        """mb_skip_run, once it ends."""
        if skipped:
            self._run += 1
        else:
            self._bits.ue(self._run)
            self._run = 0

    def field(self, value: bool) -> None:
        """mb_field_decoding_flag."""
        self._bits.u(1, int(value))

    def mb_type(self, number: int) -> None:
        """mb_type, numbered as in slices of this kind."""
        self._bits.ue(number)

    def pcm(self, samples: bytes) -> None:
        """What follows the type I_PCM."""
        self._bits.align()
        self._bits.data(samples)
        self._grid.done[self.address].whole(16)

    def sub_mb_type(self, number: int) -> None:
        """sub_mb_type."""
        self._bits.ue(number)

    def transform8x8(self, value: bool) -> None:
        """transform_size_8x8_flag."""
        self._bits.u(1, int(value))

    def intra_mode(self, rest: int | None) -> None:
        """prev_intra4x4_pred_mode_flag (or 8x8), and rem_intra4x4_pred_mode where the mode is not the predicted one."""
        self._bits.u(1, int(rest is None))
        if rest is not None:
            self._bits.u(3, rest)

    def chroma_mode(self, value: int) -> None:
        """intra_chroma_pred_mode."""
        self._bits.ue(value)

    def ref_idx(self, which: int, part: Rect, index: int, greatest: int) -> None:
        """ref_idx of list `which`."""
        if greatest > 0:
            self._bits.te(greatest, index)

    def mvd(self, which: int, part: Rect, difference: tuple[int, int]) -> None:
        """mvd of list `which`."""
        for value in difference:
            self._bits.se(value)

    def coded_block_pattern(self, value: int) -> None:
        """coded_block_pattern."""
        intra = self._grid.done[self.address].intra
        self._bits.ue((CBP_INTRA if intra else CBP_INTER).index(value))

    def qp_delta(self, value: int) -> None:
        """mb_qp_delta."""
        self._bits.se(value)

    def dc(self, plane: str, levels: Sequence[int]) -> None:
        """The DC levels of Intra_16x16 or of a chroma plane."""
        residual_block(self._bits, levels, self._context(plane, 0) if plane == "luma" else -1)

    def levels(self, plane: str, index: int, levels: Sequence[int]) -> None:
        """A 4x4 block of 15 or 16 levels, or an 8x8 block of 64, which is written as four (7.3.5.3.2)."""
        parts = [levels[i::4] for i in range(4)] if len(levels) == 64 else [levels]
        for i, part in enumerate(parts, index):
            total = residual_block(self._bits, part, self._context(plane, i))
            self._grid.done[self.address].counts[plane][i] = total

    def _context(self, plane: str, index: int) -> int:
        """nC (9.2.1) of a 4x4 block."""
        x, y = place(plane, index)
        found = []
        for nx, ny in ((4 * x - 1, 4 * y), (4 * x, 4 * y - 1)):
            where = self._grid.neighbour(self.address, nx, ny, 16 if plane == "luma" else 8)
            if where:
                mb, px, py = where
                found.append(mb.counts[plane][block(plane, px // 4, py // 4)])
        return (sum(found) + 1) // 2 if len(found) == 2 else sum(found)
