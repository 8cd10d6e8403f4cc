"""The five conditions of one video as five strips, one below the other (report, figures 34, 36 and 41)."""

import os
from collections.abc import Sequence
from typing import Final

from himmel._checks import check_picture
from himmel.methods.conditions.layout import LAYOUTS, PictureKind
from himmel.methods.conditions.show import Showing
from himmel.video.draw import INK, PALE, clock, save_drawing

_EDGES: Final[dict[PictureKind, str]] = {"frame": "#bbbbbb", "motion": "#0072b2", "residual": "#d55e00"}
_LETTERS: Final[dict[PictureKind, str]] = {"frame": "I", "motion": "MV", "residual": "R"}
_TILE: Final = 1.35
"""Inches of a picture's longer side."""


def draw_strips(
    showings: Sequence[Showing], path: str | os.PathLike[str], *, title: str = "", begin: float = 0.0
) -> None:
    """Draw one row for each condition, with each picture's kind and time above it.

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
    width, height = columns * (wide + 0.06) + 1.2, len(showings) * (high + 0.22) + 0.5
    figure = Figure(figsize=(width, height), dpi=160, facecolor="white")
    axes = figure.subplots(len(showings), columns, squeeze=False)
    figure.subplots_adjust(
        left=1.1 / width, right=1 - 0.1 / width, top=1 - 0.48 / height, bottom=0.05 / height, wspace=0.05, hspace=0.25
    )
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
    save_drawing(figure, path)
