"""A run's table: accuracy by category, task and duration, with intervals that know which questions share a video."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any, Final

from himmel.evaluation.items import Scored
from himmel.evaluation.runs.record import Evidence, Row
from himmel.evaluation.statistics import Accuracy, Decides, Interval, accuracy, cluster_interval, wider

MINUTE: Final = 60.0
_UNNAMED: Final = "(none)"
Figures = Callable[[Sequence[Scored]], Mapping[str, float]]


@dataclass(frozen=True)
class Cell:
    """Accuracy over some questions.

    Attributes:
        accuracy: right answers, with Wilson's interval.
        clustered: interval by videos, where questions share one; else None.
        decides: which of the two to go by, the wider one.
        videos: about how many different videos the questions are.
        points: mean points, 0..1; the share of right answers unless a benchmark gives parts of a point.
    """

    accuracy: Accuracy
    clustered: Interval | None
    decides: Decides
    videos: int
    points: float

    @property
    def interval(self) -> Interval:
        """The one that decides."""
        if self.decides == "cluster" and self.clustered is not None:
            return self.clustered
        return Interval(self.accuracy.low, self.accuracy.high)

    def to_json(self) -> dict[str, Any]:
        """As plain dictionaries, with the share of right answers."""
        return {**asdict(self), "accuracy": {**asdict(self.accuracy), "share": self.accuracy.share}}


@dataclass(frozen=True)
class Costs:
    """What the answers of a run took.

    Attributes:
        tokens: mean number of prompt tokens by kind.
        removed: mean number of tokens or cache entries before and after, where the method removes any.
        first_token: median seconds from the call, the file unopened, to the first token or the options' scores; over
            the answers that their video was read for, not those that found it read for an earlier question.
        seconds: sum of the wall time of all stages.
        peak_memory: the most that the process held, in bytes.
        cost: of all answers by an API, as far as it is known; None where it is known of none.
        unreduced: prompts of which the method, though it removes something of others, removed nothing.
    """

    tokens: Mapping[str, float]
    removed: Mapping[str, float] | None
    first_token: float
    seconds: float
    peak_memory: int
    cost: float | None = None
    unreduced: int = 0


@dataclass(frozen=True)
class RunSummary:
    """A whole run in figures.

    Attributes:
        overall: of all questions.
        by: the same for each category, task and duration, where the benchmark has more than one.
        figures: what the benchmark's authors report, 0..1.
        harness: mean points that lmms-eval's rules give for the same texts; None where options were scored.
        unread: answers in which no answer was found.
        failed: ids of questions that could not be asked, each with the reason; they count as wrong.
        costs: None if no question could be asked.
    """

    overall: Cell
    by: Mapping[str, Mapping[str, Cell]]
    figures: Mapping[str, float]
    harness: float | None
    unread: int
    failed: Mapping[str, str]
    costs: Costs | None

    def to_json(self) -> dict[str, Any]:
        """As plain dictionaries, for `run.json`."""
        by = {group: {name: cell.to_json() for name, cell in cells.items()} for group, cells in self.by.items()}
        return {**asdict(self), "overall": self.overall.to_json(), "by": by}


def summarise_run(rows: Sequence[Row], *, figures: Figures | None = None) -> RunSummary:
    """The figures of a run.

    Args:
        rows: its answers, at least one.
        figures: see `Benchmark.figures`.

    Raises:
        ValueError: there is no answer.
    """
    rows = sorted(rows, key=lambda row: row.id)
    scored = [Scored(row.id, row.category, row.task, row.points) for row in rows]
    by_harness = [row.harness_points for row in rows if row.harness_points is not None]
    return RunSummary(
        overall=judge(rows),
        by={name: _by(rows, group) for name, group in _GROUPS.items() if len({group(row) for row in rows}) > 1},
        figures=dict(figures(scored)) if figures is not None else {},
        harness=fmean(by_harness) if by_harness else None,
        unread=sum(row.parsed is None and row.error is None for row in rows),
        failed={row.id: row.error for row in rows if row.error is not None},
        costs=_costs([row.record for row in rows if row.record is not None]),
    )


def judge(rows: Sequence[Row]) -> Cell:
    """Accuracy over some answers, at least one.

    Raises:
        ValueError: there is none.
    """
    wilson = accuracy([row.right for row in rows])
    clusters = [row.cluster for row in rows]
    videos = len(set(clusters))
    clustered = None
    if videos < len(rows):
        clustered = cluster_interval([float(row.right) for row in rows], clusters)
    return Cell(wilson, clustered, wider(wilson, clustered), videos, fmean(row.points for row in rows))


def _by(rows: Sequence[Row], group: Callable[[Row], str]) -> dict[str, Cell]:
    names = dict.fromkeys(sorted(map(group, rows)))
    return {name: judge([row for row in rows if group(row) == name]) for name in names}


def _category(row: Row) -> str:
    return row.category or _UNNAMED


def _task(row: Row) -> str:
    return row.task or _UNNAMED


def _duration(row: Row) -> str:
    """The benchmark's own name for how long a video is, else a range of minutes."""
    if row.duration_group is not None:
        return row.duration_group
    if row.duration is None:
        return _UNNAMED
    if row.duration < 2 * MINUTE:
        return "under 2 min"
    return "2 to 15 min" if row.duration < 15 * MINUTE else "from 15 min"


_GROUPS: Final[Mapping[str, Callable[[Row], str]]] = {"category": _category, "task": _task, "duration": _duration}


def _costs(records: Sequence[Evidence]) -> Costs | None:
    if not records:
        return None
    removals = [record.removed for record in records if record.removed is not None]
    kinds = dict.fromkeys(kind for record in records for kind in record.tokens)
    removed = None
    if removals:
        removed = {"before": fmean(one.before for one in removals), "after": fmean(one.after for one in removals)}
    prices = [record.cost for record in records if record.cost is not None]
    return Costs(
        tokens={kind: fmean(record.tokens.get(kind, 0) for record in records) for kind in kinds},
        removed=removed,
        first_token=median(_first_tokens(records)),
        seconds=sum(value for record in records for stage, value in record.seconds.items() if stage != "first_token"),
        peak_memory=max(record.peak_memory for record in records),
        cost=sum(prices) if prices else None,
        unreduced=sum(one.before == one.after for one in removals),
    )


def _first_tokens(records: Sequence[Evidence]) -> list[float]:
    """Times to the first token of answers that prepared their video themselves; of all if none did."""
    fresh = [record for record in records if "prepare" in record.seconds or "read_ahead" in record.seconds]
    return [record.seconds["first_token"] for record in fresh or records]
