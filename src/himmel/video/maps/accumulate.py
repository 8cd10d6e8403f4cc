"""Vectors and residuals accumulated back to one base picture (Wu et al. 2018, section 3).

The paper is Compressed Video Action Recognition (CoViAR). With T_t(i) how far the content at pixel i of picture t moved
since its reference r, and Delta_t(i) its residual,

    mu_t(i) = i - T_t(i)                       where that content was in r
    D_t(i)  = T_t(i) + D_r(mu_t(i))            accumulated displacement since the base, D_base = 0
    R_t(i)  = Delta_t(i) + R_r(mu_t(i))        accumulated residual, R_base = 0

D is looked up at the pixel nearest to mu_t(i), clamped to the picture as a decoder does, and keeps T's fractions.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

Residual = tuple[npt.NDArray[np.int32], ...]

NOBODY = -1
# No codec here predicts blocks with sides that are no multiples of this.
LATTICE = 4


@dataclass(frozen=True, repr=False)
class Links:
    """Where a picture's pixels are predicted from, constant over cells of `unit` (rows, columns) pixels.

    Attributes:
        dx, dy: float32 [h, w], from a pixel to its source (right, down) in pixels; 0 where there is none.
        reference: int64 [h, w], decode-order number of the picture in which the source lies, or NOBODY.
        unit: rows * h and columns * w are the canvas.
    """

    dx: FloatArray
    dy: FloatArray
    reference: IntArray
    unit: tuple[int, int]


@dataclass(frozen=True, repr=False)
class BlockList:
    """Motion-compensated blocks by luma pixels of the canvas, most important last: it wins where two overlap.

    Attributes:
        x, y, width, height: int64 [V].
        stride: int64 [V], 1, or 2 for a field's blocks, which cover every second line from y on.
        dx, dy: float32 [V], to the source, in pixels of the canvas.
        reference: int64 [V].
    """

    x: IntArray
    y: IntArray
    width: IntArray
    height: IntArray
    stride: IntArray
    dx: FloatArray
    dy: FloatArray
    reference: IntArray

    def link(self, canvas: tuple[int, int]) -> Links:
        """Spread the blocks over a canvas (rows, columns) whose sides are multiples of 4."""
        rows = 1 if (self.stride > 1).any() else LATTICE
        shape = canvas[0] // rows, canvas[1] // LATTICE
        wide, tall = self.width // LATTICE, self.height // rows
        block = np.repeat(np.arange(len(self.x)), wide * tall)
        nth = np.arange(len(block)) - np.repeat(np.cumsum(wide * tall) - wide * tall, wide * tall)
        row = self.y[block] // rows + nth // wide[block] * self.stride[block]
        column = self.x[block] // LATTICE + nth % wide[block]
        inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
        at, block = (row * shape[1] + column)[inside], block[inside]
        dx, dy = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        reference = np.full(shape, NOBODY, np.int64)
        for plane, values in ((dx, self.dx), (dy, self.dy), (reference, self.reference)):
            # Of several values for one place NumPy keeps the last.
            plane.ravel()[at] = values[block]
        return Links(dx, dy, reference, (rows, LATTICE))


@dataclass(frozen=True, repr=False)
class Traced:
    """One picture, traced back to the base; views that the next picture may overwrite.

    Attributes:
        displacement: complex64 [H, W], D in pixels: real to the right, imaginary downwards.
        met: bool [H, W], whether the way back to the base follows any vector.
        luma: float32 [H, W], R in the stream's code values.
        chroma: complex64 [H, W], the same of Cb (real) and Cr (imaginary) at each luma pixel.
    """

    displacement: npt.NDArray[np.complex64]
    met: npt.NDArray[np.bool_]
    luma: FloatArray
    chroma: npt.NDArray[np.complex64]


class Trace:
    """Accumulates pictures one after the other, each after those that it is predicted from.

    A vector to a picture shown before the base counts in proportion to the time since the base. A pixel without a
    vector, or whose reference is lost, is taken as unmoved since `fallback`, as CoViAR's data loader does with intra
    blocks.

    Args:
        rank: integers [P], place of each picture in presentation order.
        base: decode-order number of the picture at which every way ends.
        canvas: (rows, columns) of the picture in which blocks are coded.
    """

    def __init__(self, rank: npt.NDArray[np.signedinteger[Any]], base: int, canvas: tuple[int, int]) -> None:
        self._rank = rank
        self._base = int(rank[base])
        self._canvas = canvas
        # One array each for all pictures that are held, so that one look-up serves several references.
        self._displacement = _Store(canvas, np.complex64)
        self._met = _Store(canvas, np.bool_)
        self._luma = _Store(canvas, np.float32)
        self._chroma = _Store(canvas, np.complex64)
        self._slots: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def drop(self, number: int) -> None:
        """Forget a picture that no later one is predicted from."""
        self._slots.pop(number, None)

    def add(self, number: int, links: Links, *, fallback: int, delta: Residual | None = None) -> Traced:
        """Accumulate picture `number`, which is shown after the base, and keep it for those that refer to it.

        Args:
            fallback: the picture from which pixels without a vector are taken as unmoved, or NOBODY for the base.
            delta: its residual planes, luma [H, W] and perhaps Cb and Cr of a divisor of that size; None accumulates
                none.
        """
        used = set(self._slots.values())
        slot = next(free for free in range(1, len(used) + 2) if free not in used)
        moves, known, source = self._resolve(number, links, fallback, slot)
        at = self._source_pixels(moves, source, links.unit)
        within = (source == slot).any()
        displacement = self._displacement.put(slot, _expand(-moves, links.unit), at, within=within)
        met = self._met.put(slot, _expand(known, links.unit), at, within=within)
        self._slots[number] = slot
        luma, chroma = self._luma[_Store.EMPTY], self._chroma[_Store.EMPTY]
        if delta is not None:
            colour = _at_luma(delta[1:], self._canvas)
            luma = self._luma.put(slot, delta[0], at, within=within)
            chroma = self._chroma.put(slot, colour, at, within=within)
        return Traced(displacement, met, luma, chroma)

    def _resolve(
        self, number: int, links: Links, fallback: int, slot: int
    ) -> tuple[npt.NDArray[np.complex64], npt.NDArray[np.bool_], IntArray]:
        """Moves to the source in pixels, where there is a vector, and the slot of the source, each [h, w]."""
        own = int(self._rank[number])
        moves = links.dx + 1j * links.dy
        known = links.reference != NOBODY
        source = np.full(moves.shape, self._slots.get(fallback, _Store.EMPTY), np.int64)
        for reference in np.unique(links.reference[known]).tolist():
            here = links.reference == reference
            rank = int(self._rank[reference])
            if rank <= self._base:
                source[here] = _Store.EMPTY
                if rank < self._base:
                    moves[here] *= np.float32((own - self._base) / (own - rank))
            elif reference == number:
                source[here] = slot
            elif reference in self._slots:
                source[here] = self._slots[reference]
            else:
                known &= ~here
        moves[~known] = 0
        return moves, known, source

    def _source_pixels(self, moves: npt.NDArray[np.complex64], source: IntArray, unit: tuple[int, int]) -> IntArray:
        """Index into all slots of the pixel nearest to each pixel's source, clamped to the canvas, int64 [H, W]."""
        rows, columns = self._canvas
        right, down = (np.floor(part + np.float32(0.5)).astype(np.int64) for part in (moves.real, moves.imag))
        x = np.repeat(right, unit[1], axis=1) + np.arange(columns)
        y = np.repeat(down, unit[0], axis=0) + np.arange(rows)[:, None]
        begin = np.repeat(source * (rows * columns), unit[0], axis=0)
        lines = begin + columns * np.clip(y, 0, rows - 1)
        return np.repeat(np.clip(x, 0, columns - 1), unit[0], axis=0) + np.repeat(lines, unit[1], axis=1)


class _Store:
    """One kind of values of the pictures that are held, a slot [h, w] each; slot 0 stays empty, for the base."""

    EMPTY = 0

    def __init__(self, shape: tuple[int, int], kind: type[np.generic]) -> None:
        self._values = np.zeros((1, *shape), kind)

    def __getitem__(self, slot: int) -> npt.NDArray[Any]:
        return self._values[slot]

    def put(self, slot: int, own: npt.NDArray[Any], at: IntArray, *, within: bool) -> npt.NDArray[Any]:
        """Fill a slot with `own` [h, w] plus what lies at `at`, int64 [h, w], an index into all slots one by one.

        Args:
            within: whether some lie in this slot itself, as in a frame whose second field is predicted from its first.
        """
        if slot == len(self._values):
            self._values = np.concatenate((self._values, np.zeros_like(self._values[:1])))
        target = self._values[slot]
        target[...] = 0
        np.add(self._values.ravel().take(at), own, out=target, casting="unsafe")
        if within:
            begin = target.size * slot
            inner = (at >= begin) & (at < begin + target.size)
            target[inner] += target.ravel()[at[inner] - begin]
        return target


def _expand(lattice: npt.NDArray[Any], unit: tuple[int, int]) -> npt.NDArray[Any]:
    """Each cell's value at each of its pixels, [H, W]."""
    (rows, columns), (tall, wide) = lattice.shape, unit
    spread = np.broadcast_to(lattice[:, None, :, None], (rows, tall, columns, wide))
    return spread.reshape(rows * tall, columns * wide)


def _at_luma(planes: Residual, canvas: tuple[int, int]) -> npt.NDArray[np.complex64]:
    """Cb (real) and Cr (imaginary) at each luma pixel: their ways need not lead to the top left of a chroma sample."""
    if not planes:
        return np.zeros(canvas, np.complex64)
    down, right = canvas[0] // planes[0].shape[0], canvas[1] // planes[0].shape[1]
    colour = np.empty(planes[0].shape, np.complex64)
    colour.real, colour.imag = planes
    return _expand(colour, (down, right))
