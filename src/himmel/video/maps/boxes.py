"""Means of a grid of cells over boxes that don't fall on its cells."""

import numpy as np
import numpy.typing as npt

from himmel.video.maps.raster import cell_areas

FloatArray = npt.NDArray[np.float64]


def mean_in_boxes(sums: FloatArray, boxes: FloatArray, *, width: int, height: int, cell: int) -> FloatArray:
    """How much there is per pixel in each box, where each cell's sum is spread evenly over its part of the picture.

    Args:
        sums: [R, C], what there is in each cell.
        boxes: [T, 4], left, top, right, bottom as shares of the picture's sides.
        width, height: of the picture in pixels.
        cell: side of a cell in pixels.

    Returns:
        float64 [T]; what lies beside the picture counts as 0; NaN where a box is.
    """
    density = sums / cell_areas(width, height, cell)
    down = np.minimum(cell * np.arange(density.shape[0] + 1), height)
    across = np.minimum(cell * np.arange(density.shape[1] + 1), width)
    inside = np.clip(boxes, 0, 1) * [width, height, width, height]
    # The integral over a box is linear in how far it covers each row and column of cells.
    rows = _covered(inside[:, 1], inside[:, 3], down)
    columns = _covered(inside[:, 0], inside[:, 2], across)
    total = np.einsum("tr,rc,tc->t", rows, density, columns, optimize=True)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) * width * height
    return total / area


def _covered(begin: FloatArray, end: FloatArray, edges: npt.NDArray[np.int64]) -> FloatArray:
    """How many pixels of each stretch between edges [R + 1] lie between begin and end, [T, R]."""
    overlap = np.minimum(end[:, None], edges[1:]) - np.maximum(begin[:, None], edges[:-1])
    return np.maximum(overlap, 0.0)
