"""The two drawings of how it works: from a file to an answer (report, figure 1), and the two stages (figure 3)."""

from typing import TYPE_CHECKING, Final

from himmel.evaluation.report.figures.style import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What a box is: read from the file, frozen, trained, or the language model's.
_FILLS: Final = {"file": "#dfe8f2", "frozen": "#e8e8e8", "trained": "#fde3c8", "prompt": "#d9efe4"}
_HATCHES: Final = {"file": "", "frozen": "", "trained": "//", "prompt": ".."}


def draw_model() -> "Figure":
    """From a file to an answer."""
    figure, axes = _canvas("From a compressed file to an answer", 12, 5.2)
    _box(axes, (0.2, 1.9), (1.6, 1.4), "video file\nH.264 packets", "file")
    _box(axes, (2.4, 3.8), (2.0, 0.9), "8 anchors\ndecoded", "file")
    _box(axes, (2.4, 2.15), (2.0, 0.9), "motion vectors\nof each interval", "file")
    _box(axes, (2.4, 0.5), (2.0, 0.9), "residuals\nof each interval", "file")
    _box(axes, (5.0, 3.8), (1.9, 0.9), "vision tower", "frozen")
    _box(axes, (5.0, 0.5), (1.9, 2.55), "motion adapter:\nbranches, gates,\nstate space over\ntime, queries", "trained")
    _box(axes, (7.5, 0.5), (1.6, 4.2), "prompt:\npicture tokens,\nmotion tokens\n(64 an interval),\nquestion", "prompt")
    _box(axes, (9.7, 1.9), (1.4, 1.4), "language\nmodel, frozen,\n+ LoRA", "trained")
    _arrow(axes, (1.8, 2.9), (2.4, 4.2))
    _arrow(axes, (1.8, 2.6), (2.4, 2.6))
    _arrow(axes, (1.8, 2.3), (2.4, 1.0))
    _arrow(axes, (4.4, 4.25), (5.0, 4.25))
    _arrow(axes, (4.4, 2.6), (5.0, 2.4))
    _arrow(axes, (4.4, 0.95), (5.0, 1.1))
    _arrow(axes, (5.95, 3.8), (5.95, 3.05), "context")
    _arrow(axes, (6.9, 4.25), (7.5, 4.25))
    _arrow(axes, (6.9, 1.8), (7.5, 1.8))
    _arrow(axes, (9.1, 2.6), (9.7, 2.6))
    _arrow(axes, (11.1, 2.6), (11.9, 2.6))
    axes.text(11.5, 2.7, "answer", fontsize=9, color=INK, ha="center", va="bottom")
    _key(axes, 12, ("file", "read from the file"), ("frozen", "frozen"), ("trained", "trained"), ("prompt", "prompt"))
    return figure


def draw_stages() -> "Figure":
    """What learns in each of the two stages of training, and from what."""
    figure, axes = _canvas("Two stages of training", 11, 5.6)
    axes.text(0.2, 5.15, "Stage 1: motion means what changes between anchors", fontsize=10, color=INK)
    _box(axes, (0.2, 3.5), (2.0, 1.2), "streams of\nan interval", "file")
    _box(axes, (2.9, 3.5), (2.0, 1.2), "motion adapter", "trained")
    _box(axes, (5.6, 3.5), (2.0, 1.2), "alignment head", "trained")
    _box(axes, (5.6, 2.7), (2.0, 0.65), "vision tower: next anchor\nminus anchor", "frozen", size=8)
    _box(axes, (8.3, 3.2), (2.5, 1.3), "InfoNCE both ways\n+ cosine, over the batch", "prompt")
    _arrow(axes, (2.2, 4.1), (2.9, 4.1))
    _arrow(axes, (4.9, 4.1), (5.6, 4.1))
    _arrow(axes, (7.6, 4.1), (8.3, 4.0))
    _arrow(axes, (7.6, 3.02), (8.3, 3.5))
    axes.text(0.2, 2.25, "Stage 2: the language model learns to read it", fontsize=10, color=INK)
    _box(axes, (0.2, 0.6), (2.0, 1.2), "anchors, streams,\nquestion", "file")
    _box(axes, (2.9, 0.6), (2.0, 1.2), "adapter\nand projector", "trained")
    _box(axes, (5.6, 0.6), (2.0, 1.2), "motion tokens at\ntheir placeholders", "prompt")
    _box(axes, (8.3, 0.6), (2.5, 1.2), "language model, frozen,\n+ LoRA: loss on the\nanswer alone", "trained")
    _arrow(axes, (2.2, 1.2), (2.9, 1.2))
    _arrow(axes, (4.9, 1.2), (5.6, 1.2))
    _arrow(axes, (7.6, 1.2), (8.3, 1.2))
    _arrow(axes, (3.9, 3.5), (3.9, 1.8), "weights carried over")
    _key(
        axes, 11, ("file", "read from the file"), ("frozen", "frozen"), ("trained", "trained"), ("prompt", "no weights")
    )
    return figure


def _canvas(title: str, width: float, height: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, facecolor="white", layout="constrained")
    axes = figure.subplots()
    axes.set_xlim(0, width)
    axes.set_ylim(-0.1, height)
    axes.set_axis_off()
    axes.set_title(title, fontsize=12, color=INK, loc="left")
    return figure, axes


def _box(
    axes: "Axes", corner: tuple[float, float], size_of: tuple[float, float], text: str, kind: str, *, size: float = 9
) -> None:
    from matplotlib.patches import FancyBboxPatch

    shape = FancyBboxPatch(
        corner,
        *size_of,
        boxstyle="round,pad=0.02,rounding_size=0.08",
        facecolor=_FILLS[kind],
        edgecolor=INK,
        linewidth=0.9,
    )
    axes.add_patch(shape)
    hatched = FancyBboxPatch(
        corner,
        *size_of,
        boxstyle="round,pad=0.02,rounding_size=0.08",
        facecolor="none",
        edgecolor="#00000022",
        hatch=_HATCHES[kind],
        linewidth=0,
    )
    axes.add_patch(hatched)
    axes.text(
        corner[0] + size_of[0] / 2,
        corner[1] + size_of[1] / 2,
        text,
        ha="center",
        va="center",
        fontsize=size,
        color=INK,
        # So that no hatching runs through the letters.
        bbox={"facecolor": _FILLS[kind], "edgecolor": "none", "pad": 2} if text else None,
    )


def _arrow(axes: "Axes", start: tuple[float, float], end: tuple[float, float], text: str = "") -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.1})
    if text:
        axes.text((start[0] + end[0]) / 2 + 0.1, (start[1] + end[1]) / 2, text, fontsize=7, color=INK, va="center")


def _key(axes: "Axes", width: float, *kinds: tuple[str, str]) -> None:
    step = width / len(kinds)
    for place, (kind, text) in enumerate(kinds):
        _box(axes, (place * step + 0.2, -0.02), (0.35, 0.2), "", kind)
        axes.text(place * step + 0.7, 0.08, text, fontsize=8, color=INK, va="center")
