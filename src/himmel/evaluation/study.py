"""The same questions by several methods, a run for each, side by side (report, appendix S: five conditions)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

from himmel.choices import Interleaving
from himmel.errors import HimmelError
from himmel.evaluation.items import Benchmark, Item
from himmel.evaluation.runs.compare import Pair, compare_folders
from himmel.evaluation.runs.posing import Posing
from himmel.evaluation.runs.record import ANSWERS, Row, read_rows, spent_on
from himmel.evaluation.runs.runner import Asker, run_benchmark
from himmel.evaluation.runs.summary import RunSummary
from himmel.methods.choice import build
from himmel.methods.conditions.show import LONGEST_SIDE
from himmel.methods.protocol import Method


@dataclass(frozen=True)
class Asking:
    """What a study asks.

    Attributes:
        benchmark, items, name, data: see `run_benchmark`.
        folder: of the study; each run has a folder in it.
    """

    benchmark: Benchmark
    items: Sequence[Item]
    name: str
    data: Path
    folder: Path


@dataclass(frozen=True)
class StudyRun:
    """One run of a study.

    Attributes:
        folder: of the run.
        rows: its answers.
        summary: of all of them; None while some are missing.
        unanswered: questions that got no answer for a reason that may pass, by id.
        cost: of its answers; None where it isn't known of any.
        cut: how many answers ended at the limit of tokens.
    """

    folder: Path
    rows: tuple[Row, ...]
    summary: RunSummary | None
    unanswered: Mapping[str, str]
    cost: float | None
    cut: int


@dataclass(frozen=True)
class Study:
    """What came out.

    Attributes:
        runs: by name, as far as they were begun.
        pairs: the first run against each of the others; empty unless there are two that are whole.
        stopped: why not all was asked, in one sentence; None if it was.
    """

    runs: Mapping[str, StudyRun]
    pairs: tuple[Pair, ...]
    stopped: str | None

    def to_json(self) -> dict[str, Any]:
        """As plain dictionaries, without the answers."""
        runs = {
            name: {
                "run": str(run.folder),
                "answers": len(run.rows),
                "cost": run.cost,
                "cut": run.cut,
                "unanswered": dict(run.unanswered),
                "summary": None if run.summary is None else run.summary.to_json(),
            }
            for name, run in self.runs.items()
        }
        return {"runs": runs, "pairs": [asdict(pair) for pair in self.pairs], "stopped": self.stopped}


def choose_methods(
    conditions: Sequence[str], names: Sequence[str], *, longest_side: int = LONGEST_SIDE
) -> dict[str, Method]:
    """The methods of a study by the names of their runs: conditions, and others with their usual options.

    Args:
        conditions: "A" to "E"; all of them if neither conditions nor names are given.
        names: of other methods.
        longest_side: of the conditions' pictures.

    Raises:
        UsageError: there is no such condition or method.
    """
    if not conditions and not names:
        conditions = get_args(Interleaving)
    methods = {one: build("stream_pictures", condition=one, longest_side=longest_side) for one in conditions}
    return methods | {name: build(name) for name in names}


def study_by_host(asking: Asking, methods: Mapping[str, Method], asker: Asker, *, posing: Posing) -> Study:
    """Ask a local host, one method after the other in place of the asker's own; see `run_benchmark`.

    Raises:
        UsageError, HimmelError: as `run_benchmark`.
    """
    runs: dict[str, StudyRun] = {}
    for name, method in methods.items():
        folder = asking.folder / name
        summary = run_benchmark(
            asking.benchmark,
            asking.items,
            name=asking.name,
            data=asking.data,
            folder=folder,
            asker=replace(asker, method=method),
            posing=posing,
        )
        runs[name] = describe_run(folder, read_rows(folder / ANSWERS), summary, {})
    return Study(runs, compare_first(runs), None)


def describe_run(
    folder: Path, rows: Sequence[Row], summary: RunSummary | None, unanswered: Mapping[str, str]
) -> StudyRun:
    """What is to be told of a run."""
    records = [row.record for row in rows if row.record is not None]
    priced = any(record.cost is not None for record in records)
    cut = sum(record.finish == "length" for record in records)
    return StudyRun(folder, tuple(rows), summary, unanswered, spent_on(rows) if priced else None, cut)


def compare_first(runs: Mapping[str, StudyRun]) -> tuple[Pair, ...]:
    """The first run against each of the others, as far as they are whole."""
    whole = [run.folder for run in runs.values() if run.summary is not None]
    if len(whole) < 2 or next(iter(runs.values())).summary is None:
        return ()
    return compare_folders(whole).pairs


def raise_if_stopped(study: Study) -> None:
    """Turn what stopped a study into an error, once its table is printed.

    Raises:
        HimmelError: not all was asked.
    """
    if study.stopped is not None:
        raise HimmelError(study.stopped)
