"""How figures look: told apart by marker and line as well as by colour, so that they can be read in grey."""

from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which people with any kind of colour blindness can tell apart, dark ones first.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#444444")
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES: Final = ("-", "--", "-.", ":")
INK: Final = "#222222"
PALE: Final = "#777777"


def new_figure(title: str, *, width: float = 8.5, height: float = 4.5) -> "tuple[Figure, Axes]":
    """A white figure with a title and one pair of axes; sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, facecolor="white", layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=11, color=INK, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, axis="y", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    return figure, axes


def say_missing(axes: "Axes", what: str, command: str) -> None:
    """Say on the figure's face what was not measured, and what measures it."""
    axes.set_axis_off()
    said = f"Not measured yet: {what}."
    lines = [*wrap(said, 62), "", *wrap(command, 62, break_on_hyphens=False)]
    axes.text(0.5, 0.5, "\n".join(lines), ha="center", va="center", fontsize=10, color=INK, transform=axes.transAxes)


def marker(place: int) -> dict[str, Any]:
    """Colour and marker of the series at `place`; no two of 56 have both."""
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}


def add_legend(axes: "Axes", count: int) -> None:
    """A legend beside the axes, in as small type as so many entries need."""
    axes.legend(
        loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8 if count < 14 else 7, frameon=False, borderaxespad=0
    )


def shorten(text: str, most: int = 48) -> str:
    """A label that is cut in its middle where it is too long."""
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-(most - most // 2 - 1) :]}"
