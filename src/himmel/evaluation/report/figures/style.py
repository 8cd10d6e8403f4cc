"""How figures look: told apart by marker and line as well as by colour, so that they can be read in grey."""

from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

from himmel._files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which people with any kind of colour blindness can tell apart, dark ones first.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#444444")
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
INK: Final = "#222222"
PALE: Final = "#777777"


def new_figure(title: str, *, width: float = 8.5, height: float = 4.5) -> "tuple[Figure, Axes]":
    """A white figure with a title and one pair of axes; sizes in inches."""
    figure, (axes,) = new_panels(title, 1, width=width, height=height)
    return figure, axes


def new_panels(title: str, count: int, *, width: float = 8.5, height: float = 4.5) -> "tuple[Figure, tuple[Axes, ...]]":
    """A white figure with several pairs of axes side by side; the title is over the first of them; sizes in inches.

    Several share one and a half times the width.
    """
    from matplotlib.figure import Figure

    whole = width if count == 1 else 1.5 * width
    figure = Figure(figsize=(whole, height), dpi=130, facecolor="white", layout="constrained")
    panels = tuple(figure.subplots(1, count, squeeze=False)[0])
    panels[0].set_title(title, fontsize=11, color=INK, loc="left")
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, axis="y", color="#dddddd", linewidth=0.7)
        axes.set_axisbelow(True)
    return figure, panels


def save_figure(name: str, figure: "Figure", folder: Path) -> str:
    """Write a figure as PNG and SVG; the same figure gives the same bytes.

    Returns:
        The name, of the files without ending.
    """
    from matplotlib import rc_context

    for suffix, metadata in ((".png", None), (".svg", {"Date": None})):
        # Names inside an SVG follow from its content.
        with atomic_path(folder / (name + suffix)) as file, rc_context({"svg.hashsalt": "himmel"}):
            figure.savefig(file, metadata=metadata)
    return name


def say_missing(axes: "Axes", what: str, command: str, *, width: int = 62) -> None:
    """Say on the figure's face what was not measured, and what measures it; in lines of at most `width` letters."""
    axes.set_axis_off()
    said = f"Not measured yet: {what}."
    lines = [*wrap(said, width), "", *wrap(command, width, break_on_hyphens=False)]
    axes.text(0.5, 0.5, "\n".join(lines), ha="center", va="center", fontsize=10, color=INK, transform=axes.transAxes)


def marker(place: int) -> dict[str, Any]:
    """Colour and marker of the series at `place`; no two of 56 have both."""
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}


def add_legend(axes: "Axes", count: int, *, below: bool = False) -> None:
    """A legend beside or below the axes, in as small type as so many entries need."""
    size = 8 if count < 14 else 7
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1)}
    if below:
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.15)}
    axes.legend(fontsize=size, frameon=False, borderaxespad=0, **place)


def shorten(text: str, most: int = 48) -> str:
    """A label that is cut in its middle where it is too long."""
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-(most - most // 2 - 1) :]}"
