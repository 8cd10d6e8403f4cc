"""Tables of runs for a person to read."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from himmel._text import by_number
from himmel.cli.console import Column, console, print_rows, print_table

if TYPE_CHECKING:
    from himmel.evaluation.runs.compare import Comparison, Pair
    from himmel.evaluation.runs.summary import Cell, Costs, RunSummary
    from himmel.evaluation.statistics import Interval

_NAMED: Final = 5
"""So many questions that could not be asked are listed; the run has all."""


def print_run(folder: Path, summary: "RunSummary") -> None:
    """Print the accuracy of a run by category, task and duration, and what it took."""
    rows = [("all", "", *_show(summary.overall))]
    for group, cells in summary.by.items():
        rows += [(name, group, *_show(cell)) for name, cell in cells.items()]
    names = ("asked", "videos", "right, %", "95 % interval")
    columns = [Column("questions", text=True), Column("", text=True), *map(Column, names)]
    print_table(columns, rows)
    print_rows(
        {
            "interval": _explain(summary),
            "figures": ", ".join(f"{name} {100 * value:.1f}" for name, value in summary.figures.items()),
            "lmms-eval": ""
            if summary.harness is None
            else f"{100 * summary.harness:.1f} % by its rules for the same answers",
            "unread": by_number(summary.unread, "{} answer names no option", "{} answers name no option")
            if summary.unread
            else "",
            "failed": _list_failed(summary),
            **_list_costs(summary.costs),
            "run": str(folder),
        }
    )


def print_comparison(comparison: "Comparison") -> None:
    """Print runs side by side, and the tests of the first against each of the others."""
    rows = []
    for name, summary in comparison.runs.items():
        cell, costs = summary.overall, summary.costs
        shown = f"{100 * cell.accuracy.share:.1f} {_span(cell.interval)}"
        rows.append((name, shown, str(cell.accuracy.total), *_columns_of(costs)))
    names = ("right, %", "asked", "text", "image", "motion", "removed", "first token, s", "MB")
    print_table([Column("run", text=True), *map(Column, names)], rows)
    tests = [_test(pair) for pair in comparison.pairs]
    tested = ("difference, %", "only first", "only second", "p", "by", "p, Holm")
    print_table([Column("first", text=True), Column("second", text=True), *map(Column, tested)], tests)
    several = len(comparison.pairs)
    clustered = any(pair.decides == "cluster" for pair in comparison.pairs)
    by = "exchanging all answers about a video at once, as questions share videos" if clustered else "McNemar's test"
    console.print(f"p: {by}; p, Holm: corrected for {by_number(several, 'one comparison', '{} comparisons')}.")


def _show(cell: "Cell") -> tuple[str, str, str, str]:
    share = f"{100 * cell.accuracy.share:.1f}"
    if abs(cell.points - cell.accuracy.share) > 1e-9:
        share += f" ({100 * cell.points:.1f} with parts of points)"
    return str(cell.accuracy.total), str(cell.videos), share, _span(cell.interval)


def _span(interval: "Interval") -> str:
    return f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _explain(summary: "RunSummary") -> str:
    cells = [summary.overall, *(cell for group in summary.by.values() for cell in group.values())]
    if not any(cell.clustered for cell in cells):
        return "Wilson's; no two questions share a video"
    overall = "by drawing videos" if summary.overall.decides == "cluster" else "Wilson's"
    return f"the wider of Wilson's and a bootstrap over videos, which questions share; of all questions: {overall}"


def _list_failed(summary: "RunSummary") -> str:
    if not summary.failed:
        return ""
    lines = [f"{by_number(len(summary.failed), '{} question', '{} questions')} could not be asked, counted as wrong:"]
    lines += [f"{name}: {reason}" for name, reason in list(summary.failed.items())[:_NAMED]]
    return "\n".join([*lines, "..."] if len(summary.failed) > _NAMED else lines)


def _list_costs(costs: "Costs | None") -> dict[str, str]:
    if costs is None:
        return {}
    removed = ""
    if costs.removed is not None:
        removed = f"{costs.removed['before']:.0f} to {costs.removed['after']:.0f} on average"
        removed += f"; nothing of {by_number(costs.unreduced, 'one prompt', '{} prompts')}" if costs.unreduced else ""
    return {
        "prompt": ", ".join(f"{count:.0f} {kind}" for kind, count in costs.tokens.items()) + " tokens on average",
        "removed": removed,
        "seconds": f"{costs.first_token:.2f} to the first token (median), {costs.seconds:.0f} in all",
        "memory": f"{costs.peak_memory / 1e6:,.0f} MB at most",
    }


def _columns_of(costs: "Costs | None") -> tuple[str, ...]:
    if costs is None:
        return ("",) * 6
    kinds = [f"{costs.tokens.get(kind, 0):.0f}" for kind in ("text", "image", "motion")]
    removed = "" if costs.removed is None else f"{costs.removed['before']:.0f} to {costs.removed['after']:.0f}"
    return *kinds, removed, f"{costs.first_token:.2f}", f"{costs.peak_memory / 1e6:.0f}"


def _test(pair: "Pair") -> tuple[str, ...]:
    raw = pair.mcnemar.p_value if pair.clustered is None else pair.clustered
    return (
        pair.first,
        pair.second,
        f"{100 * pair.difference:+.1f} {_span(pair.interval)}",
        str(pair.mcnemar.only_first),
        str(pair.mcnemar.only_second),
        f"{raw:.2g}",
        "McNemar" if pair.clustered is None else "videos",
        f"{pair.p_value:.2g}",
    )
