"""Maps in one or two bytes a value, and how far they are from the values that were read.

A step with one fast object would leave nothing of slow motion if its range were cut into even parts. So signed maps are
kept as the square root of their size, in parts of the largest value of each step and channel, which is never cut off:
parts are small near 0 and large near that value, and 0 stays 0.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
_PARTS: Final = 127
_SHARES: Final = 255
_MOST_HALF: Final = float(np.finfo(np.float16).max)
_BYTES = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.float32)
# By the byte as it is stored.
_SQUARES: Final = (_BYTES * np.abs(_BYTES) / np.float32(_PARTS**2)).astype(np.float32)


def to_int8(values: FloatArray) -> tuple[npt.NDArray[np.int8], FloatArray]:
    """Signed maps in one byte a value.

    With m the largest size in a value's step and channel, the value x comes back with an error of at most
    m (t + 1/4) / 127^2, where t = 127 sqrt(|x| / m): 0.0016 % of m near 0, 0.8 % of m at m.

    Args:
        values: [S, C, R, W], finite.

    Returns:
        int8 [S, C, R, W]; float32 [S, C], m.
    """
    size = np.abs(values)
    largest = size.max(axis=(2, 3), initial=0.0)
    parts = np.sqrt(size / np.where(largest > 0, largest, 1)[:, :, None, None]) * np.float32(_PARTS)
    return (np.rint(parts) * np.sign(values)).astype(np.int8), largest.astype(np.float32)


def from_int8(stored: npt.NDArray[np.int8], largest: FloatArray) -> FloatArray:
    """What `to_int8` was given, float32 [S, C, R, W]."""
    found: FloatArray = _SQUARES[stored.view(np.uint8)] * largest[:, :, None, None]
    return found


def to_shares(values: FloatArray) -> npt.NDArray[np.uint8]:
    """Shares from 0 to 1 in one byte each, with an error of at most 1/510; below 1/255, what is not 0 becomes 1/255."""
    parts = np.rint(values * np.float32(_SHARES)).astype(np.uint8)
    parts[(parts == 0) & (values > 0)] = 1
    return parts


def from_shares(stored: npt.NDArray[np.uint8]) -> FloatArray:
    """What `to_shares` was given, float32."""
    return stored.astype(np.float32) / np.float32(_SHARES)


def to_half(values: FloatArray) -> npt.NDArray[np.float16]:
    """Values in two bytes, with a relative error of at most 2^-11 (below 2^-14: an error of at most 2^-25)."""
    return np.clip(values, -_MOST_HALF, _MOST_HALF).astype(np.float16)
