"""Pictures that show their own number, so that a test sees which one came."""

import numpy as np
import numpy.typing as npt

_BLOCK = 16


def stamp(number: int, size: tuple[int, int] = (160, 128)) -> npt.NDArray[np.uint8]:
    """A grey picture uint8 [H, W, 3] with a number from 0 to 255: a block for each bit, bright for 1."""
    picture = np.full((size[1], size[0], 3), 100, np.uint8)
    for bit in range(8):
        picture[8:40, _BLOCK * bit : _BLOCK * (bit + 1)] = 230 if number >> bit & 1 else 20
    return picture


def read_stamp(picture: npt.NDArray[np.uint8]) -> int:
    """The number that a picture shows."""
    blocks = (picture[12:36, _BLOCK * bit + 4 : _BLOCK * bit + 12] for bit in range(8))
    return sum(int(block.mean() > 120) << bit for bit, block in enumerate(blocks))
