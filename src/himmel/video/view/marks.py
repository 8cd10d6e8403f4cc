"""What an overlay puts on a picture: the heat of the residual, arrows of motion, and a frame around it at a cut."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from himmel.video.draw import flow_colours, mean_residual, mean_velocity, residual_colours
from himmel.video.map_pictures import Image, enlarge
from himmel.video.results import Picture, StepMaps

BoolArray = npt.NDArray[np.bool_]

CUT_COLOUR: Final = (230, 159, 0)
_SPACING: Final = 22
"""Pixels between two arrows, at least."""
_HEAT: Final = 0.8
"""How much of the picture the strongest heat hides."""
_SHORTEST: Final = 3.0
"""Pixels below which an arrow would be a dot, and is left out."""


@dataclass(frozen=True)
class Scale:
    """How motion and residual become colours and lengths, the same in all pictures of a video.

    Attributes:
        displayed: width and height of the video in pixels.
        size: width and height at which it is drawn.
        cell: side of a map's cell in pixels of the video.
        speed: pixels a frame that get full colour.
        residual: luma RMS in code values that gets the brightest colour.
        brisk: pixels a frame, of what moves faster than most; such arrows are just as long as there is room.
    """

    displayed: tuple[int, int]
    size: tuple[int, int]
    cell: int
    speed: float
    residual: float
    brisk: float

    @property
    def stride(self) -> int:
        """An arrow stands for so many cells across, and as many down."""
        return max(1, -(-_SPACING * self.displayed[0] // (self.cell * self.size[0])))

    @property
    def frames(self) -> float:
        """Over how many frames an arrow shows the motion, so that nine of ten do not reach the next one."""
        spacing = self.stride * self.cell
        return max(0.1, round(0.85 * spacing / self.brisk, 1))


def draw_marks(image: Image, picture: Picture, scale: Scale) -> Image:
    """The picture with the heat of its residual and the arrows of its motion; a new array.

    Args:
        image: uint8 [H, W, 3], RGB, of `scale.size`.
        picture: its maps.
        scale: for colours and lengths.
    """
    maps = maps_of(picture)
    marked = _draw_heat(image, maps, scale)
    draw_arrows(marked, maps, scale)
    return marked


def maps_of(picture: Picture) -> StepMaps:
    """A picture's maps as those of a single step."""
    return StepMaps(
        past=picture.past[None],
        future=picture.future[None],
        past_valid=picture.past_valid[None],
        future_valid=picture.future_valid[None],
        past_distance=np.array([picture.past_distance], np.float32),
        future_distance=np.array([picture.future_distance], np.float32),
        residual=picture.residual[None],
        covered=picture.covered[None],
    )


def _draw_heat(image: Image, maps: StepMaps, scale: Scale) -> Image:
    share = np.clip(np.nan_to_num(mean_residual(maps)) / scale.residual, 0, 1)
    colours = residual_colours()(share)
    # What hardly changes stays as it is.
    colours[..., 3] = _HEAT * share
    heat = enlarge(colours, scale.displayed, scale.cell, scale.size)
    weight = heat[..., 3:].astype(np.uint16)
    return ((image * (255 - weight) + heat[..., :3] * weight) // 255).astype(np.uint8)


def draw_arrows(image: Image, maps: StepMaps, scale: Scale) -> None:
    """Draw the motion as arrows, in place; see `draw_marks`."""
    velocity, known = mean_velocity(maps)
    across = scale.size[0] / scale.displayed[0]
    centres, means = _blocks(velocity, known, scale)
    moving = np.hypot(means[0], means[1]) * scale.frames * across >= _SHORTEST
    colours = (flow_colours(means, moving, scale.speed) * 255).round().astype(int)
    tips = centres + means * scale.frames
    # One pass after the other, so that no arrow's dark edge covers its neighbour.
    for width in (3, 1):
        for row, column in np.argwhere(moving):
            begin, end = ((points[:, row, column] * across).round().astype(int) for points in (centres, tips))
            head = min(0.5, 6 / float(np.hypot(*(end - begin))))
            colour = (16, 16, 16) if width == 3 else tuple(colours[row, column].tolist())
            cv2.arrowedLine(image, begin.tolist(), end.tolist(), colour, width, cv2.LINE_AA, tipLength=head)


def _blocks(
    velocity: npt.NDArray[np.float64], known: BoolArray, scale: Scale
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Centres and mean velocities of blocks of `scale.stride` cells, float64 [2, r, c], in pixels of the video."""
    stride = scale.stride
    rows, columns = (-(-size // stride) for size in known.shape)
    room = ((0, rows * stride - known.shape[0]), (0, columns * stride - known.shape[1]))

    def sums(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.pad(values, room).reshape(rows, stride, columns, stride).sum(axis=(1, 3))

    counts = sums(known.astype(np.float64))
    means = np.stack([sums(part * known) for part in velocity]) / np.maximum(counts, 1)
    y, x = np.mgrid[:rows, :columns]
    centres = (np.stack((x, y)) + 0.5) * stride * scale.cell
    limit = np.array(scale.displayed, np.float64)[:, None, None] - 1
    return np.minimum(centres, limit), means


def draw_cut(image: Image) -> None:
    """Frame a picture that begins a new scene, in place."""
    height, width = image.shape[:2]
    cv2.rectangle(image, (2, 2), (width - 3, height - 3), CUT_COLOUR, 5)
    cv2.rectangle(image, (0, 0), (52, 26), CUT_COLOUR, -1)
    cv2.putText(image, "CUT", (9, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (16, 16, 16), 1, cv2.LINE_AA)
