"""What is asked of a video, checked against it."""

import os
from collections.abc import Sequence
from typing import Final, get_args

import numpy as np
import numpy.typing as npt

from himmel._checks import check_choice, check_whole
from himmel.choices import Cell
from himmel.errors import UsageError

IntArray = npt.NDArray[np.int64]
CELLS: Final = get_args(Cell)
MAX_COUNT: Final = 4096


def choose_cell(size: tuple[int, int], cell: Cell | None, *, most: int) -> int:
    """Side of a map's cell in luma pixels: what was asked for, or the smallest from 8 on with at most so many across.

    Raises:
        UsageError: there is no such cell.
    """
    if cell is not None:
        check_choice("cell", cell, CELLS)
        return int(cell)
    fitting = [one for one in CELLS[1:] if max(size) <= most * one]
    return fitting[0] if fitting else CELLS[-1]


def check_span(start: int, stop: int | None, num_frames: int) -> tuple[int, int]:
    """`start` and `stop` as a range of pictures; None is the end.

    Raises:
        UsageError: they are none of a video with `num_frames` pictures.
    """
    end = num_frames if stop is None else stop
    for name, value in (("start", start), ("stop", end)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise UsageError(f"{name}={value!r} is no whole number; give the index of a picture.")
    if not 0 <= start <= end <= num_frames:
        raise UsageError(f"start={start!r}, stop={stop!r} is no range of this video's pictures; it has {num_frames}.")
    return int(start), int(end)


def check_indices(name: str, indices: Sequence[int] | IntArray, num_frames: int) -> IntArray:
    """Chosen pictures as int64 [n].

    Raises:
        UsageError: they don't increase within a video of `num_frames` pictures, or there are none.
    """
    chosen = np.asarray(indices)
    inside = chosen.ndim == 1 and len(chosen) > 0 and chosen.dtype.kind in "iu"
    if inside:
        chosen = chosen.astype(np.int64)
        inside = bool(chosen[0] >= 0 and chosen[-1] < num_frames and (np.diff(chosen) > 0).all())
    if not inside:
        raise UsageError(
            f"{name}={list(indices)!r} are not pictures in their order; give increasing numbers from 0 to "
            f"{num_frames - 1}."
        )
    return chosen


def count_workers(threads: int | None) -> int:
    """Workers that read stretches of a file at once.

    Raises:
        UsageError: so many are not possible.
    """
    return min(os.cpu_count() or 1, 8) if threads is None else check_whole("threads", threads, 1, MAX_COUNT)
