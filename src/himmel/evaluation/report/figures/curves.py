"""Curves of training: what each stage's log says against its steps (report, appendix E, figures 5 and 6)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from himmel.evaluation.report.collect import Document, logged, own_logs
from himmel.evaluation.report.figures.style import add_legend, marker, new_panels, say_missing, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = list[tuple[float, float]]

_HOLD_OUT: Final = "himmel train RECIPE --set data.validation.share=0.02, or on rendered clips data.validation.clips=64"
_MOST_MARKERS: Final = 12


@dataclass(frozen=True)
class Series:
    """One line of a panel: of a training's log, what is drawn, how it is called, and whether it is of held-out data."""

    points: Callable[[Document], Points]
    label: str
    held_out: bool = False


def answer_curves(training: Sequence[Document]) -> "Figure":
    """Figure 5: stage 2's loss on what is learned from and on what is held out, and the best step of the latter."""
    logs = [document for document in own_logs(training) if document.path.stem.endswith("stage2")]
    figure, (axes,) = new_panels("Stage 2: how well answers are predicted", 1)
    if not logs:
        say_missing(axes, "no training has written a log of stage 2", "himmel train RECIPE")
        return figure
    _draw(axes, logs, (_named("loss", "training"), _named("eval_loss", "validation", held_out=True)))
    for place, document in enumerate(logs):
        best = min(logged(document, "eval_loss"), key=lambda point: point[1], default=None)
        if best is not None:
            colour = marker(place)["color"]
            axes.plot(*best, marker="o", markersize=14, fillstyle="none", color=colour, linestyle="none")
            axes.annotate(f"{best[1]:.3f} at {best[0]:g}", best, xytext=(9, 9), textcoords="offset points", fontsize=8)
    axes.set_ylabel("loss, nats a token")
    axes.set_xlabel("optimiser steps")
    add_legend(axes, len(axes.lines))
    return figure


def alignment_curves(training: Sequence[Document]) -> "Figure":
    """Figure 6: loss, cosine of pairs, and retrieval on held-out intervals of stage 1."""
    logs = [document for document in own_logs(training) if document.path.stem.endswith("stage1")]
    figure, panels = new_panels("Stage 1: how well motion meets the host's vision", 3 if logs else 1)
    if not logs:
        say_missing(panels[0], "no training has written a log of stage 1", "himmel train RECIPE")
        return figure
    loss, cosine, found = panels
    _draw(loss, logs, (_named("loss", "training"), _named("eval_loss", "validation", held_out=True)))
    loss.set_ylabel("loss (no unit)")
    _draw(cosine, logs, (Series(_cosines, "training"), _named("eval_positive", "validation", held_out=True)))
    cosine.set_ylabel("mean cosine of a pair")
    recalls = tuple(_named(f"eval_recall_at_{k}", f"R@{k}", held_out=True, scale=100) for k in (1, 5))
    if any(series.points(document) for series in recalls for document in logs):
        _draw(found, logs, recalls)
        found.set_ylabel("held-out intervals found, %")
    else:
        say_missing(found, "no training has looked at held-out intervals", _HOLD_OUT, width=30)
    for axes in panels:
        axes.set_xlabel("optimiser steps")
        if axes.lines:
            add_legend(axes, len(axes.lines), below=True)
    return figure


def _named(name: str, label: str, *, held_out: bool = False, scale: float = 1.0) -> Series:
    return Series(lambda log: [(step, scale * value) for step, value in logged(log, name)], label, held_out)


def _cosines(log: Document) -> Points:
    """Of the pairs of each batch; older logs have what is missing to 1 in its place."""
    return logged(log, "positive") or [(step, 1 - value) for step, value in logged(log, "cosine")]


def _draw(axes: "Axes", logs: Sequence[Document], drawn: Sequence[Series]) -> None:
    """A colour and a marker for each training; solid lines for what is learned from, broken ones for held-out data."""
    for place, log in enumerate(logs):
        folder = log.path.parents[1].name
        broken = iter(("--", ":"))
        for series in drawn:
            points = series.points(log)
            line = next(broken) if series.held_out else "-"
            if points:
                steps, values = zip(*points, strict=True)
                every = max(1, len(points) // _MOST_MARKERS)
                label = shorten(f"{folder}, {series.label}")
                axes.plot(steps, values, linestyle=line, markevery=every, label=label, **_of(place, series))


def _of(place: int, series: Series) -> dict[str, Any]:
    """Held-out data has hollow markers."""
    look = marker(place)
    return {**look, "fillstyle": "none"} if series.held_out else look
