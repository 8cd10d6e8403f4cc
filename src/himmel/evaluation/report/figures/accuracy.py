"""Accuracy against what it costs, and by kinds of questions; each figure is of runs on the same questions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from himmel.evaluation.report.cells import Summarised, prompt_tokens
from himmel.evaluation.report.figures.style import INK, add_legend, marker, new_figure, say_missing, shorten
from himmel.evaluation.report.labels import host_name
from himmel.evaluation.runs.summary import Cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_EVAL: Final = "himmel eval BENCHMARK --data DIR --host HOST --method METHOD -o RUN"
_FRAMES: Final = (
    "himmel eval BENCHMARK --data DIR --host HOST --method dense --frames 64 -o RUN, then with other numbers"
)
_MOST_SERIES: Final = 24
_MOST_BESIDE: Final = 6
_CLOSE: Final = 1.03
"""Points whose tokens differ by less than this factor are drawn beside each other."""


def against_tokens(runs: Sequence[Summarised]) -> "Figure":
    """Right answers against the tokens of a prompt (report, figure 33), with intervals."""
    chosen = [one for one in runs if one.summary.costs is not None]
    from matplotlib.ticker import LogLocator, NullLocator

    shown = min(len(chosen), _MOST_SERIES)
    figure, axes = new_figure(_title("Right answers against tokens", chosen, shown), height=5)
    if not chosen:
        say_missing(axes, "no run has answers", _EVAL)
        return figure
    chosen = _one_per_method(chosen)[:_MOST_SERIES]
    tokens = [0.0 if one.summary.costs is None else prompt_tokens(one.summary.costs.tokens) for one in chosen]
    for place, (one, across) in enumerate(zip(chosen, _apart(tokens), strict=True)):
        middle, below, above = _in_per_cent(one.summary.overall)
        axes.errorbar(
            across,
            middle,
            yerr=[[below], [above]],
            capsize=2,
            elinewidth=0.9,
            linestyle="none",
            label=shorten(one.label),
            **marker(place),
        )
    axes.set_xlabel("tokens of the prompt (mean; equal ones are drawn beside each other)")
    axes.set_ylabel("right answers, %")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.08)
    add_legend(axes, len(chosen))
    return figure


def against_frames(runs: Sequence[Summarised]) -> "Figure":
    """Right answers against the number of frames, a line for each method (report, figure 8: 32 to 512 frames)."""
    series: dict[str, dict[int, Cell]] = {}
    for one in runs:
        method = one.run.header.method
        frames = method.get("num_frames") or method.get("num_anchors")
        if isinstance(frames, int):
            # Of several runs with the same number, the first: the one with the usual options.
            series.setdefault(f"{host_name(one.run.header.host)}: {method['name']}", {}).setdefault(
                frames, one.summary.overall
            )
    lines = {name: points for name, points in series.items() if len(points) > 1}
    figure, axes = new_figure(_title("Right answers against frames", runs if lines else (), len(runs)))
    if not lines:
        say_missing(axes, "no method was run with several numbers of frames", _FRAMES)
        return figure
    for place, (name, points) in enumerate(lines.items()):
        frames_of = sorted(points)
        values = np.array([_in_per_cent(points[count]) for count in frames_of]).T
        axes.errorbar(frames_of, values[0], yerr=values[1:], capsize=3, label=shorten(name), **marker(place))
    axes.set_xlabel("frames (of himmel: anchors)")
    axes.set_ylabel("right answers, %")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted({count for points in lines.values() for count in points}))
    axes.xaxis.set_major_formatter("{x:g}")
    add_legend(axes, len(lines))
    return figure


def has_frames(runs: Sequence[Summarised]) -> bool:
    """Whether a method was run with several numbers of frames."""
    found: dict[tuple[str, str], set[int]] = {}
    for one in runs:
        method = one.run.header.method
        frames = method.get("num_frames") or method.get("num_anchors")
        if isinstance(frames, int):
            found.setdefault((host_name(one.run.header.host), str(method["name"])), set()).add(frames)
    return any(len(frames) > 1 for frames in found.values())


def by_group(runs: Sequence[Summarised], group: str) -> "Figure":
    """Right answers by duration or category, a point for each run (report, figures of appendices J and K)."""
    chosen = [one for one in runs if one.summary.by.get(group)]
    shown = _one_per_method(chosen)[:_MOST_BESIDE]
    kinds = sorted({kind for one in shown for kind in one.summary.by[group]}, key=_order)
    height = max(4.0, 1.2 + len(kinds) * (0.16 + 0.11 * len(shown)))
    figure, axes = new_figure(_title(f"Right answers by {group}", chosen, len(shown)), height=height)
    if not shown:
        say_missing(axes, f"no run has answers by {group}", _EVAL)
        return figure
    step = 0.8 / len(shown)
    for place, one in enumerate(shown):
        cells = [one.summary.by[group].get(kind) for kind in kinds]
        values = np.array([(np.nan, 0, 0) if cell is None else _in_per_cent(cell) for cell in cells]).T
        rows = np.arange(len(kinds)) + (place - (len(shown) - 1) / 2) * step
        axes.errorbar(
            values[0],
            rows,
            xerr=values[1:],
            linestyle="none",
            elinewidth=0.9,
            capsize=2,
            markersize=5,
            label=shorten(one.label),
            **marker(place),
        )
    for row in range(1, len(kinds)):
        axes.axhline(row - 0.5, color="#dddddd", linewidth=0.7)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", color="#dddddd", linewidth=0.7)
    axes.set_yticks(range(len(kinds)), [shorten(kind, 34) for kind in kinds], color=INK)
    axes.set_ylim(len(kinds) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.set_xlabel("right answers, %")
    axes.set_ylabel(group)
    add_legend(axes, len(shown))
    return figure


def _title(what: str, runs: Sequence[Summarised], shown: int) -> str:
    """The figure's title with the questions, and how many of the runs are shown."""
    if not runs:
        return what
    left_out = f"; {shown} of {len(runs)} runs" if shown < len(runs) else ""
    return f"{what}: {runs[0].questions}{left_out}"


def _one_per_method(runs: Sequence[Summarised]) -> list[Summarised]:
    """`dense` and `himmel` first, then one run of each other method, then the rest."""
    seen: set[tuple[str, str]] = set()
    first: list[Summarised] = []
    rest: list[Summarised] = []
    for one in runs:
        key = host_name(one.run.header.host), str(one.run.header.method["name"])
        (rest if key in seen else first).append(one)
        seen.add(key)
    return [*sorted(first, key=lambda one: one.run.header.method["name"] not in ("dense", "himmel")), *rest]


def _apart(values: Sequence[float]) -> list[float]:
    """Places on a logarithmic axis of positive values, those that are nearly equal set beside each other."""
    order = sorted(range(len(values)), key=lambda place: (values[place], place))
    groups: list[list[int]] = []
    for place in order:
        if groups and values[place] < values[groups[-1][0]] * _CLOSE:
            groups[-1].append(place)
        else:
            groups.append([place])
    found = [max(value, 1.0) for value in values]
    for group in groups:
        for number, place in enumerate(group):
            found[place] *= _CLOSE ** (number - (len(group) - 1) / 2)
    return found


def _in_per_cent(cell: Cell) -> tuple[float, float, float]:
    """The share, and how far the interval goes below and above it."""
    share, low, high = 100 * cell.accuracy.share, 100 * cell.interval.low, 100 * cell.interval.high
    return share, max(0.0, share - low), max(0.0, high - share)


def _order(kind: str) -> tuple[int, float, str]:
    known = ("short", "medium", "long", "under 2 min", "2 to 15 min", "from 15 min")
    if kind in known:
        return known.index(kind), 0.0, kind
    # LongVideoBench calls its groups by seconds.
    return len(known), float(kind) if kind.isdecimal() else float("inf"), kind
