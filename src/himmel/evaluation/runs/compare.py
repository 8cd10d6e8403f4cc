"""Two or more runs on the same questions, side by side, with paired tests."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from himmel.errors import UsageError
from himmel.evaluation.runs.record import Run, load_run
from himmel.evaluation.runs.summary import RunSummary, summarise_run
from himmel.evaluation.statistics import (
    Interval,
    PairedComparison,
    cluster_interval,
    cluster_p_value,
    compare_paired,
    correct_for_many,
)


@dataclass(frozen=True)
class Pair:
    """One run against another on the same questions.

    Attributes:
        first, second: names of the runs.
        difference: share of right answers of the second minus that of the first.
        interval: of the difference, by the cluster bootstrap over videos.
        mcnemar: questions that only one of them got right, and the exact p-value of McNemar's test, in which each
            question counts by itself.
        clustered: p-value where all answers about a video are exchanged together; None if no questions share one.
        decides: which of the two p-values to go by: `cluster` where questions share videos.
        p_value: that one, after Holm's correction for all pairs of this comparison.
    """

    first: str
    second: str
    difference: float
    interval: Interval
    mcnemar: PairedComparison
    clustered: float | None
    decides: Literal["mcnemar", "cluster"]
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """Runs side by side: each run's figures by its name, and the first run against each of the others."""

    runs: dict[str, RunSummary]
    pairs: tuple[Pair, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain dictionaries."""
        return {
            "runs": {name: summary.to_json() for name, summary in self.runs.items()},
            "pairs": [asdict(pair) for pair in self.pairs],
        }


def compare_folders(folders: Sequence[Path]) -> Comparison:
    """Compare runs by their folders; see `compare_runs`.

    Raises:
        UsageError: as `compare_runs`.
        HimmelError: a run is damaged or not whole.
    """
    return compare_runs([load_run(folder) for folder in folders])


def compare_runs(runs: Sequence[Run]) -> Comparison:
    """Compare the first run with each of the others.

    Args:
        runs: at least two, whole, on the same questions.

    Raises:
        UsageError: there are fewer than two, one is there twice, or they answer different questions.
    """
    if len(runs) < 2:
        raise UsageError(f"{len(runs)} run leaves nothing to compare; name two or more.")
    names = name_runs(runs)
    for other in runs[1:]:
        _check_same_questions(runs[0], other)
    found = [_pair(names[0], runs[0], name, run) for name, run in zip(names[1:], runs[1:], strict=True)]
    corrected = correct_for_many([pair.p_value for pair in found])
    return Comparison(
        runs={name: summarise_run(run.rows) for name, run in zip(names, runs, strict=True)},
        pairs=tuple(Pair(**{**vars(pair), "p_value": value}) for pair, value in zip(found, corrected, strict=True)),
    )


def name_runs(runs: Sequence[Run]) -> list[str]:
    """The name of each run's folder, or its whole path where two folders have the same name.

    Raises:
        UsageError: a folder is there twice.
    """
    paths = [run.folder.resolve() for run in runs]
    if len(set(paths)) < len(paths):
        raise UsageError("A run is named twice; name each folder once.")
    short = [path.name for path in paths]
    return short if len(set(short)) == len(short) else [str(run.folder) for run in runs]


def _check_same_questions(first: Run, second: Run) -> None:
    if first.header.questions_sha256 == second.header.questions_sha256:
        return
    mine, theirs = ({row.id for row in run.rows} for run in (first, second))
    shared = len(mine & theirs)
    what = f"share {shared} ids of questions" if mine != theirs else "have the same ids for different questions"
    raise UsageError(
        f"The runs {str(first.folder)!r} ({len(mine)} questions) and {str(second.folder)!r} ({len(theirs)}) {what}; "
        "runs are compared only on the very same questions, so ask both with the same benchmark, data and --limit."
    )


def _pair(name: str, first: Run, other: str, second: Run) -> Pair:
    """The comparison, its p-value as yet uncorrected."""
    theirs = {row.id: row for row in second.rows}
    mine = sorted(first.rows, key=lambda row: row.id)
    right = [row.right for row in mine], [theirs[row.id].right for row in mine]
    points = [float(one) for one in right[0]], [float(one) for one in right[1]]
    clusters = [row.cluster for row in mine]
    differences = [after - before for before, after in zip(*points, strict=True)]
    mcnemar = compare_paired(*right)
    clustered = cluster_p_value(*points, clusters) if len(set(clusters)) < len(clusters) else None
    return Pair(
        first=name,
        second=other,
        difference=sum(differences) / len(differences),
        interval=cluster_interval(differences, clusters),
        mcnemar=mcnemar,
        clustered=clustered,
        decides="mcnemar" if clustered is None else "cluster",
        p_value=mcnemar.p_value if clustered is None else clustered,
    )
