"""Pictures that tests encode for themselves and tell apart by their shade."""

import io

import numpy as np
from PIL import Image


def png(shade: int = 0) -> bytes:
    """A small PNG of one shade."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 12, 3), shade, np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def shade_of(encoded: bytes) -> int:
    """The shade of a `png`."""
    return int(np.asarray(Image.open(io.BytesIO(encoded)))[0, 0, 0])
