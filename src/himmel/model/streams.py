"""From the maps of a decomposition to the adapter's inputs: one velocity per cell, a fixed grid, plain units."""

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from himmel.errors import HostError
from himmel.video import Interval, StepMaps

FloatArray = npt.NDArray[np.float32]

# Faster than a third of the picture from one frame to the next is a cut or a wrong vector, and would swamp the rest.
_MAX_VELOCITY = 32.0
_RESIDUAL_UNIT = 16.0


def velocity(maps: StepMaps, *, width: int, height: int) -> tuple[FloatArray, FloatArray]:
    """Merge past and future displacement into one velocity, each divided by the distance to its reference.

    Args:
        maps: F steps on R x C cells.
        width: of the displayed picture in luma pixels.
        height: of the displayed picture in luma pixels.

    Returns:
        [F, 2, R, C] right and down, in per cent of the picture's width and height per frame interval, averaged by
        validity and 0 where nothing is valid; [F, R, C] share of each cell that it holds for, 0..1.
    """
    total = np.zeros_like(maps.past)
    weights = []
    for moved, valid, distance in (
        (maps.past, maps.past_valid, maps.past_distance),
        (maps.future, maps.future_valid, maps.future_distance),
    ):
        known = distance > 0
        per_frame = moved / np.where(known, distance, 1)[:, None, None, None]
        weight = valid * known[:, None, None]
        total += per_frame * weight[:, None]
        weights.append(weight)
    summed = weights[0] + weights[1]
    mean = total / np.where(summed > 0, summed, 1)[:, None]
    unit = np.array([100 / width, 100 / height], np.float32)[None, :, None, None]
    return np.clip(mean * unit, -_MAX_VELOCITY, _MAX_VELOCITY).astype(np.float32), np.maximum(*weights)


def residual_channels(maps: StepMaps, size: int) -> FloatArray:
    """Residual maps on a grid of `size` x `size`.

    Returns:
        [F, 4, size, size]: luma RMS / 16, signed luma mean / 16, chroma RMS / 16 (over the covered area), intra share.
    """
    planes = maps.residual.copy()
    planes[:, ::2] **= 2
    means, covered = resize_weighted(planes, maps.covered, size)
    means[:, ::2] = np.sqrt(means[:, ::2])
    intra = np.clip(1 - covered, 0, 1)
    return np.concatenate([means / np.float32(_RESIDUAL_UNIT), intra[:, None]], axis=1)


def motion_channels(maps: StepMaps, size: int, *, width: int, height: int) -> FloatArray:
    """`velocity` on a grid of `size` x `size`, [F, 2, size, size]; cells without vectors don't dilute the others."""
    speed, valid = velocity(maps, width=width, height=height)
    return resize_weighted(speed, valid, size)[0]


def rgb_channels(interval: Interval, size: int) -> FloatArray:
    """RGB difference / 16 on a grid of `size` x `size`, [F, 3, size, size].

    Raises:
        HostError: the decomposition holds none.
    """
    if interval.rgb_difference is None:
        raise HostError("The decomposition holds no RGB difference; decompose the video with rgb_difference=True.")
    return resize_area(interval.rgb_difference / np.float32(_RESIDUAL_UNIT), size)


def sound_channels(interval: Interval) -> FloatArray:
    """The interval's sound in small numbers.

    Returns:
        [4, 32]: ln(1 + bytes a second / 1000); (dB + 60) / 20, or 0 where loudness isn't known; the two shares.

    Raises:
        HostError: the decomposition holds none.
    """
    if interval.sound is None:
        raise HostError("The decomposition holds no sound; decompose the video with sound=True.")
    size, loudness, covered, heard = interval.sound
    return np.stack([np.log1p(size / 1000), np.where(heard > 0, (loudness + 60) / 20, 0), covered, heard])


def resize_weighted(values: FloatArray, weights: FloatArray, size: int) -> tuple[FloatArray, FloatArray]:
    """Area-weighted means of [F, N, R, C] `values` over [F, R, C] `weights`, on size x size; 0 where no weight is.

    Returns:
        [F, N, size, size] means; [F, size, size] mean weight.
    """
    resized = resize_area(np.concatenate([values * weights[:, None], weights[:, None]], axis=1), size)
    total, weight = resized[:, :-1], resized[:, -1:]
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > 1e-6), weight[:, 0]


def resize_area(values: FloatArray, size: int) -> FloatArray:
    """Mean of [F, N, R, C] over the area of each of size x size new cells."""
    rows, columns = values.shape[-2:]
    mean: FloatArray = _overlaps(rows, size) @ (values @ _overlaps(columns, size).T)
    return mean


def small_picture(image: npt.NDArray[np.uint8], size: int) -> FloatArray:
    """A uint8 [H, W, 3] picture as float32 [3, size, size] in -1..1."""
    scaled = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    return (scaled.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)


@cache
def _overlaps(old: int, new: int) -> FloatArray:
    """[new, old] share of each new cell's length that each old cell covers; rows sum to 1."""
    edges = np.linspace(0, old, new + 1)
    left = np.maximum(edges[:-1, None], np.arange(old)[None])
    right = np.minimum(edges[1:, None], np.arange(1, old + 1)[None])
    return (np.maximum(right - left, 0) * new / old).astype(np.float32)
