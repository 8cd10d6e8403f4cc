"""Where tokens lie in their picture: left, top, right and bottom as shares of its width and height."""

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float64]

NOWHERE = (np.nan,) * 4
"""The box of a token that shows no part of the picture, such as one for a new line."""


def grid_boxes(rows: int, columns: int, *, within: tuple[float, float, float, float] = (0, 0, 1, 1)) -> Boxes:
    """Boxes [rows * columns, 4] of the cells of a grid that fills the box `within`, row by row."""
    left, top, right, bottom = within
    across = left + (right - left) * np.arange(columns + 1) / columns
    down = top + (bottom - top) * np.arange(rows + 1) / rows
    boxes = np.empty((rows, columns, 4))
    boxes[..., 0], boxes[..., 2] = across[:-1], across[1:]
    boxes[..., 1], boxes[..., 3] = down[:-1, None], down[1:, None]
    return boxes.reshape(-1, 4)


def with_new_lines(boxes: Boxes, rows: int) -> Boxes:
    """The same boxes with that of a new line after each of so many rows."""
    lines = boxes.reshape(rows, -1, 4)
    ends = np.broadcast_to(np.array(NOWHERE), (rows, 1, 4))
    return np.concatenate([lines, ends], axis=1).reshape(-1, 4)
