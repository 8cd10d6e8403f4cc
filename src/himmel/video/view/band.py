"""The band below an overlay's picture: what is shown now, the keys to its colours, and a bar of time with the cuts."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from himmel.video.draw import brief, clock, colour_wheel, residual_colours
from himmel.video.map_pictures import Image
from himmel.video.results import Picture
from himmel.video.view.marks import CUT_COLOUR, Scale

HEIGHT: Final = 112
"""Pixels."""
LEAST_WIDTH: Final = 420
"""Pixels; narrower pictures get margins, so that the keys have room."""
_INK, _PALE, _GROUND = (235, 235, 235), (160, 160, 160), (24, 24, 24)
_WHEEL, _BAR = 44, 70


class Band:
    """Draws bands of one width for one video.

    Args:
        width: in pixels.
        scale: of the pictures above it.
        stretch: where it starts and ends, in seconds of the video.
        cuts: times of cuts, likewise.
        backend: where maps come from.
    """

    def __init__(
        self, width: int, *, scale: Scale, stretch: tuple[float, float], cuts: Sequence[float], backend: str
    ) -> None:
        self._start, self._end = stretch
        self._left, self._right = 62, width - 62
        self._still = np.full((HEIGHT, width, 3), _GROUND, np.uint8)
        self._draw_keys(scale)
        self._draw_bar(cuts)
        _write(self._still, backend, (width - 8 * len(backend) - 10, 21), _PALE, 0.42)

    def draw(self, time: float, number: int, picture: Picture | None) -> Image:
        """The band of one moment.

        Args:
            time: seconds in the video.
            number: of the picture in the video, from 0.
            picture: its maps; None where it has none.
        """
        band = self._still.copy()
        said = f"{clock(time)}   picture {number}"
        if picture is None:
            said += "   no maps"
        else:
            said += f"   {picture.type}{' (keyframe)' if picture.keyframe else ''}   {picture.bits / 1000:.1f} kbit"
            if not np.isnan(picture.quantiser):
                said += f"   QP {picture.quantiser:.0f}"
        _write(band, said, (10, 21), _INK, 0.46)
        x = self._place(time)
        cv2.rectangle(band, (self._left, 91), (x, 97), _PALE, -1)
        cv2.line(band, (x, 86), (x, 102), _INK, 2)
        self._draw_cuts(band)
        return band

    def _place(self, time: float) -> int:
        share = (time - self._start) / max(self._end - self._start, 1e-9)
        return round(self._left + min(max(share, 0.0), 1.0) * (self._right - self._left))

    def _draw_keys(self, scale: Scale) -> None:
        wheel = colour_wheel(_WHEEL)
        ground = np.array(_GROUND, np.float64)
        mixed = 255 * wheel[..., :3] * wheel[..., 3:] + ground * (1 - wheel[..., 3:])
        self._still[32 : 32 + _WHEEL, 10 : 10 + _WHEEL] = mixed.round()
        _write(self._still, "motion: full colour is", (62, 43), _PALE, 0.38)
        _write(self._still, f"{brief(scale.speed)} px a frame;", (62, 58), _INK, 0.38)
        _write(self._still, f"arrow: way in {brief(scale.frames)} frames", (62, 73), _PALE, 0.38)
        left = 238
        colours = residual_colours()(np.linspace(0, 1, _BAR))[:, :3]
        self._still[48:60, left : left + _BAR] = (255 * colours).round()
        _write(self._still, "residual (luma RMS)", (left, 43), _PALE, 0.38)
        _write(self._still, "0", (left, 73), _INK, 0.38)
        _write(self._still, f"{brief(scale.residual)} code values", (left + _BAR - 16, 73), _INK, 0.38)

    def _draw_bar(self, cuts: Sequence[float]) -> None:
        self._cuts = [self._place(cut) for cut in cuts]
        cv2.rectangle(self._still, (self._left, 91), (self._right, 97), (70, 70, 70), -1)
        _write(self._still, clock(self._start), (8, 99), _PALE, 0.4)
        _write(self._still, clock(self._end), (self._right + 8, 99), _PALE, 0.4)
        if cuts:
            left = self._still.shape[1] - 62
            cv2.line(self._still, (left, 36), (left, 46), CUT_COLOUR, 2)
            _write(self._still, "cut", (left + 8, 45), _PALE, 0.38)

    def _draw_cuts(self, band: Image) -> None:
        for x in self._cuts:
            cv2.line(band, (x, 87), (x, 101), CUT_COLOUR, 2)


def _write(image: Image, text: str, place: tuple[int, int], colour: tuple[int, int, int], size: float) -> None:
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
