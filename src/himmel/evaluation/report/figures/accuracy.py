"""Accuracy against what it costs, and by kinds of questions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from himmel.evaluation.report.figures.style import add_legend, bar, marker, new_figure, say_missing, shorten, spread
from himmel.evaluation.report.labels import benchmark_name, host_name
from himmel.evaluation.report.tables import Summarised
from himmel.evaluation.runs.summary import Cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_EVAL = "himmel eval BENCHMARK --data DIR --host HOST --method METHOD -o RUN"
_MOST_SERIES = 16


def against_tokens(runs: Sequence[Summarised], benchmark: str | None) -> "Figure":
    """Right answers against the tokens of a prompt (report, figures 2 and 33), with intervals."""
    title = "Right answers against tokens" + ("" if benchmark is None else f": {benchmark_name(benchmark)}")
    figure, axes = new_figure(title)
    chosen = [one for one in runs if one.run.header.benchmark == benchmark and one.summary.costs is not None]
    if not chosen:
        say_missing(axes, "no run has answers", _EVAL)
        return figure
    for place, one in enumerate(sorted(chosen, key=lambda one: one.label)[:_MOST_SERIES]):
        assert one.summary.costs is not None
        tokens = sum(one.summary.costs.tokens.values())
        middle, below, above = _in_per_cent(one.summary.overall)
        axes.errorbar(
            tokens,
            middle,
            yerr=[[below], [above]],
            capsize=3,
            linestyle="none",
            label=shorten(one.label),
            **marker(place),
        )
    axes.set_xlabel("tokens of the prompt (mean)")
    axes.set_ylabel("right answers, %")
    axes.set_xscale("log")
    add_legend(axes, len(chosen))
    return figure


def against_frames(runs: Sequence[Summarised], benchmark: str | None) -> "Figure":
    """Right answers against the number of frames, a line for each method (report, figure 8: 32 to 512 frames)."""
    title = "Right answers against frames" + ("" if benchmark is None else f": {benchmark_name(benchmark)}")
    figure, axes = new_figure(title)
    series: dict[str, list[tuple[int, Cell]]] = {}
    for one in runs:
        frames = one.run.header.method.get("num_frames") or one.run.header.method.get("num_anchors")
        if one.run.header.benchmark == benchmark and isinstance(frames, int):
            name = f"{host_name(one.run.header.host)}: {one.run.header.method['name']}"
            series.setdefault(name, []).append((frames, one.summary.overall))
    lines = {name: sorted(points, key=lambda point: point[0]) for name, points in series.items()}
    lines = {name: points for name, points in lines.items() if len({frames for frames, _ in points}) > 1}
    if not lines:
        say_missing(
            axes, "no method was run with several numbers of frames", f"{_EVAL} --frames 32 (64, 128, 256, 512)"
        )
        return figure
    for place, (name, points) in enumerate(sorted(lines.items())[:_MOST_SERIES]):
        values = np.array([_in_per_cent(cell) for _, cell in points]).T
        frames = [count for count, _ in points]
        axes.errorbar(frames, values[0], yerr=values[1:], capsize=3, label=shorten(name), **marker(place))
    axes.set_xlabel("frames (or anchors)")
    axes.set_ylabel("right answers, %")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    add_legend(axes, len(lines))
    return figure


def by_group(runs: Sequence[Summarised], benchmark: str | None, group: str) -> "Figure":
    """Right answers by duration or category, bars beside each other for each run (report, figures 19, 20 and 25)."""
    name = "" if benchmark is None else f": {benchmark_name(benchmark)}"
    chosen = [one for one in runs if one.run.header.benchmark == benchmark and one.summary.by.get(group)][:8]
    kinds = sorted({kind for one in chosen for kind in one.summary.by[group]}, key=_order)
    figure, axes = new_figure(
        f"Right answers by {group}{name}", width=max(7.5, 0.45 * len(kinds) * max(len(chosen), 1))
    )
    if not chosen:
        say_missing(axes, f"no run has answers by {group}", _EVAL)
        return figure
    width = 0.8 / len(chosen)
    for place, one in enumerate(chosen):
        cells = [one.summary.by[group].get(kind) for kind in kinds]
        values = np.array([(np.nan, 0, 0) if cell is None else _in_per_cent(cell) for cell in cells]).T
        centres = np.arange(len(kinds)) + (place - (len(chosen) - 1) / 2) * width
        axes.bar(centres, values[0], width, label=shorten(one.label), **bar(place))
        axes.errorbar(centres, values[0], yerr=values[1:], fmt="none", ecolor="#222222", elinewidth=0.8, capsize=2)
    axes.set_xticks(
        range(len(kinds)),
        spread(kinds, 22),
        rotation=30 if len(kinds) > 4 else 0,
        ha="right" if len(kinds) > 4 else "center",
    )
    axes.set_ylabel("right answers, %")
    axes.set_ylim(0, 100)
    add_legend(axes, len(chosen))
    return figure


def _in_per_cent(cell: Cell) -> tuple[float, float, float]:
    """The share, and how far the interval goes below and above it."""
    share, low, high = 100 * cell.accuracy.share, 100 * cell.interval.low, 100 * cell.interval.high
    return share, max(0.0, share - low), max(0.0, high - share)


def _order(kind: str) -> tuple[int, str]:
    known = ("short", "medium", "long")
    return (known.index(kind), kind) if kind in known else (len(known), kind)
