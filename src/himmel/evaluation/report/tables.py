"""The report's tables from results."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from himmel.evaluation.report.collect import Results
from himmel.evaluation.report.labels import (
    BENCHMARKS,
    Published,
    benchmark_name,
    host_name,
    method_label,
    published_beside,
    run_labels,
)
from himmel.evaluation.report.table import Table
from himmel.evaluation.runs.compare import compare_runs
from himmel.evaluation.runs.record import Run
from himmel.evaluation.runs.summary import Cell, RunSummary, summarise_run

_EVAL: Final = "himmel eval {benchmark} --data DIR --host HOST --method {method} -o RUN"
_MAIN: Final = ("video_mme", "mvbench", "mlvu", "mathvista", "mathvision")
_PICTURES: Final = ("ocrbench", "realworldqa", "mathvista", "mathvision")
_TRAINING_FREE: Final = (
    *("dense", "panel", "look_m", "hermes", "codec_frames", "motion_text"),
    *("uniform_drop", "evs", "vidcom2", "dycoke", "tome", "metom", "himmel", "anchors"),
)
_CHANCE: Final = "Intervals are at 95 %: Wilson's, or by a bootstrap over videos where questions share one (marked v)."

_REPORTS: Final = (
    "In brackets after `report`: what the report prints for the same host, benchmark, number of questions, method and "
    "options."
)
Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Summarised:
    """A run, its figures, and what it is called among those it is shown with."""

    run: Run
    summary: RunSummary
    label: str


def summarise_all(runs: Sequence[Run]) -> list[Summarised]:
    """Every run with its figures."""
    labels = run_labels([run.header for run in runs])
    return [Summarised(run, summarise_run(run.rows), label) for run, label in zip(runs, labels, strict=True)]


def all_tables(results: Results) -> list[Table]:
    """Every table, those without any result too."""
    runs = summarise_all(results.runs)
    return [
        main_table(runs),
        training_free_table(runs),
        *(by_group_table(runs, group) for group in ("duration", "category", "task")),
        option_table(runs, "num_anchors", number="12", what="Anchors"),
        option_table(runs, "tokens_per_interval", number="13", what="Motion tokens of an interval"),
        adapter_table(runs),
        pictures_table(runs),
        conditions_table(runs),
        costs_table(results),
        pairs_table(results.runs),
        failures_table(runs),
    ]


def main_table(runs: Sequence[Summarised]) -> Table:
    """Tables 1, 2 and 10: hosts and methods by benchmark, with the tokens of a prompt."""
    found = {one.run.header.benchmark for one in runs}
    benchmarks = [name for name in BENCHMARKS if name in found] + sorted(found - set(BENCHMARKS))
    rows = []
    for (host, method), group in _grouped(runs, lambda one: (host_name(one.run.header.host), _method(one))).items():
        cells = [_accuracy_of(group, benchmark) for benchmark in benchmarks]
        theirs = [_theirs(group, benchmark) for benchmark in benchmarks]
        tokens = _mean_tokens(group)
        rows.append((f"{host}: {method}", *(_beside(*pair) for pair in zip(cells, theirs, strict=True)), tokens))
    return Table(
        name="table-01-main",
        title="Tables 1, 2 and 10: right answers by benchmark, %",
        columns=("method", *map(benchmark_name, benchmarks), "tokens"),
        rows=tuple(rows),
        notes=(
            _CHANCE,
            "Tokens: mean of the prompts as they went into the language model, over all benchmarks of the row.",
            _REPORTS,
        ),
        command=_EVAL.format(benchmark="video_mme", method="dense"),
    )


def training_free_table(runs: Sequence[Summarised]) -> Table:
    """Tables 3 and 5: methods on the same questions, with what they remove and how long they take."""
    chosen = [one for one in runs if one.run.header.method["name"] in _TRAINING_FREE]
    rows = []
    for one in sorted(chosen, key=_place):
        costs = one.summary.costs
        tokens = {} if costs is None else costs.tokens
        removed = None if costs is None else costs.removed
        beside = published_beside(one.run.header)
        rows.append(
            (
                f"{benchmark_name(one.run.header.benchmark)}: {one.label}",
                str(one.summary.overall.accuracy.total),
                _show(one.summary.overall),
                *(f"{tokens.get(kind, 0):.0f}" for kind in ("text", "image", "motion")),
                "" if removed is None else f"{removed['before']:.0f} to {removed['after']:.0f}",
                "" if costs is None else f"{costs.first_token:.2f}",
                "" if beside is None else _published(beside),
            )
        )
    return Table(
        name="table-05-training-free",
        title="Tables 3 and 5: methods, the tokens they need, what they remove, and the time to the first token",
        columns=("method", "asked", "right, %", "text", "image", "motion", "removed", "first token, s", "report"),
        rows=tuple(rows),
        notes=(_CHANCE, "Removed: mean tokens of pictures, or entries of each layer's cache, before and after."),
        command=_EVAL.format(benchmark="video_mme", method="look_m"),
    )


def by_group_table(runs: Sequence[Summarised], group: str) -> Table:
    """Tables 4, 21, 22 and 25: right answers by duration, category or task."""
    number = {"duration": "Tables 4, 21 and 25", "category": "Table 22", "task": "Table 22"}[group]
    rows = []
    for one in runs:
        for name, cell in one.summary.by.get(group, {}).items():
            beside = published_beside(one.run.header, group=f"{group}: {name}")
            label = f"{benchmark_name(one.run.header.benchmark)}: {one.label}"
            rows.append(
                (label, name, str(cell.accuracy.total), _show(cell), "" if beside is None else _published(beside))
            )
    return Table(
        name=f"table-by-{group}",
        title=f"{number}: right answers by {group}, %",
        columns=("run", group, "asked", "right, %", "report"),
        rows=tuple(rows),
        notes=(_CHANCE,),
        command=_EVAL.format(benchmark="video_mme", method="himmel"),
    )


def option_table(runs: Sequence[Summarised], option: str, *, number: str, what: str) -> Table:
    """Tables 12 and 13: runs of `himmel` that differ in one option."""
    chosen = [
        one
        for one in runs
        if one.run.header.method["name"] == "himmel" and one.run.header.method.get(option) is not None
    ]
    rows = []
    for one in sorted(chosen, key=lambda one: (one.run.header.benchmark, one.run.header.method[option])):
        beside = published_beside(one.run.header)
        accuracy = one.summary.overall.accuracy
        rows.append(
            (
                f"{benchmark_name(one.run.header.benchmark)}: {one.run.header.method[option]}",
                f"{accuracy.correct} of {accuracy.total}",
                _show(one.summary.overall),
                _mean_tokens([one]),
                "" if beside is None else _published(beside),
            )
        )
    return Table(
        name=f"table-{number}-{option.replace('_', '-')}",
        title=f"Table {number}: {what.lower()}",
        columns=(what.lower(), "right", "right, %", "tokens", "report"),
        rows=tuple(rows),
        command=f"{_EVAL.format(benchmark='video_mme', method='himmel')} --option {option}=N",
    )


def adapter_table(runs: Sequence[Summarised]) -> Table:
    """Tables 11, 14 to 16, 18 to 20 and 26: one row for each adapter, by the folder that its recipe wrote."""
    chosen = [one for one in runs if one.run.header.adapter is not None]
    rows = [
        (
            f"{host_name(one.run.header.host)}: {str(one.run.header.adapter).rstrip('/').rsplit('/', 1)[-1]}",
            benchmark_name(one.run.header.benchmark),
            _method(one),
            f"{one.summary.overall.accuracy.correct} of {one.summary.overall.accuracy.total}",
            _show(one.summary.overall),
            _mean_tokens([one]),
        )
        for one in chosen
    ]
    return Table(
        name="table-11-adapters",
        title="Tables 11, 14 to 16, 18 to 20 and 26: adapters, each by the name of its recipe's folder",
        columns=("adapter", "benchmark", "method", "right", "right, %", "tokens"),
        rows=tuple(rows),
        notes=(_CHANCE, "`himmel recipe list` names the recipe of each row of the report's tables."),
        command="himmel train --recipe RECIPE, then himmel eval BENCHMARK --adapter FOLDER -o RUN",
    )


def pictures_table(runs: Sequence[Summarised]) -> Table:
    """Table 17: single pictures with the adapter attached (`himmel`) and detached (`dense`)."""
    chosen = [one for one in runs if one.run.header.benchmark in _PICTURES]
    rows = []
    for one in chosen:
        beside = published_beside(one.run.header)
        attached = "attached" if one.run.header.adapter is not None else "detached"
        label = f"{host_name(one.run.header.host)}: {benchmark_name(one.run.header.benchmark)}"
        rows.append(
            (
                label,
                attached,
                f"{100 * one.summary.overall.points:.1f}",
                str(one.summary.overall.accuracy.total),
                "" if beside is None else _published(beside),
            )
        )
    return Table(
        name="table-17-pictures",
        title="Table 17: single pictures, the adapter attached or detached",
        columns=("host and benchmark", "adapter", "points, %", "asked", "report"),
        rows=tuple(rows),
        notes=("OCRBench's score of 1,000 is ten times its per cent.",),
        command=_EVAL.format(benchmark="ocrbench", method="himmel"),
    )


def conditions_table(runs: Sequence[Summarised]) -> Table:
    """Tables 27 to 30: the five conditions of appendix S."""
    chosen = [one for one in runs if "condition" in {**one.run.header.method, **one.run.header.settings}]
    rows = []
    for one in chosen:
        header = one.run.header
        condition = {**header.method, **header.settings}["condition"]
        tokens = "" if one.summary.costs is None else f"{sum(one.summary.costs.tokens.values()):.0f}"
        label = f"{host_name(header.host)}: {benchmark_name(header.benchmark)}"
        rows.append(
            (label, str(condition), str(one.summary.overall.accuracy.total), _show(one.summary.overall), tokens)
        )
    return Table(
        name="table-27-conditions",
        title="Tables 27 to 30: five conditions, from frames alone (A) to residuals alone (E)",
        columns=("host and benchmark", "condition", "asked", "right, %", "tokens"),
        rows=tuple(sorted(rows)),
        notes=(_CHANCE,),
        command="himmel eval conditions QUESTIONS --data DIR --host HOST -o RUN",
    )


def costs_table(results: Results) -> Table:
    """From a file to the first token: what `benchmarks.end_to_end` measured."""
    rows = []
    for document in results.timings:
        measured = [row for row in document.content["rows"] if "error" not in row]
        for row in measured:
            dense = next((one for one in measured if one["method"] == "dense" and _alike(one, row)), None)
            rows.append(
                (
                    f"{row['minutes']:g} min, {row['threads']} threads: {row['method']}",
                    f"{row['seconds']:.2f}",
                    f"{row['processor']:.2f}",
                    "" if dense is None else f"{dense['seconds'] / row['seconds']:.2f}",
                    str(sum(row["tokens"].values())),
                    f"{row['peak_mb']:.0f}",
                )
            )
    return Table(
        name="table-end-to-end",
        title="From a file to the first token of an answer",
        columns=("video and method", "seconds", "processor, s", "dense / this", "tokens", "peak, MB"),
        rows=tuple(rows),
        command="python -m benchmarks.end_to_end -o FILE",
    )


def pairs_table(runs: Sequence[Run]) -> Table:
    """Paired tests of all runs on the same questions against the first of them, `dense` where there is one."""
    rows = []
    for group in _grouped(runs, lambda run: (run.header.benchmark, run.header.questions_sha256)).values():
        if len(group) < 2:
            continue
        ordered = sorted(group, key=lambda run: (run.header.method["name"] != "dense", str(run.folder)))
        for pair in compare_runs(ordered).pairs:
            rows.append(
                (
                    f"{benchmark_name(ordered[0].header.benchmark)}: {pair.first}",
                    pair.second,
                    f"{100 * pair.difference:+.1f}",
                    f"{100 * pair.interval.low:+.1f} to {100 * pair.interval.high:+.1f}",
                    f"{pair.mcnemar.only_first} / {pair.mcnemar.only_second}",
                    pair.decides,
                    f"{pair.p_value:.2g}",
                )
            )
    return Table(
        name="table-pairs",
        title="Runs on the same questions, the first of each group against the others",
        columns=("first", "second", "difference, points", "interval", "only first / second right", "test", "p"),
        rows=tuple(rows),
        notes=(
            "p is corrected by Holm for all comparisons with the same first run. The test is McNemar's, or exchanges "
            "all answers about a video together where questions share videos.",
        ),
        command="himmel eval compare RUN RUN",
    )


def failures_table(runs: Sequence[Summarised]) -> Table:
    """Questions that could not be asked, which count as wrong."""
    rows = [
        (one.label, benchmark_name(one.run.header.benchmark), identity, reason)
        for one in runs
        for identity, reason in sorted(one.summary.failed.items())[:20]
    ]
    counts = [f"{one.label}: {len(one.summary.failed)}" for one in runs if one.summary.failed]
    return Table(
        name="table-failures",
        title="Questions that could not be asked; each counts as wrong",
        columns=("run", "benchmark", "question", "reason"),
        rows=tuple(rows),
        notes=(f"In all: {', '.join(counts)}; the first 20 of each run are shown.",) if counts else (),
        command="there are none",
    )


def _grouped(values: Iterable[Value], key: Callable[[Value], Key]) -> dict[Key, list[Value]]:
    found: dict[Key, list[Value]] = {}
    for value in values:
        found.setdefault(key(value), []).append(value)
    return found


def _method(one: Summarised) -> str:
    return method_label(one.run.header.method)


def _place(one: Summarised) -> tuple[str, int, str]:
    header = one.run.header
    return header.benchmark, _TRAINING_FREE.index(header.method["name"]), one.label


def _accuracy_of(group: Sequence[Summarised], benchmark: str) -> Cell | None:
    """Of the first run on the benchmark; a second one with the same options is in the other tables."""
    return next((one.summary.overall for one in group if one.run.header.benchmark == benchmark), None)


def _theirs(group: Sequence[Summarised], benchmark: str) -> Published | None:
    return next((published_beside(one.run.header) for one in group if one.run.header.benchmark == benchmark), None)


def _beside(cell: Cell | None, theirs: Published | None) -> str:
    if cell is None:
        return ""
    return _show(cell) if theirs is None else f"{_show(cell)} (report {theirs.value:.1f})"


def _show(cell: Cell) -> str:
    mark = " v" if cell.decides == "cluster" else ""
    return f"{100 * cell.accuracy.share:.1f} [{100 * cell.interval.low:.1f}, {100 * cell.interval.high:.1f}]{mark}"


def _published(beside: Published) -> str:
    context = "" if beside.context_k is None else f", {beside.context_k:g} k tokens"
    seconds = "" if beside.seconds is None else f", {beside.seconds:g} s"
    return f"{beside.value:g}{context}{seconds} (table {beside.table})"


def _mean_tokens(group: Sequence[Summarised]) -> str:
    """Mean tokens of a prompt over all questions of some runs that could be asked."""
    costs = [(one.summary.costs, len(one.run.rows) - len(one.summary.failed)) for one in group]
    asked = sum(count for cost, count in costs if cost is not None)
    total = sum(sum(cost.tokens.values()) * count for cost, count in costs if cost is not None)
    return f"{total / asked:.0f}" if asked else ""


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return (one["minutes"], one["threads"]) == (other["minutes"], other["threads"])
