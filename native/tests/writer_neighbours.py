"""Macroblocks written so far and where they lie: what entropy coding asks of neighbours (6.4.9 to 6.4.12)."""

from __future__ import annotations

import dataclasses

# Position and size in 4x4 blocks of a macroblock: x, y, width, height.
Rect = tuple[int, int, int, int]

BLOCKS = {"luma": 16, "cb": 4, "cr": 4}


def place(plane: str, index: int) -> tuple[int, int]:
    """Column and row of the 4x4 block `index` (6.4.3, 6.4.7)."""
    if plane == "luma":
        return index % 2 + 2 * (index // 4 % 2), index // 2 % 2 + 2 * (index // 8)
    return index % 2, index // 2


def block(plane: str, x: int, y: int) -> int:
    """The 4x4 block at column x, row y."""
    return x % 2 + 2 * (y % 2) + 4 * (x // 2) + 8 * (y // 2) if plane == "luma" else x + 2 * y


@dataclasses.dataclass
class Macroblock:
    """What the contexts of later macroblocks ask of one.

    Attributes:
        slice: number of its slice within the picture.
        field: whether it is a field macroblock of an MBAFF frame.
        kind: "skip", "direct" (B_Direct_16x16), "inter", "nxn" (Intra_4x4, Intra_8x8), "16x16" (Intra_16x16) or "pcm".
        cbp: coded_block_pattern, also where mb_type gives it.
        chroma_mode: intra_chroma_pred_mode.
        counts: by plane, TotalCoeff (CAVLC) or coded_block_flag (CABAC) of each 4x4 block.
        dc: by plane, coded_block_flag of the DC block.
        ref_idx, mvd: by list and 4x4 block in raster order, 0 where nothing is coded.
    """

    slice: int
    field: bool
    kind: str = "skip"
    cbp: int = 0
    transform8x8: bool = False
    chroma_mode: int = 0
    counts: dict[str, list[int]] = dataclasses.field(
        default_factory=lambda: {plane: [0] * n for plane, n in BLOCKS.items()}
    )
    dc: dict[str, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(BLOCKS, 0))
    ref_idx: tuple[list[int], list[int]] = dataclasses.field(default_factory=lambda: ([0] * 16, [0] * 16))
    mvd: tuple[list[tuple[int, int]], list[tuple[int, int]]] = dataclasses.field(
        default_factory=lambda: ([(0, 0)] * 16, [(0, 0)] * 16)
    )

    @property
    def intra(self) -> bool:
        """Whether it is predicted from its own picture."""
        return self.kind in ("nxn", "16x16", "pcm")

    def whole(self, count: int) -> None:
        """I_PCM: every block counts as full of levels."""
        self.cbp = 0x2F
        self.counts = {plane: [count] * n for plane, n in BLOCKS.items()}
        self.dc = dict.fromkeys(BLOCKS, 1)


class Grid:
    """The macroblocks of one coded picture by address; in MBAFF frames two addresses make a pair."""

    def __init__(self, width: int, *, mbaff: bool) -> None:
        self.width, self.mbaff = width, mbaff
        self.done: dict[int, Macroblock] = {}
        self.slice = 0

    def unit(self, address: int) -> int:
        """The macroblock or pair, counted in raster order."""
        return address // 2 if self.mbaff else address

    def _pairs(self, address: int) -> list[Macroblock]:
        """The pairs left and above that are there."""
        pair = address // 2
        others = ((pair - 1) if pair % self.width else -1, pair - self.width)
        found = [self.done.get(2 * other) for other in others if other >= 0]
        return [mb for mb in found if mb and mb.slice == self.slice]

    def inferred(self, address: int) -> bool:
        """mb_field_decoding_flag of a pair that does not carry it (7.4.4): of the pair to the left, above, or frame."""
        return next((mb.field for mb in self._pairs(address)), False)

    def field_pairs(self, address: int) -> int:
        """How many of the pairs left and above are of fields (9.3.3.1.1.1)."""
        return sum(mb.field for mb in self._pairs(address))

    def neighbour(
        self, address: int, x: int, y: int, size: int = 16, field: bool | None = None
    ) -> tuple[Macroblock, int, int] | None:
        """What covers the sample (x, y), within the macroblock, left of it or above, and the place in it (6.4.12).

        Args:
            address: of the macroblock.
            x, y: relative to its upper left sample.
            size: of a macroblock in samples of the plane.
            field: what to take the macroblock for, while its mb_field_decoding_flag is not known.
        """
        if x >= 0 and y >= 0:
            return self.done[address], x, y
        current = self.done[address].field if field is None else field
        bottom = address % 2
        if x < 0:
            other = self.unit(address) - 1 if self.unit(address) % self.width else -1
        elif self.mbaff and bottom and not current:
            return self.done[address - 1], x, y % size  # above in a frame pair: its own top macroblock
        else:
            other = self.unit(address) - self.width
        first = 2 * other if self.mbaff else other
        if other < 0 or first not in self.done or self.done[first].slice != self.slice:
            return None
        if not self.mbaff:
            return self.done[first], x % size, y % size
        there = self.done[first].field
        if y < 0:
            return self.done[first + int(not (current and there and not bottom))], x, y % size
        if current == there:
            return self.done[first + bottom], x % size, y
        if not current:
            row = y + size * bottom  # a frame macroblock beside fields
            return self.done[first + row % 2], x % size, row // 2
        row = 2 * y + bottom  # a field macroblock beside frames
        return self.done[first + row // size], x % size, row % size
