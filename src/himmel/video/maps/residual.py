"""What prediction leaves over: decoded picture minus its motion-compensated reference, summed up per cell."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from himmel.video.file.memory import plane_samples
from himmel.video.file.orientation import Orientation
from himmel.video.file.pyav import HALVES_ODD_RGB, ONE_THREAD
from himmel.video.maps.raster import Moves

# OpenCV's stubs have no element types; the docstrings give them.
FloatArray = npt.NDArray[Any]
ByteArray = npt.NDArray[Any]


@dataclass(frozen=True, repr=False)
class Planes:
    """Pixels of one picture: `luma` uint8 [H, W], `chroma` uint8 [2, ceil(H / 2), ceil(W / 2)]."""

    luma: ByteArray
    chroma: ByteArray


@dataclass(frozen=True, repr=False)
class Prediction:
    """A reference and where in it each pixel of a picture comes from."""

    reference: Planes
    luma: Moves
    chroma: Moves

    @classmethod
    def along(cls, reference: Planes, dx: FloatArray, dy: FloatArray, known: ByteArray) -> "Prediction":
        """From offsets to the reference at every luma pixel, float32 [H, W], 0 where `known`, uint8 [H, W], is."""
        luma = Moves(np.ascontiguousarray(dx), np.ascontiguousarray(dy), known)
        half = (np.ascontiguousarray(plane[::2, ::2]) for plane in (luma.dx / 2, luma.dy / 2, known))
        return cls(reference, luma, Moves(*half))


def copy_planes(frame: VideoFrame, reformatter: VideoReformatter) -> Planes:
    """Copy the pixels out of a decoder's picture, as 8-bit 4:2:0."""
    if frame.format.name not in ("yuv420p", "yuvj420p"):
        # Here and wherever pictures are converted: with several threads, swscale dithers the lines where its slices
        # meet differently from call to call.
        if frame.width % 2 and frame.format.is_rgb and not HALVES_ODD_RGB:
            frame = reformatter.reformat(frame, format="yuv444p", **ONE_THREAD)
        frame = reformatter.reformat(frame, format="yuv420p", **ONE_THREAD)
    luma, *chroma = (plane_samples(plane).copy() for plane in frame.planes[:3])
    return Planes(luma, np.stack(chroma))


def residual_maps(picture: Planes, predictions: list[Prediction], orientation: Orientation, cell: int) -> FloatArray:
    """Luma RMS, luma signed mean and chroma RMS of what is left, over the predicted pixels of each cell.

    Where two predictions are known, their mean is taken (bi-prediction). Fractions of pixels are interpolated
    linearly, and blocks' edges are not smoothed, which is why the result is approximate.

    Args:
        predictions: one or two.

    Returns:
        float32 [3, R, C] in 8-bit code values, displayed orientation, 0 where nothing is predicted.
    """
    left, known = _left_over(picture.luma, [(p.reference.luma, p.luma) for p in predictions])
    mean, square = cell_means([left, cv2.multiply(left, left)], known, orientation, cell)
    power = np.zeros(picture.chroma.shape[1:], np.float32)
    for plane in range(2):
        colour, known = _left_over(picture.chroma[plane], [(p.reference.chroma[plane], p.chroma) for p in predictions])
        cv2.accumulateSquare(colour, power)
    (chroma,) = cell_means([power / 2], known, orientation, cell // 2)
    return np.stack((np.sqrt(square), mean, np.sqrt(chroma)))


def _left_over(picture: ByteArray, predictions: list[tuple[ByteArray, Moves]]) -> tuple[FloatArray, ByteArray]:
    """Picture minus prediction in code values, 0 where there is none; and where there is one."""
    predicted: ByteArray = picture.copy()
    before: ByteArray = np.zeros(picture.shape, np.uint8)
    for reference, moves in predictions:
        moved = cv2.remap(
            reference, moves.dx, moves.dy, cv2.INTER_LINEAR | cv2.WARP_RELATIVE_MAP, borderMode=cv2.BORDER_REPLICATE
        )
        both = cv2.min(moves.known, before)
        mean = cv2.addWeighted(predicted, 0.5, moved, 0.5, 0.0) if both.any() else moved
        predicted = cv2.copyTo(moved, moves.known, predicted)
        predicted = cv2.copyTo(mean, both, predicted)
        before = cv2.max(moves.known, before)
    return cv2.subtract(picture, predicted, dtype=cv2.CV_32F), before


def cell_means(planes: list[FloatArray], known: ByteArray, orientation: Orientation, cell: int) -> list[FloatArray]:
    """Mean of each plane [H, W] over the known pixels of each cell of the displayed grid; 0 where none is known.

    Planes must be 0 where nothing is known.
    """
    share = _cell_shares(known.astype(np.float32), orientation, cell)
    safe = np.where(share > 0, share, np.float32(1))
    return [_cell_shares(plane, orientation, cell) / safe for plane in planes]


def _cell_shares(plane: FloatArray, orientation: Orientation, cell: int) -> FloatArray:
    """Sum over each cell divided by a whole cell's area."""
    turned = orientation.picture(plane)
    height, width = turned.shape
    if height % cell or width % cell:
        turned = cv2.copyMakeBorder(turned, 0, -height % cell, 0, -width % cell, cv2.BORDER_CONSTANT, value=0)
    size = turned.shape[1] // cell, turned.shape[0] // cell
    return cv2.resize(turned, size, interpolation=cv2.INTER_AREA)
