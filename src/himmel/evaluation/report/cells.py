"""A run with its figures, and how these are written in a table."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from himmel.errors import UsageError
from himmel.evaluation.benchmarks import benchmark
from himmel.evaluation.report.labels import changed_options, host_name, question_sets, run_labels
from himmel.evaluation.runs.record import Run
from himmel.evaluation.runs.summary import Cell, Figures, RunSummary, summarise_run

METHOD_ORDER: Final = (
    *("dense", "panel", "look_m", "hermes", "codec_frames", "motion_text"),
    *("uniform_drop", "evs", "vidcom2", "dycoke", "tome", "metom", "himmel", "anchors", "rgb_diff"),
    "stream_pictures",
)
"""Of the rows of a table."""
Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Summarised:
    """A run, its figures, what it is called among those on the same questions, and what these are called."""

    run: Run
    summary: RunSummary
    label: str
    questions: str


def summarise_all(runs: Sequence[Run]) -> list[Summarised]:
    """Every run with its figures, ordered by questions, method and label."""
    headers = [run.header for run in runs]
    labels, sets = run_labels(headers), question_sets(headers)
    found = [
        Summarised(
            run,
            summarise_run(run.rows, figures=_figures(run.header.benchmark)),
            label,
            sets[run.header.benchmark, run.header.questions_sha256],
        )
        for run, label in zip(runs, labels, strict=True)
    ]
    order = list(sets.values())
    return sorted(found, key=lambda one: (order.index(one.questions), *_place(one)))


def _figures(name: str) -> Figures | None:
    """What the benchmark's authors report; None for a file of questions."""
    try:
        return benchmark(name).figures
    except UsageError:
        return None


def _place(one: Summarised) -> tuple[str, int, int, int, str, str]:
    header = one.run.header
    name = str(header.method["name"])
    number = next((header.method[key] for key in ("num_frames", "num_anchors") if header.method.get(key)), 0)
    place = METHOD_ORDER.index(name) if name in METHOD_ORDER else len(METHOD_ORDER)
    return (
        host_name(header.host),
        place,
        len(changed_options(header.method)),
        int(number),
        one.label,
        str(one.run.folder),
    )


def grouped(values: Iterable[Value], key: Callable[[Value], Key]) -> dict[Key, list[Value]]:
    """Values by their key, both in the order in which they come."""
    found: dict[Key, list[Value]] = {}
    for value in values:
        found.setdefault(key(value), []).append(value)
    return found


def show(cell: Cell) -> str:
    """Per cent with the interval that decides; `v` marks one over videos."""
    mark = " v" if cell.decides == "cluster" else ""
    return f"{100 * cell.accuracy.share:.1f} [{100 * cell.interval.low:.1f}, {100 * cell.interval.high:.1f}]{mark}"


def mean_tokens(runs: Sequence[Summarised]) -> str:
    """Mean tokens of a prompt over all questions of some runs that could be asked; empty if there are none."""
    costs = [(one.summary.costs, len(one.run.rows) - len(one.summary.failed)) for one in runs]
    asked = sum(count for cost, count in costs if cost is not None)
    total = sum(prompt_tokens(cost.tokens) * count for cost, count in costs if cost is not None)
    return f"{total / asked:.0f}" if asked else ""


def prompt_tokens(tokens: Mapping[str, float]) -> float:
    """Tokens of a prompt; those of an API's answer are not part of it."""
    return sum(count for kind, count in tokens.items() if kind != "answer")
