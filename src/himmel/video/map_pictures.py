"""Motion and residual of one moment as pictures, for people and for models that take pictures.

The report shows "MV and residual visualizations" without saying how they are drawn. Here they have the colours of
`himmel.video.draw_streams`, cell by cell as they were read, and the size of the frames beside them.
"""

import cv2
import numpy as np
import numpy.typing as npt

from himmel.video.draw import FloatArray, flow_colours, full_scale, mean_residual, mean_velocity, residual_colours
from himmel.video.results import StepMaps

Image = npt.NDArray[np.uint8]

_LEAST_SPEED = 0.5
_LEAST_RESIDUAL = 1.0


def fit(width: int, height: int, longest: int) -> tuple[int, int]:
    """Width and height of a picture shrunk so that its longer side has at most `longest` pixels; never enlarged."""
    shrink = min(1.0, longest / max(width, height))
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def full_speed(maps: list[StepMaps]) -> float:
    """The speed in pixels a frame that gets full colour, one for all pictures of a video."""
    drawn = map(mean_velocity, maps)
    return full_scale([np.hypot(velocity[0], velocity[1])[known] for velocity, known in drawn], least=_LEAST_SPEED)


def full_residual(maps: list[StepMaps]) -> float:
    """The residual (luma RMS in code values) that gets the brightest colour, one for all pictures of a video."""
    drawn = map(mean_residual, maps)
    return full_scale([rms[~np.isnan(rms)] for rms in drawn], least=_LEAST_RESIDUAL)


def motion_picture(
    maps: StepMaps, *, full: float, displayed: tuple[int, int], cell: int, size: tuple[int, int]
) -> Image:
    """The mean velocity over the steps of `maps`: hue tells the direction, strength of colour the speed.

    White is rest, grey is unknown.

    Args:
        maps: on a grid of R x C cells.
        full: pixels a frame that get full colour.
        displayed: width and height of the displayed video in pixels, which the grid covers from its top left corner.
        cell: side of a cell in these pixels.
        size: width and height of the picture to draw.

    Returns:
        uint8 [height, width, 3], RGB.
    """
    return enlarge(flow_colours(*mean_velocity(maps), full), displayed, cell, size)


def residual_picture(
    maps: StepMaps, *, full: float, displayed: tuple[int, int], cell: int, size: tuple[int, int]
) -> Image:
    """The mean residual over the steps of `maps`, from black by purple and orange to pale yellow; grey is unknown.

    `full` is the luma RMS that gets the brightest colour; for the other arguments see `motion_picture`.
    """
    rms = np.ma.masked_invalid(mean_residual(maps))
    return enlarge(residual_colours()(rms / full)[..., :3], displayed, cell, size)


def enlarge(colours: FloatArray, displayed: tuple[int, int], cell: int, size: tuple[int, int]) -> Image:
    """Colours of cells, 0 to 1, [R, C, 3 or 4], as a picture; cells that reach over the right or lower edge are cut.

    For the other arguments see `motion_picture`.
    """
    rows, columns = colours.shape[:2]
    across = max(size[0], round(columns * cell * size[0] / displayed[0]))
    down = max(size[1], round(rows * cell * size[1] / displayed[1]))
    large = cv2.resize((colours * 255).round().astype(np.uint8), (across, down), interpolation=cv2.INTER_NEAREST)
    return np.ascontiguousarray(large[: size[1], : size[0]])
