"""What prediction leaves over: decoded picture minus its motion-compensated reference, summed up per cell."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import VideoReformatter

from himmel.video.orientation import Orientation
from himmel.video.raster import Blocks, dense_field

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]


@dataclass(frozen=True, repr=False)
class Planes:
    """Pixels of one picture: `luma` uint8 [H, W], `chroma` uint8 [2, ceil(H / 2), ceil(W / 2)]."""

    luma: ByteArray
    chroma: ByteArray


@dataclass(frozen=True, repr=False)
class Field:
    """A prediction: which reference, and for every luma pixel where in it (offset in pixels), if `known` there."""

    reference: Planes
    dx: FloatArray
    dy: FloatArray
    known: npt.NDArray[np.bool_]


def copy_planes(frame: VideoFrame, reformatter: VideoReformatter) -> Planes:
    """Copy the pixels out of a decoder's picture, as 8-bit 4:2:0 whatever it was."""
    if frame.format.name not in ("yuv420p", "yuvj420p"):
        frame = reformatter.reformat(frame, format="yuv420p")
    luma, *chroma = (_plane(plane) for plane in frame.planes[:3])
    return Planes(luma, np.stack(chroma))


def _plane(plane: VideoPlane) -> ByteArray:
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width].copy()


def field_of(blocks: Blocks, reference: Planes, crop: tuple[int, int]) -> Field:
    """The prediction that blocks of one direction describe."""
    height, width = reference.luma.shape
    return Field(reference, *dense_field(blocks, crop, width, height))


def residual_maps(picture: Planes, fields: list[Field], orientation: Orientation, cell: int) -> FloatArray:
    """Luma RMS, luma signed mean and chroma RMS of what is left, over the predicted pixels of each cell.

    Where two predictions are known, their mean is taken (bi-prediction). Fractions of pixels are interpolated
    linearly, and blocks' edges are not smoothed, which is why the result is approximate.

    Returns:
        float32 [3, R, C] in 8-bit code values, displayed orientation, 0 where nothing is predicted.
    """
    luma, known = _difference(picture.luma, [(f.reference.luma, f.dx, f.dy, f.known) for f in fields])
    halves = [(f.dx[::2, ::2] / 2, f.dy[::2, ::2] / 2, f.known[::2, ::2]) for f in fields]
    power = np.zeros(picture.chroma.shape[1:], np.float32)
    for plane in range(2):
        moved = [(f.reference.chroma[plane], *half) for f, half in zip(fields, halves, strict=True)]
        left, chroma_known = _difference(picture.chroma[plane], moved)
        power += left * left / 2
    mean, square = cell_means([luma, luma * luma], known, orientation, cell)
    (chroma,) = cell_means([power], chroma_known, orientation, cell // 2)
    return np.stack((np.sqrt(square), mean, np.sqrt(chroma)))


def _difference(
    picture: ByteArray, predictions: list[tuple[ByteArray, FloatArray, FloatArray, npt.NDArray[np.bool_]]]
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Picture minus the mean of its known predictions, 0 where there is none; and where there is one."""
    total = np.zeros(picture.shape, np.float32)
    count = np.zeros(picture.shape, np.float32)
    height, width = picture.shape
    column, row = np.arange(width, dtype=np.float32)[None], np.arange(height, dtype=np.float32)[:, None]
    for reference, dx, dy, known in predictions:
        moved = cv2.remap(reference, dx + column, dy + row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        total += np.where(known, moved, np.float32(0))
        count += known
    covered = count > 0
    return np.where(covered, picture - total / np.maximum(count, 1), np.float32(0)), covered


def cell_means(
    planes: list[FloatArray], known: npt.NDArray[np.bool_], orientation: Orientation, cell: int
) -> list[FloatArray]:
    """Mean of each plane [H, W] over the known pixels of each cell of the displayed grid; 0 where none is known."""
    area = _cell_sums(known.astype(np.float32), orientation, cell)
    safe = np.maximum(area, 1)
    return [_cell_sums(plane, orientation, cell) / safe for plane in planes]


def _cell_sums(plane: FloatArray, orientation: Orientation, cell: int) -> FloatArray:
    turned = orientation.picture(plane)
    height, width = turned.shape
    rows, columns = -(-height // cell), -(-width // cell)
    padded = np.pad(turned, ((0, rows * cell - height), (0, columns * cell - width)))
    return padded.reshape(rows, cell, columns, cell).sum(axis=(1, 3), dtype=np.float32)
