"""The five conditions of one video as five strips, one below the other (report, figures 34, 36 and 41)."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from himmel._checks import check_picture
from himmel.methods.conditions.layout import LAYOUTS, PictureKind
from himmel.methods.conditions.show import Showing
from himmel.video.draw import INK, PALE, brief, clock, colour_wheel, residual_colours, save_drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

_EDGES: Final[dict[PictureKind, str]] = {"frame": "#bbbbbb", "motion": "#0072b2", "residual": "#d55e00"}
_LETTERS: Final[dict[PictureKind, str]] = {"frame": "I", "motion": "MV", "residual": "R"}
_TILE: Final = 1.35
"""Inches of a picture's longer side."""
_KEYS: Final = 1.6
"""Inches beside the pictures."""


def draw_strips(
    showings: Sequence[Showing], path: str | os.PathLike[str], *, title: str = "", begin: float = 0.0
) -> None:
    """Draw one row for each condition, with each picture's kind and time above it, and keys to its colours beside it.

    The file is what its name ends with: .png, .jpg, .jpeg, .svg or .pdf.

    Args:
        showings: what conditions show of one video, at least one.
        path: the file to write.
        title: a line above the strips, such as the video's name.
        begin: seconds at which the stretch that is shown begins in its video; see `draw_streams`.

    Raises:
        UsageError: the name ends with something else.
        HimmelError: the file can't be written.
    """
    check_picture(path)
    from matplotlib.figure import Figure

    columns = max(len(showing.pictures) for showing in showings)
    rows, across = showings[0].pictures[0].image.shape[:2]
    wide, high = _TILE * min(1.0, across / rows), _TILE * min(1.0, rows / across)
    width, height = columns * (wide + 0.06) + 1.2 + _KEYS, len(showings) * (high + 0.22) + 0.5
    figure = Figure(figsize=(width, height), dpi=160, facecolor="white")
    axes = figure.subplots(len(showings), columns, squeeze=False)
    left, right = 1.1 / width, 1 - (0.1 + _KEYS) / width
    top, bottom = 1 - 0.48 / height, 0.05 / height
    figure.subplots_adjust(left=left, right=right, top=top, bottom=bottom, wspace=0.05, hspace=0.25)
    figure.text(0.1 / width, 1 - 0.22 / height, title, fontsize=9, color=INK, weight="bold")
    for row, showing in zip(axes, showings, strict=True):
        for place in row[len(showing.pictures) :]:
            place.set_axis_off()
        for number, (place, shown) in enumerate(zip(row, showing.pictures, strict=False)):
            place.imshow(shown.image, interpolation="nearest")
            place.set_xticks([])
            place.set_yticks([])
            for spine in place.spines.values():
                spine.set_color(_EDGES[shown.kind])
                spine.set_linewidth(1.2)
            kinds = [earlier.kind for earlier in showing.pictures[: number + 1]]
            name = f"{_LETTERS[shown.kind]}{kinds.count(shown.kind)}"
            place.set_title(f"{name}  {clock(begin + shown.time)}", fontsize=6, color=PALE, pad=3.5)
        summary = LAYOUTS[showing.condition].summary.replace(", ", "\n")
        row[0].text(
            -0.06,
            0.5,
            f"{showing.condition}\n{summary}",
            transform=row[0].transAxes,
            fontsize=6.5,
            color=INK,
            ha="right",
            va="center",
        )
        _add_keys(figure, row[-1].get_position(), showing)
    save_drawing(figure, path)


def _add_keys(figure: "Figure", last: "Bbox", showing: Showing) -> None:
    """Beside a row: a colour wheel with a speed, a colour bar with a residual, as far as the row has such maps."""
    width, height = figure.get_size_inches()
    keys = [(key, full) for key, full in (("wheel", showing.speed), ("bar", showing.residual)) if full is not None]
    room = last.height * height / max(len(keys), 1)
    side = min(0.4, 0.9 * room)
    for number, (key, full) in enumerate(keys):
        middle = last.y1 * height - (number + 0.5) * room
        box = last.x1 + 0.12 / width, (middle - side / 2) / height, side / width, side / height
        axes = figure.add_axes(box)
        axes.set_axis_off()
        if key == "wheel":
            axes.imshow(colour_wheel(121))
            words = f"full colour: {brief(full)} %\nof the width a second"
        else:
            axes.imshow(np.linspace(1, 0, 64)[:, None], extent=(0, 1, 0, 3), cmap=residual_colours())
            words = f"full colour: luma RMS\nof {brief(full)} code values"
        figure.text(box[0] + (side + 0.06) / width, middle / height, words, fontsize=5.5, color=PALE, va="center")
