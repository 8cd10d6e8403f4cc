"""Tables of other results than accuracy: losses, times, paired tests, and questions that could not be asked."""

from collections.abc import Sequence
from typing import Any, Final

from himmel._text import by_number
from himmel.evaluation.report.cells import Summarised, grouped
from himmel.evaluation.report.collect import Document, logged, own_logs
from himmel.evaluation.report.labels import changed_options
from himmel.evaluation.report.table import Table
from himmel.evaluation.runs.compare import compare_runs

_MOST_FAILURES: Final = 20


def costs_table(timings: Sequence[Document]) -> Table:
    """From a file to the first token: what `benchmarks.end_to_end` measured."""
    rows = []
    for document in timings:
        measured = [row for row in document.content["rows"] if "error" not in row]
        for row in document.content["rows"]:
            threads = by_number(row["threads"], "{} thread", "{} threads")
            name = f"{row['minutes']:g} min, {threads}: {row['method']}"
            if "error" in row:
                rows.append((name, *[""] * 5, row["error"]))
                continue
            dense = next((one for one in measured if one["method"] == "dense" and _alike(one, row)), None)
            rows.append(
                (
                    name,
                    f"{row['seconds']:.2f}",
                    f"{row['processor']:.2f}",
                    "" if dense is None else f"{dense['seconds'] / row['seconds']:.2f}",
                    str(sum(row["tokens"].values())),
                    f"{row['peak_mb']:.0f}",
                    "",
                )
            )
    hosts = sorted({str(document.content["host"]) for document in timings})
    return Table(
        name="table-end-to-end",
        title="From a file to the first token of an answer",
        columns=("video and method", "seconds", "processor, s", "dense / this", "tokens", "peak, MB", "failed"),
        rows=tuple(rows),
        notes=(f"Hosts: {', '.join(hosts)}. Opening and reading the file is in the seconds.",) if rows else (),
        command="python -m benchmarks.end_to_end -o FILE",
    )


def losses_table(training: Sequence[Document]) -> Table:
    """Table 8: the last loss of each training and stage, and the best on validation questions with its step."""
    rows = []
    for document in own_logs(training):
        losses = logged(document, "loss")
        checked = logged(document, "eval_loss")
        best = min(checked, key=lambda point: point[1], default=None)
        rows.append(
            (
                document.path.parents[1].name,
                document.path.stem,
                f"{losses[-1][1]:.3f}" if losses else "",
                f"{best[1]:.3f}" if best is not None else "",
                f"{best[0]:g}" if best is not None else "",
            )
        )
    return Table(
        name="table-08-losses",
        title="Table 8: losses of each training",
        columns=("training", "stage", "last loss", "best validation loss", "at step"),
        rows=tuple(rows),
        notes=("The last loss is the mean over the steps since the one logged before it.",),
        command="himmel train RECIPE -o FOLDER",
    )


def pairs_table(runs: Sequence[Summarised]) -> Table:
    """Paired tests of all runs on the same questions against the first of them, usual `dense` where there is one."""
    rows = []
    for questions, group in grouped(runs, lambda one: one.questions).items():
        if len(group) < 2:
            continue
        ordered = sorted(group, key=_before)
        pairs = compare_runs([one.run for one in ordered]).pairs
        for pair, other in zip(pairs, ordered[1:], strict=True):
            rows.append(
                (
                    f"{questions}: {ordered[0].label}",
                    other.label,
                    f"{100 * pair.difference:+.1f}",
                    f"{100 * pair.interval.low:+.1f} to {100 * pair.interval.high:+.1f}",
                    f"{pair.mcnemar.only_first} / {pair.mcnemar.only_second}",
                    "McNemar" if pair.decides == "mcnemar" else "by video",
                    f"{pair.p_value:.2g}",
                )
            )
    return Table(
        name="table-pairs",
        title="Runs on the same questions: the first of each group against the others",
        columns=("first", "second", "difference, points", "interval", "only first / second right", "test", "p"),
        rows=tuple(rows),
        notes=(
            "p is corrected by Holm for all comparisons with the same first run. The test is McNemar's, or, where "
            "questions share videos, one that exchanges all answers about a video together.",
        ),
        command="himmel eval BENCHMARK --data DIR --method METHOD -o RUN, for two methods",
    )


def _before(one: Summarised) -> tuple[bool, int]:
    """Sorts `dense` with its usual options first; the others keep their order."""
    method = one.run.header.method
    return method["name"] != "dense", len(changed_options(method))


def failures_table(runs: Sequence[Summarised]) -> Table:
    """Questions that could not be asked, which count as wrong."""
    rows = [
        (f"{one.questions}: {one.label}", identity, reason)
        for one in runs
        for identity, reason in sorted(one.summary.failed.items())[:_MOST_FAILURES]
    ]
    counts = [f"{one.questions}, {one.label}: {len(one.summary.failed)}" for one in runs if one.summary.failed]
    return Table(
        name="table-failures",
        title="Questions that could not be asked; each counts as wrong",
        columns=("run", "question", "reason"),
        rows=tuple(rows),
        notes=(f"In all: {'; '.join(counts)}. The first {_MOST_FAILURES} of each run are shown.",) if counts else (),
        empty="There are none.",
    )


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return (one["minutes"], one["threads"]) == (other["minutes"], other["threads"])
