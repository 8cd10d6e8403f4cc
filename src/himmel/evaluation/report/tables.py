"""The report's tables from results."""

import json
from collections.abc import Sequence
from typing import Final

from himmel.evaluation.report.cells import Summarised, grouped, mean_tokens, prompt_tokens, show
from himmel.evaluation.report.collect import Results
from himmel.evaluation.report.further_tables import costs_table, failures_table, losses_table, pairs_table
from himmel.evaluation.report.labels import changed_options, host_name, last_part, published_beside, show_published
from himmel.evaluation.report.nano_tables import benchmark_table, claims_table, row_tables
from himmel.evaluation.report.table import Table
from himmel.evaluation.runs.record import Header

_EVAL: Final = "himmel eval {benchmark} --data DIR --host HOST --method {method} -o RUN"
_PICTURES: Final = ("ocrbench", "realworldqa", "mathvista", "mathvision")
_NOT_COMPARED: Final = ("rgb_diff", "stream_pictures")
_INTERVALS: Final = (
    "Intervals are at 95 %: Wilson's, or by a bootstrap over videos where questions share one (marked v)."
)
_REPORTS: Final = (
    "`report` is what the report prints for the same host, benchmark, number of questions, method and options. On what "
    "an adapter was trained is not written in a run."
)
# Columns of the table of adapters, by the names of their settings.
_TRAINED: Final = {"streams": "streams", "encoder": "encoder", "fusion": "fusion", "lora_rank": "LoRA rank"}
_ASKED: Final = "In brackets after a benchmark: how many questions were asked."


def all_tables(results: Results, runs: Sequence[Summarised]) -> list[Table]:
    """Every table, those without any result too.

    Args:
        results: all that was found.
        runs: its whole runs with their figures.
    """
    return [
        main_table(runs),
        methods_table(runs),
        *(by_group_table(runs, group) for group in ("duration", "category", "task")),
        losses_table(results.training),
        option_table(runs, "num_anchors", number="12", what="anchors"),
        option_table(runs, "tokens_per_interval", number="13", what="motion tokens of an interval"),
        adapter_table(runs),
        pictures_table(runs),
        conditions_table(runs),
        benchmark_table(results.motion),
        *row_tables(results.rows),
        claims_table(results.claims),
        costs_table(results.timings),
        pairs_table(runs),
        failures_table(runs),
    ]


def main_table(runs: Sequence[Summarised]) -> Table:
    """Tables 1, 2 and 10: hosts and methods by benchmark, with the tokens of a prompt."""
    columns = list(grouped(runs, lambda one: one.questions))
    rows = []
    for (host, label), group in grouped(runs, lambda one: (host_name(one.run.header.host), one.label)).items():
        by_questions = grouped(group, lambda one: one.questions)
        cells = ["; ".join(map(_with_published, by_questions.get(column, ()))) for column in columns]
        name = label if label.startswith(host) else f"{host}: {label}"
        rows.append((name, *cells, mean_tokens(group)))
    return Table(
        name="table-01-main",
        title="Tables 1, 2 and 10: right answers by benchmark, %",
        columns=("method", *columns, "tokens"),
        rows=tuple(rows),
        notes=(
            _INTERVALS,
            _ASKED,
            "Tokens: mean of the prompts as they went into the language model, over all benchmarks of the row.",
            _REPORTS,
        ),
        command=_EVAL.format(benchmark="video_mme", method="dense"),
    )


def methods_table(runs: Sequence[Summarised]) -> Table:
    """Tables 3 and 5: methods on the same questions, with what they remove and how long they take."""
    rows = []
    for one in runs:
        if one.run.header.method["name"] in _NOT_COMPARED:
            continue
        costs = one.summary.costs
        tokens = {} if costs is None else costs.tokens
        removed = None if costs is None else costs.removed
        rows.append(
            (
                f"{one.questions}: {one.label}",
                show(one.summary.overall),
                *(f"{tokens.get(kind, 0):.0f}" for kind in ("text", "image", "motion")),
                "" if removed is None else f"{removed['before']:.0f} to {removed['after']:.0f}",
                "" if costs is None else f"{costs.first_token:.2f}",
                show_published(published_beside(one.run.header), costs=True),
            )
        )
    return Table(
        name="table-05-methods",
        title="Tables 3 and 5: methods, the tokens they need, what they remove, and the time to the first token",
        columns=("method", "right, %", "text", "image", "motion", "removed", "first token, s", "report"),
        rows=tuple(rows),
        notes=(
            _INTERVALS,
            _ASKED,
            "Text, image and motion: mean tokens of a prompt. Removed: mean tokens of pictures, or entries of each "
            "layer's cache, before and after.",
            _REPORTS,
        ),
        command=_EVAL.format(benchmark="video_mme", method="look_m"),
    )


def by_group_table(runs: Sequence[Summarised], group: str) -> Table:
    """Tables 4, 21, 22 and 25: right answers by duration, category or task."""
    number = {"duration": "Tables 4, 21 and 25", "category": "By category", "task": "Table 22"}[group]
    rows = []
    for one in runs:
        by = one.summary.by
        if group == "category" and by.get("category") == by.get("task"):
            # A benchmark whose tasks are its categories, such as MVBench: in the table of tasks.
            continue
        for name, cell in by.get(group, {}).items():
            beside = show_published(published_beside(one.run.header, group=f"{group}: {name}"))
            rows.append((f"{one.questions}: {one.label}", name, str(cell.accuracy.total), show(cell), beside))
    return Table(
        name=f"table-by-{group}",
        title=f"{number}: right answers by {group}, %",
        columns=("run", group, "asked", "right, %", "report"),
        rows=tuple(rows),
        notes=(_INTERVALS, _REPORTS),
        command=_EVAL.format(benchmark="video_mme", method="himmel"),
    )


def option_table(runs: Sequence[Summarised], option: str, *, number: str, what: str) -> Table:
    """Tables 12 and 13: runs of `himmel` that differ in one option, set by the method or as the adapter was trained."""
    himmel = [one for one in runs if one.run.header.method["name"] == "himmel"]
    alike = grouped(himmel, lambda one: (one.questions, _all_but(one.run.header, option)))
    chosen = [
        one
        for (_, _), group in alike.items()
        if len({one.run.header.setting(option) for one in group}) > 1
        or any(set(changed_options(one.run.header.method)) == {option} for one in group)
        for one in group
        if set(changed_options(one.run.header.method)) <= {option} and one.run.header.setting(option) is not None
    ]
    chosen.sort(key=lambda one: (one.questions, one.run.header.setting(option)))
    return Table(
        name=f"table-{number}-{option.replace('_', '-')}",
        title=f"Table {number}: {what}",
        columns=("questions", what, "right", "right, %", "tokens", "report"),
        rows=tuple(
            (
                one.questions,
                str(one.run.header.setting(option)),
                _count(one),
                show(one.summary.overall),
                mean_tokens([one]),
                show_published(published_beside(one.run.header), costs=True),
            )
            for one in chosen
        ),
        notes=(_INTERVALS, _REPORTS),
        command=f"{_EVAL.format(benchmark='video_mme', method='himmel')} --option {option}=N",
    )


def _all_but(header: Header, option: str) -> str:
    """Host, method and how the adapter was trained, but for one option."""
    trained = {name: value for name, value in (header.trained or {}).items() if name != option}
    method = {name: value for name, value in header.method.items() if name != option}
    return json.dumps([header.host, method, trained, header.settings], sort_keys=True, default=list)


def adapter_table(runs: Sequence[Summarised]) -> Table:
    """Tables 11, 14 to 16, 18 to 20 and 26: one row for each adapter, by the folder that its recipe wrote."""
    return Table(
        name="table-11-adapters",
        title="Tables 11, 14 to 16, 18 to 20 and 26: adapters, each by the name of its recipe's folder",
        columns=("adapter", "questions", "method", *_TRAINED.values(), "right", "right, %", "tokens"),
        rows=tuple(
            (
                f"{host_name(one.run.header.host)}: {last_part(one.run.header.adapter)}",
                one.questions,
                one.label,
                *(_show_trained(one.run.header, name) for name in _TRAINED),
                _count(one),
                show(one.summary.overall),
                mean_tokens([one]),
            )
            for one in runs
            if one.run.header.adapter is not None
        ),
        notes=(_INTERVALS, "`himmel recipe list` names the recipe of each row of the report's tables."),
        command="himmel train RECIPE, then himmel eval BENCHMARK --data DIR --adapter FOLDER -o RUN",
    )


def _show_trained(header: Header, name: str) -> str:
    value = header.setting(name)
    return ", ".join(value) if isinstance(value, list | tuple) else "" if value is None else str(value)


def pictures_table(runs: Sequence[Summarised]) -> Table:
    """Table 17: single pictures with the adapter attached (`himmel`) and detached (`dense`)."""
    return Table(
        name="table-17-pictures",
        title="Table 17: single pictures, the adapter attached or detached",
        columns=("host and benchmark", "adapter", "points, %", "report"),
        rows=tuple(
            (
                f"{host_name(one.run.header.host)}: {one.questions}",
                "detached" if one.run.header.adapter is None else f"attached: {last_part(one.run.header.adapter)}",
                f"{100 * one.summary.overall.points:.1f}",
                show_published(published_beside(one.run.header)),
            )
            for one in runs
            if one.run.header.benchmark in _PICTURES
        ),
        notes=("OCRBench's score of 1,000 is ten times its per cent.", _REPORTS),
        command=_EVAL.format(benchmark="ocrbench", method="himmel"),
    )


def conditions_table(runs: Sequence[Summarised]) -> Table:
    """Appendix S, tables 29 to 32: the five conditions."""
    rows = []
    for one in runs:
        header = one.run.header
        if header.method["name"] != "stream_pictures":
            continue
        costs = one.summary.costs
        tokens = "" if costs is None else f"{prompt_tokens(costs.tokens):.0f}"
        rows.append(
            (
                f"{host_name(header.host)}: {one.questions}",
                str(header.method["condition"]),
                _count(one),
                show(one.summary.overall),
                tokens,
            )
        )
    return Table(
        name="table-29-conditions",
        title="Tables 29 to 32: five conditions, from frames alone (A) to residual maps alone (E)",
        columns=("host and questions", "condition", "right", "right, %", "tokens"),
        rows=tuple(sorted(rows)),
        notes=(_INTERVALS,),
        command="himmel eval conditions QUESTIONS --data DIR --host HOST -o RUNS",
    )


def _count(one: Summarised) -> str:
    counted = one.summary.overall.accuracy
    return f"{counted.correct} of {counted.total}"


def _with_published(one: Summarised) -> str:
    """The cell of the main table; of MLVU also the mean over its tasks, which is what the report prints."""
    cell = show(one.summary.overall)
    beside = sorted({entry.value for entry in published_beside(one.run.header)})
    if not beside:
        return cell
    values = " or ".join(f"{value:g}" for value in beside)
    mean = one.summary.figures.get("M-Avg")
    return f"{cell} (report {values})" if mean is None else f"{cell}, M-Avg {100 * mean:.1f} (report {values})"
