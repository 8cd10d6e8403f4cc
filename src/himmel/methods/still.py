"""A single picture in place of a video."""

import hashlib

import numpy as np
from PIL.Image import Image

from himmel.errors import UsageError
from himmel.methods.answer import describe_picture
from himmel.methods.protocol import Read
from himmel.video import Anchor

MOST_PIXELS = 2**27


def read_picture(image: Image) -> Read:
    """A picture as the only frame there is.

    Raises:
        UsageError: it has no pixels, or more than 134 million.
    """
    width, height = image.size
    if not 0 < width * height <= MOST_PIXELS:
        raise UsageError(f"The picture has {width} x {height} pixels; give one with 1 to {MOST_PIXELS:,}.")
    array = np.asarray(image.convert("RGB"), np.uint8)
    name = str(vars(image).get("filename") or "<picture>")
    digest = hashlib.sha256(array.tobytes()).hexdigest()
    frame = Anchor(frame=0, time=0.0, keyframe=True, image=array)
    return Read((frame,), describe_picture(array, path=name, sha256=digest))
