"""Motion estimated from decoded pixels, for files that yield no vectors (backend "proxy")."""

import cv2
import numpy as np

from himmel.video.file.orientation import Orientation
from himmel.video.maps.residual import ByteArray, FloatArray, Planes, Prediction, cell_means, residual_maps

# Flow is computed with this many pixels along a cell's side, and on pictures of at least this size.
PIXELS_PER_CELL = 4
MIN_SIDE = 32


def estimate(picture: Planes, before: Planes, orientation: Orientation, cell: int) -> tuple[FloatArray, FloatArray]:
    """Displacement since the previous picture, and what warping that picture leaves over.

    Dense inverse search (OpenCV's DISOpticalFlow) on luma, shrunk so that a cell is 4 pixels wide.

    Returns:
        past float32 [2, R, C] in luma pixels of the displayed picture; residual float32 [3, R, C] (`residual_maps`).
    """
    offset = dense_offset(picture.luma, before.luma, cell)
    dx, dy = offset[..., 0], offset[..., 1]
    known = np.ones(picture.luma.shape, np.uint8)
    residual = residual_maps(picture, [Prediction.along(before, dx, dy, known)], orientation, cell)
    moved = orientation.vectors(-dx, -dy)
    return np.stack(cell_means(list(moved), known, orientation, cell)), residual


def dense_offset(luma: ByteArray, before: ByteArray, cell: int) -> FloatArray:
    """Where each pixel was in the previous picture, float32 [H, W, 2], (right, down) from it in pixels."""
    height, width = luma.shape
    shrink = max(1, cell // PIXELS_PER_CELL)
    small = [_shrunk(plane, shrink) for plane in (luma, before)]
    # Without propagation across stripes the result does not depend on OpenCV's threads.
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setUseSpatialPropagation(False)
    offset = search.calc(small[0], small[1], np.zeros((*small[0].shape, 2), np.float32)) * np.float32(shrink)
    return cv2.resize(offset, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_LINEAR)[:height, :width]


def _shrunk(luma: ByteArray, factor: int) -> ByteArray:
    """Mean over factor x factor pixels; the border is repeated to a multiple and to the least size."""
    height, width = luma.shape
    down = max(-height % factor, MIN_SIDE * factor - height)
    right = max(-width % factor, MIN_SIDE * factor - width)
    padded = cv2.copyMakeBorder(luma, 0, down, 0, right, cv2.BORDER_REPLICATE)
    return cv2.resize(padded, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
