"""A literal oracle: every pixel is followed back by itself, picture by picture, in plain loops."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NOBODY = -1


@dataclass
class Pixels:
    """Of each pixel of one picture: offset to its source in pixels, and the picture that holds it, or NOBODY."""

    dx: npt.NDArray[np.float64]
    dy: npt.NDArray[np.float64]
    reference: npt.NDArray[np.int64]
    fallback: int
    delta: tuple[npt.NDArray[np.int32], ...] = ()


@dataclass
class Way:
    """Where one pixel's way ends, and what was met on it."""

    right: float
    down: float
    met: bool
    residual: list[float]


def follow(pictures: Mapping[int, Pixels], rank: Mapping[int, int], base: int, number: int, y: int, x: int) -> Way:
    """Follow pixel (y, x) of a picture back to `base`, or to where its way leaves the pictures after the base."""
    way = Way(0.0, 0.0, False, [0.0] * 3)
    while rank[number] > rank[base]:
        here = pictures[number]
        height, width = here.reference.shape
        for k, plane in enumerate(here.delta):
            way.residual[k] += float(plane[y * plane.shape[0] // height, x * plane.shape[1] // width])
        reference = int(here.reference[y, x])
        if reference != NOBODY and rank[reference] > rank[base] and reference not in pictures:
            reference = NOBODY
        if reference == NOBODY:
            # Taken as unmoved since the fallback.
            number = here.fallback if here.fallback in pictures else base
            continue
        share = 1.0
        if rank[reference] < rank[base]:
            share = (rank[number] - rank[base]) / (rank[number] - rank[reference])
        right, down = float(here.dx[y, x]), float(here.dy[y, x])
        way.right, way.down, way.met = way.right - right * share, way.down - down * share, True
        x = min(max(int(np.floor(x + right + 0.5)), 0), width - 1)
        y = min(max(int(np.floor(y + down + 0.5)), 0), height - 1)
        number = reference
    return way


def follow_all(
    pictures: Mapping[int, Pixels], rank: Mapping[int, int], base: int, number: int
) -> tuple[npt.NDArray[np.complex128], npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """`follow` for each pixel: displacement [H, W] (right + i down), met [H, W], residual [3, H, W]."""
    height, width = pictures[number].reference.shape
    moved = np.zeros((height, width), np.complex128)
    met = np.zeros((height, width), np.bool_)
    residual = np.zeros((3, height, width))
    for y in range(height):
        for x in range(width):
            way = follow(pictures, rank, base, number, y, x)
            moved[y, x], met[y, x], residual[:, y, x] = complex(way.right, way.down), way.met, way.residual
    return moved, met, residual


def cell_mean(values: npt.NDArray[np.float64], weight: npt.NDArray[np.bool_], cell: int) -> npt.NDArray[np.float64]:
    """Mean of the weighted pixels of each cell, 0 where none is, [R, C]."""
    rows, columns = -(-values.shape[0] // cell), -(-values.shape[1] // cell)
    result = np.zeros((rows, columns))
    for r in range(rows):
        for c in range(columns):
            part = np.s_[r * cell : (r + 1) * cell, c * cell : (c + 1) * cell]
            if weight[part].any():
                result[r, c] = values[part][weight[part]].mean()
    return result
