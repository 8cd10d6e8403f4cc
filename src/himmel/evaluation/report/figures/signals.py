"""Figures of training and of the codec: gates, quantisers, learning curves, and what each choice of design is worth."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from himmel.evaluation.report.collect import Document
from himmel.evaluation.report.figures.style import LINES, add_legend, marker, new_figure, say_missing, shorten
from himmel.evaluation.report.tables import Summarised

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STREAMS = ("motion", "residual", "context")


def gate_map(motion: Sequence[Document]) -> "Figure":
    """Mean weights of the three streams by kind of question (report, figure 32)."""
    gates = next((document.content["gates"] for document in motion if document.content.get("gates")), None)
    kinds = [] if gates is None else sorted(gates, key=lambda kind: (kind.startswith("all"), kind))
    figure, axes = new_figure("How the fusion weighs the streams", width=6, height=max(3.0, 0.32 * len(kinds) + 1.5))
    if gates is None:
        say_missing(axes, "no result holds gates", "himmel eval motion --gates -o FILE")
        return figure
    values = np.array([[gates[kind][stream] for stream in _STREAMS] for kind in kinds])
    axes.grid(visible=False)
    picture = axes.imshow(100 * values, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    axes.set_xticks(range(3), _STREAMS)
    axes.set_yticks(range(len(kinds)), [f"{kind} ({gates[kind]['questions']})" for kind in kinds])
    for row, column in np.ndindex(values.shape):
        share = 100 * values[row, column]
        # Dark cells carry light figures.
        axes.text(column, row, f"{share:.0f}", ha="center", va="center", color="white" if share < 55 else "black")
    figure.colorbar(picture, ax=axes, label="mean weight, %")
    axes.set_ylabel("kind of question (questions)")
    return figure


def quantisers(rungs: Sequence[Document], runs: Sequence[Summarised]) -> "Figure":
    """Right answers on each rung of a ladder of quantisers (report, O.1), with the quality of its pictures."""
    figure, axes = new_figure("Right answers against the quantiser")
    levels = {document.content["name"]: document.content for document in rungs}
    series: dict[str, list[tuple[int, float, float, float]]] = {}
    for one in runs:
        rung = levels.get(one.run.header.data.rstrip("/").rsplit("/", 1)[-1])
        if rung is not None:
            cell = one.summary.overall
            share, low, high = cell.accuracy.share, cell.interval.low, cell.interval.high
            series.setdefault(str(one.run.header.method["name"]), []).append((rung["level"], share, low, high))
    if not series:
        say_missing(
            axes, "no run is of a rung's data set", "himmel compress DATA -o LADDER, then himmel eval on LADDER/qp-28"
        )
        return figure
    for place, (name, points) in enumerate(sorted(series.items())):
        values = 100 * np.array(sorted(points)).T
        errors = np.maximum(0, [values[1] - values[2], values[3] - values[1]])
        axes.errorbar(values[0] / 100, values[1], yerr=errors, capsize=3, label=name, **marker(place))
    axes.set_xlabel("quantiser")
    axes.set_ylabel("right answers, %")
    quality = sorted((rung["level"], rung["psnr"]) for rung in levels.values() if rung["psnr"] is not None)
    if quality:
        right = axes.twinx()
        right.plot(*zip(*quality, strict=True), color="#777777", linestyle=":", label="PSNR")
        right.set_ylabel("PSNR of the pictures, dB (dotted)", color="#777777")
        right.spines["top"].set_visible(False)
    axes.legend(loc="lower left", frameon=False, fontsize=8)
    return figure


def learning_curves(training: Sequence[Document]) -> "Figure":
    """Loss against steps for each stage of each training (report, figures 5 and 6)."""
    figure, axes = new_figure("Training: loss against steps")
    drawn = 0
    for document in training:
        log: list[dict[str, Any]] = document.content["log"]
        for name, label in (("loss", "training"), ("eval_loss", "validation")):
            points = [(entry["step"], entry[name]) for entry in log if name in entry and "step" in entry]
            if points:
                folder = document.path.parents[1].name
                what = f"{folder}, {document.path.stem}, {label}"
                style = LINES[drawn % len(LINES)]
                steps, losses = zip(*points, strict=True)
                every = max(1, len(points) // 12)
                axes.plot(steps, losses, linestyle=style, markevery=every, label=shorten(what, 44), **marker(drawn))
                drawn += 1
    if not drawn:
        say_missing(axes, "no training has written its log", "himmel train --recipe RECIPE -o FOLDER")
        return figure
    axes.set_xlabel("optimiser steps")
    axes.set_ylabel("loss")
    add_legend(axes, drawn)
    return figure


def sensitivity(runs: Sequence[Summarised]) -> "Figure":
    """The span of right answers over the values of each option of `himmel`, and over adapters (report, figure 31)."""
    figure, axes = new_figure("How much each choice changes right answers", height=3.6)
    spans = sorted(_spans(runs), key=lambda span: span[2] - span[1])
    if not spans:
        say_missing(axes, "no two runs of himmel differ in one option", "himmel eval BENCHMARK --option NAME=VALUE")
        return figure
    axes.grid(visible=True, axis="x", color="#dddddd", linewidth=0.7)
    for row, (_, low, high) in enumerate(spans):
        axes.plot([100 * low, 100 * high], [row, row], color="#0072B2", marker="|", markersize=12, linewidth=3)
        axes.annotate(f"{100 * (high - low):.1f}", (100 * high, row), xytext=(8, -3), textcoords="offset points")
    axes.set_yticks(range(len(spans)), [shorten(name, 44) for name, _, _ in spans])
    axes.set_ylim(-0.6, len(spans) - 0.4)
    axes.set_xlabel("right answers from the worst to the best value, % (points between them beside it)")
    return figure


def _spans(runs: Sequence[Summarised]) -> list[tuple[str, float, float]]:
    """For each benchmark and option the lowest and highest share right among runs that differ in it alone."""
    spans: dict[tuple[str, str], tuple[float, float]] = {}
    chosen = [one for one in runs if one.run.header.method["name"] == "himmel"]
    for place, one in enumerate(chosen):
        for other in chosen[place + 1 :]:
            first, second = one.run.header, other.run.header
            if first.questions_sha256 != second.questions_sha256 or first.host != second.host:
                continue
            differing = [name for name, value in first.method.items() if second.method.get(name) != value]
            differing += ["adapter"] if first.adapter_sha256 != second.adapter_sha256 else []
            if len(differing) == 1:
                shares = [run.summary.overall.accuracy.share for run in (one, other)]
                low, high = spans.get((first.benchmark, differing[0]), (1.0, 0.0))
                spans[first.benchmark, differing[0]] = (min(low, *shares), max(high, *shares))
    return [(f"{benchmark}: {name}", low, high) for (benchmark, name), (low, high) in spans.items()]
