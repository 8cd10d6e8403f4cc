"""Blocks with vectors -> a fixed grid of cells, weighted by exact areas; and a dense vector field for prediction."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from himmel.video.file.orientation import Orientation

ByteArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]

# FFmpeg exports nothing smaller than 8x8 blocks.
LATTICE = 8


@dataclass(frozen=True)
class Blocks:
    """Motion-compensated blocks of one picture, in stored (unrotated, uncropped) coordinates.

    Attributes:
        boxes: int64 [V, 4], (x0, y0, x1, y1) in luma pixels, not clipped.
        dx, dy: float64 [V], from a pixel of this picture to where it is predicted from, in luma pixels.
        past: bool [V], whether the reference is shown before this picture.
    """

    boxes: npt.NDArray[np.int64]
    dx: npt.NDArray[np.float64]
    dy: npt.NDArray[np.float64]
    past: npt.NDArray[np.bool_]

    @classmethod
    def from_side_data(cls, array: npt.NDArray[np.void], limit: int) -> "Blocks":
        """From FFmpeg's `AVMotionVector` records; `motion / scale` keeps the fraction that `src - dst` loses.

        At most `limit` records are read, so that a damaged stream can't ask for unbounded work.
        """
        array = array[:limit]
        width, height = array["w"].astype(np.int64), array["h"].astype(np.int64)
        x0 = array["dst_x"].astype(np.int64) - width // 2
        y0 = array["dst_y"].astype(np.int64) - height // 2
        scale = np.maximum(array["motion_scale"], 1).astype(np.float64)
        return cls(
            np.stack((x0, y0, x0 + width, y0 + height), axis=1),
            array["motion_x"] / scale,
            array["motion_y"] / scale,
            array["source"] < 0,
        )

    @classmethod
    def empty(cls) -> "Blocks":
        """No blocks, as in an intra picture."""
        return cls(np.zeros((0, 4), np.int64), np.zeros(0), np.zeros(0), np.zeros(0, np.bool_))

    def scaled(self, x: float, y: float) -> "Blocks":
        """The blocks of the same picture made `x` times as wide and `y` times as high, on whole pixels."""
        boxes = np.rint(self.boxes * np.array([x, y, x, y])).astype(np.int64)
        return Blocks(boxes, self.dx * x, self.dy * y, self.past)

    def select(self, chosen: npt.NDArray[np.bool_]) -> "Blocks":
        """The blocks where `chosen` (bool [V]) is true."""
        return Blocks(self.boxes[chosen], self.dx[chosen], self.dy[chosen], self.past[chosen])


@dataclass(frozen=True, repr=False)
class Moves:
    """For every pixel of a plane, where it is predicted from.

    Attributes:
        dx, dy: float32 [H, W], offset in pixels of this plane.
        known: uint8 [H, W], 1 where there is a prediction, else 0.
    """

    dx: FloatArray
    dy: FloatArray
    known: ByteArray


def grid_shape(width: int, height: int, cell: int) -> tuple[int, int]:
    """(rows, columns) of the grid that covers a displayed picture; the last row and column may stick out."""
    return -(-height // cell), -(-width // cell)


def cell_areas(width: int, height: int, cell: int) -> npt.NDArray[np.float64]:
    """Area in pixels of the part of each cell that lies inside the picture, float64 [R, C]."""
    rows, columns = grid_shape(width, height, cell)
    tall = np.minimum(cell, height - cell * np.arange(rows))
    wide = np.minimum(cell, width - cell * np.arange(columns))
    return np.outer(tall, wide).astype(np.float64)


def clip_boxes(boxes: npt.NDArray[np.int64], width: int, height: int) -> npt.NDArray[np.int64]:
    """Boxes cut at the picture's border; one that lies outside becomes empty."""
    limits = np.array([width, height, width, height])
    return np.clip(boxes, 0, limits)


def spread(
    boxes: npt.NDArray[np.int64], values: list[npt.NDArray[np.float64]], *, width: int, height: int, cell: int
) -> npt.NDArray[np.float64]:
    """Add up areas, and areas times each value, over the cells that each box overlaps.

    Args:
        boxes: int64 [V, 4] inside a displayed picture of `width` x `height`.
        values: n arrays float64 [V].

    Returns:
        float64 [1 + n, R, C]: overlapped area in pixels, then the area-weighted sum of each value.
    """
    rows, columns = grid_shape(width, height, cell)
    total = np.zeros((1 + len(values), rows * columns))
    boxes = clip_boxes(boxes, width, height)
    solid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    if not solid.any():
        return total.reshape(-1, rows, columns)
    boxes, values = boxes[solid], [value[solid] for value in values]
    x0, y0, x1, y1 = boxes.T
    left, top = x0 // cell, y0 // cell
    across, down = int(((x1 - 1) // cell - left).max()) + 1, int(((y1 - 1) // cell - top).max()) + 1
    # One pass per offset inside a block's span of cells (1 to 4 in practice), none per vector.
    for j in range(down):
        row = top + j
        tall = np.minimum(y1, (row + 1) * cell) - np.maximum(y0, row * cell)
        for i in range(across):
            column = left + i
            wide = np.minimum(x1, (column + 1) * cell) - np.maximum(x0, column * cell)
            hit = (tall > 0) & (wide > 0)
            where, area = (row * columns + column)[hit], (tall * wide)[hit].astype(np.float64)
            total[0] += np.bincount(where, area, minlength=rows * columns)
            for n, value in enumerate(values):
                total[n + 1] += np.bincount(where, area * value[hit], minlength=rows * columns)
    return total.reshape(-1, rows, columns)


def raster_blocks(
    blocks: Blocks, orientation: Orientation, crop: tuple[int, int], width: int, height: int, cell: int
) -> tuple[FloatArray, FloatArray]:
    """Mean displacement and covered share of each cell, for blocks of one direction.

    Args:
        blocks: all past or all future.
        crop: (x, y) of the displayed window inside the stored picture, before rotation.
        width, height: displayed size.

    Returns:
        displacement float32 [2, R, C]: (dx, dy) of the blocks' own sign, area-weighted means over the covered part,
        0 where nothing is covered; share float32 [R, C], 0 to 1.
    """
    boxes = displayed_boxes(blocks, orientation, crop, width, height)
    dx, dy = orientation.vectors(blocks.dx, blocks.dy)
    area, sum_x, sum_y = spread(boxes, [dx, dy], width=width, height=height, cell=cell)
    covered = area > 0
    safe = np.where(covered, area, 1.0)
    share = np.minimum(area / cell_areas(width, height, cell), 1.0)
    return np.stack((sum_x / safe, sum_y / safe)).astype(np.float32), share.astype(np.float32)


def covered_share(
    blocks: Blocks, orientation: Orientation, crop: tuple[int, int], width: int, height: int, cell: int
) -> FloatArray:
    """Share of each cell that blocks of either direction cover, float32 [R, C]; doubly predicted blocks count once."""
    boxes = displayed_boxes(blocks, orientation, crop, width, height)
    _, first = np.unique(boxes @ np.array([1, 1 << 15, 1 << 30, 1 << 45]), return_index=True)
    boxes = boxes[first]
    area = spread(boxes, [], width=width, height=height, cell=cell)[0]
    return np.minimum(area / cell_areas(width, height, cell), 1.0).astype(np.float32)


def displayed_boxes(
    blocks: Blocks, orientation: Orientation, crop: tuple[int, int], width: int, height: int
) -> npt.NDArray[np.int64]:
    """The blocks' boxes cut to the displayed window and turned, int64 [V, 4]."""
    stored_width, stored_height = orientation.size(width, height)
    shifted = blocks.boxes - np.array([*crop, *crop])
    return orientation.boxes(clip_boxes(shifted, stored_width, stored_height), stored_width, stored_height)


def dense_moves(blocks: Blocks, crop: tuple[int, int], width: int, height: int) -> tuple[Moves, Moves]:
    """Vectors of one direction for every pixel of a stored, cropped picture of `width` x `height` luma pixels.

    Where blocks overlap the later one counts.

    Returns:
        for luma, and for chroma at half the size with vectors in chroma pixels.
    """
    rows, columns = -(-(height + crop[1]) // LATTICE), -(-(width + crop[0]) // LATTICE)
    dx, dy = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.float32)
    known = np.zeros((rows, columns), np.uint8)
    x0, y0, x1, y1 = blocks.boxes.T // LATTICE
    for j in range(int((y1 - y0).max(initial=0))):
        for i in range(int((x1 - x0).max(initial=0))):
            column, row = x0 + i, y0 + j
            hit = (column < x1) & (row < y1) & (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
            at = row[hit], column[hit]
            dx[at], dy[at], known[at] = blocks.dx[hit], blocks.dy[hit], 1

    def magnify(lattice: npt.NDArray[Any], shrink: int) -> npt.NDArray[Any]:
        factor = LATTICE // shrink
        big = cv2.resize(lattice, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
        left, top = crop[0] // shrink, crop[1] // shrink
        return np.ascontiguousarray(big[top : top - (-height // shrink), left : left - (-width // shrink)])

    return (
        Moves(magnify(dx, 1), magnify(dy, 1), magnify(known, 1)),
        Moves(magnify(dx / 2, 2), magnify(dy / 2, 2), magnify(known, 2)),
    )
