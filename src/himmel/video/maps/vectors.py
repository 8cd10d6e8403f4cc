"""Motion vectors one by one, as they are shown to users: displayed pixels, forward in time."""

import numpy as np
import numpy.typing as npt

from himmel.video.file.picture import PictureFormat
from himmel.video.maps.raster import Blocks

VECTOR = np.dtype(
    [
        ("x0", "i2"),
        ("y0", "i2"),
        ("x1", "i2"),
        ("y1", "i2"),
        ("dx", "f4"),
        ("dy", "f4"),
        ("direction", "i1"),
        ("field", "i1"),
        ("reference", "i4"),
        ("distance", "f4"),
    ]
)
"""One motion-compensated block of a picture.

x0, y0, x1, y1: its box in luma pixels of the displayed picture, without column x1 and row y1; it may stick out of the
picture by what was cropped. dx, dy: how far its content moves, in luma pixels to the right and down, forward in time:
from the reference to here if `direction` is -1, from here to the reference if it is 1. direction: -1 if the reference
is shown before this picture, 1 if after. field: 0 for a block of the whole picture, 1 or 2 for one of the top or bottom
field, which covers every second line of its box from the first on. reference: the frame that it is predicted from, as
an index in presentation order; -1 if that is missing or not shown. distance: frame intervals to it, with halves between
fields; 0 if not known.
"""


def displayed_vectors(
    blocks: Blocks,
    fmt: PictureFormat,
    crop: tuple[int, int],
    *,
    reference: npt.NDArray[np.signedinteger],
    distance: npt.NDArray[np.floating],
    field: npt.NDArray[np.integer] | int = 0,
) -> npt.NDArray[np.void]:
    """Turn blocks [V] of the coded picture into `VECTOR` [V].

    Args:
        crop: (x, y) of the displayed window inside the coded picture, before it is turned.
        reference, distance, field: [V], as in `VECTOR`.
    """
    orientation = fmt.orientation
    boxes = orientation.boxes(blocks.boxes - np.array([*crop, *crop]), fmt.width, fmt.height)
    # Backwards in time, a vector points against the motion.
    sign = np.where(blocks.past, -1.0, 1.0)
    dx, dy = orientation.vectors(sign * blocks.dx, sign * blocks.dy)
    found = np.empty(len(boxes), VECTOR)
    limits = np.iinfo(np.int16)
    for name, side in zip(("x0", "y0", "x1", "y1"), np.clip(boxes, limits.min, limits.max).T, strict=True):
        found[name] = side
    found["dx"], found["dy"] = dx, dy
    found["direction"] = sign
    found["field"], found["reference"], found["distance"] = field, reference, distance
    return found
