"""What moves against the scene in one picture: connected cells whose vectors depart from the camera's motion alike."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from himmel.video.describe.camera import BoolArray, ComplexArray, Field, Fit
from himmel.video.describe.results import Box

# A cell departs by more than so many pixels (before they are divided by the distance to the reference), than this
# share of the scene's own speed there, and than this share of the picture's width a second.
_PIXELS = 1.0
_SHARE_OF_SPEED = 0.3
_WIDTHS = 0.015
# Neighbours move alike if they differ by no more than this share of their speed.
_ALIKE = 0.5
# A region has at least so many cells and this share of them; its vectors are this parallel (mean over mean length).
_LEAST_CELLS = 4
_LEAST_AREA = 0.002
_LEAST_PARALLEL = 0.75
# More regions in one picture than this is noise; the largest count.
_MOST = 12


@dataclass(frozen=True)
class Blob:
    """A region in one picture.

    Attributes:
        box: in per cent of the picture.
        area: in per cent of the picture.
        against: velocity against the scene, right + i down in pixels a second.
        across: velocity across the picture, the camera's motion included, in pixels a second.
        busy: the part of the area, in per cent of the picture, whose vectors were chosen with care; all of it where the
            scene rests, since flat cells then have no vectors that could be mistaken for motion.
    """

    box: Box
    area: float
    against: complex
    across: complex
    busy: float

    @property
    def push(self) -> float:
        """Area times speed: how much it counts."""
        return self.area * abs(self.against)

    def joined(self, other: "Blob") -> "Blob":
        """One region of two."""
        area = self.area + other.area
        mine, theirs = self.area / area, other.area / area
        return Blob(
            self.box.joined(other.box),
            area,
            mine * self.against + theirs * other.against,
            mine * self.across + theirs * other.across,
            self.busy + other.busy,
        )


def find_blobs(field: Field, fit: Fit, size: tuple[int, int], cell: int, rate: float) -> tuple[Blob, ...]:
    """Regions of one picture, the largest first.

    Args:
        size: (width, height) of the picture in pixels.
        cell: side of a cell in pixels.
        rate: frame intervals a second at this picture.
    """
    scene = fit.at(field.place)
    # Single cells that depart are errors: the median over 3 x 3 cells takes them away, and fills single gaps.
    against = _median(np.where(field.weight > 0, field.velocity - scene, 0))
    departing = np.abs(against) > _least_departure(field, scene, size[0], rate)
    moves = bool(np.abs(scene).max() * field.reach >= _PIXELS)
    if moves:
        departing &= _near_busy(field)
    if field.guessed:
        departing &= ~_seems_fast(against, scene)
    if not departing.any():
        return ()
    labels = _label(against, departing, 1 / field.reach)
    count = int(labels.max())
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    least = max(_LEAST_CELLS, _LEAST_AREA * labels.size)
    biggest = [k for k in (np.argsort(-sizes[1:], kind="stable") + 1).tolist() if sizes[k] >= least][:_MOST]
    sure = field.busy if moves else np.ones_like(field.busy)
    blobs = [_blob(labels == label, sure, against, scene, size, cell, rate) for label in biggest]
    return tuple(blob for blob in blobs if blob is not None)


def _near_busy(field: Field) -> BoolArray:
    """Cells whose vectors count while the scene moves, bool [R, C].

    Those with a busy cell among their neighbours, without those at the picture's edge: there content comes in that is
    in no other picture.
    """
    near = cv2.dilate(field.busy.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    inner = np.zeros_like(near)
    inner[1:-1, 1:-1] = True
    return near & inner


def _seems_fast(against: ComplexArray, scene: ComplexArray) -> BoolArray:
    """Cells that go the scene's way, only faster: their vectors were divided by too short a distance, bool [R, C]."""
    ratio = (against + scene) / np.where(np.abs(scene) > 0, scene, np.inf)
    return (ratio.real > 1 + _SHARE_OF_SPEED) & (np.abs(ratio.imag) < _SHARE_OF_SPEED * ratio.real)


def _least_departure(field: Field, scene: ComplexArray, width: int, rate: float) -> npt.NDArray[np.float64]:
    floor = max(_PIXELS / field.reach, _WIDTHS * width / rate)
    return np.maximum(floor, _SHARE_OF_SPEED * np.abs(scene))


def _median(values: ComplexArray) -> ComplexArray:
    """Median over 3 x 3 cells of either part, complex [R, C]; the border is repeated."""
    parts = (np.ascontiguousarray(part, np.float32) for part in (values.real, values.imag))
    right, down = (cv2.medianBlur(part, 3) for part in parts)
    return right.astype(np.float64) + 1j * down


def _label(velocity: ComplexArray, chosen: BoolArray, error: float) -> npt.NDArray[np.int64]:
    """Numbers of connected chosen cells that move alike, from 1 on; 0 for the others; int64 [R, C]."""
    rows, columns = chosen.shape
    image = np.zeros((rows, columns, 3), np.float32)
    image[..., 0], image[..., 1] = velocity.real, velocity.imag
    # One cell wider on each side; what is not 0 is never entered.
    mask = np.ones((rows + 2, columns + 2), np.uint8)
    inner = mask[1:-1, 1:-1]
    inner[chosen] = 0
    labels = np.zeros((rows, columns), np.int64)
    count = 0
    speed = np.abs(velocity)
    places = np.flatnonzero(chosen)
    # From the fastest on: the middle of a region is surer than its edge.
    for place in places[np.argsort(-speed.ravel()[places], kind="stable")].tolist():
        row, column = divmod(place, columns)
        if inner[row, column]:
            continue
        count += 1
        reach = max(error, _ALIKE * float(speed[row, column]))
        before = inner.copy()
        cv2.floodFill(
            image, mask, (column, row), (0, 0, 0), (reach,) * 3, (reach,) * 3, 8 | cv2.FLOODFILL_MASK_ONLY | (1 << 8)
        )
        labels[(inner != 0) & (before == 0)] = count
    return labels


def _blob(
    where: BoolArray,
    sure: BoolArray,
    against: ComplexArray,
    scene: ComplexArray,
    size: tuple[int, int],
    cell: int,
    rate: float,
) -> Blob | None:
    """The region; None where its vectors point all ways."""
    velocities = against[where]
    mean = complex(velocities.mean())
    if abs(mean) < _LEAST_PARALLEL * float(np.abs(velocities).mean()):
        return None
    rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
    width, height = size
    box = Box(
        left=100 * float(columns[0]) * cell / width,
        top=100 * float(rows[0]) * cell / height,
        right=100 * min(float(columns[-1] + 1) * cell / width, 1.0),
        bottom=100 * min(float(rows[-1] + 1) * cell / height, 1.0),
    )
    behind = complex(scene[where].mean())
    area = min(100 * float(where.sum()) * cell * cell / (width * height), 100.0)
    return Blob(box, area, mean * rate, (mean + behind) * rate, area * float(sure[where].mean()))
