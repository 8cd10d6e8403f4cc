"""Intervals and tests for counts of right answers (report, appendix D; docs/method.md, section 9)."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import bootstrap, permutation_test
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

RESAMPLES: Final = 9_999
"""How often clusters are drawn anew."""
SEED: Final = 0
"""Of these drawings, so that a table is the same each time."""
_AT_ONCE: Final = 100
"""So many drawings are held in memory at a time."""

Totals = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Accuracy:
    """`correct` of `total` answers right, with the 95 % Wilson interval [`low`, `high`]; shares lie in 0..1."""

    correct: int
    total: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Share of right answers, 0..1."""
        return self.correct / self.total


@dataclass(frozen=True)
class Interval:
    """A 95 % interval of a share or of a difference of shares."""

    low: float
    high: float


def accuracy(right: Sequence[bool]) -> Accuracy:
    """Accuracy with its Wilson score interval (Wilson 1927) of a non-empty sequence of right / wrong.

    Raises:
        ValueError: `right` is empty.
    """
    if not right:
        raise ValueError("An accuracy needs at least one answer; there is none.")
    correct = sum(bool(answer) for answer in right)
    low, high = proportion_confint(correct, len(right), alpha=0.05, method="wilson")
    return Accuracy(correct=correct, total=len(right), low=float(low), high=float(high))


def cluster_interval(
    values: Sequence[float], clusters: Sequence[Hashable], *, resamples: int = RESAMPLES, seed: int = SEED
) -> Interval:
    """Interval of a mean of answers of which some belong together, by the cluster bootstrap.

    Whole clusters are drawn with replacement, as many as there are, and the mean over all answers in them is taken
    each time; the interval holds the middle 95 % of these means (Davison and Hinkley 1997, sections 3.8 and 5.3). With
    few clusters it is too narrow, and where all answers are alike it has no width: Wilson's then says more.

    Args:
        values: points of each answer, such as 1 for right and 0 for wrong, or differences of those.
        clusters: what each answer belongs to, such as its video.
        resamples: how often to draw.
        seed: of the drawing.

    Raises:
        ValueError: there is no answer, or not one cluster for each.
    """
    totals = _totals(values, clusters)
    if len(totals[0]) == 1:
        mean = float(totals[0][0] / totals[1][0])
        return Interval(mean, mean)
    found = bootstrap(
        totals,
        _ratio,
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=resamples,
        batch=_AT_ONCE,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(found.low), float(found.high))


@dataclass(frozen=True)
class PairedComparison:
    """Two systems on the same questions: how often only one of them is right, and the exact McNemar p-value."""

    only_first: int
    only_second: int
    p_value: float


def compare_paired(first: Sequence[bool], second: Sequence[bool]) -> PairedComparison:
    """Exact two-sided McNemar test (McNemar 1947) on two equally long sequences of right / wrong.

    Raises:
        ValueError: the lengths differ, so the answers cannot belong to the same questions.
    """
    _check_paired(first, second)
    table = [[0, 0], [0, 0]]
    for one, other in zip(first, second, strict=True):
        table[1 - bool(one)][1 - bool(other)] += 1
    result = mcnemar(table, exact=True)
    return PairedComparison(only_first=table[0][1], only_second=table[1][0], p_value=float(result.pvalue))


def cluster_p_value(
    first: Sequence[float],
    second: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> float:
    """Two-sided p-value of two systems' points on the same questions, some of which belong together.

    Under the hypothesis that the systems are alike, a cluster's answers could as well have come from the other system,
    all of them at once. The difference is held against those with the answers of random clusters exchanged (all
    exchanges where there are few: Fisher's randomisation test with clusters as its units). McNemar's test takes each
    question as its own unit, and finds too much where the questions about a video stand or fall together.

    Args:
        first: points of the first system's answers.
        second: those of the second's, in the same order.
        clusters: what each question belongs to, such as its video.
        resamples: most exchanges that are tried.
        seed: of the drawing.

    Raises:
        ValueError: the lengths differ, or there is no answer.
    """
    _check_paired(first, second)
    one, other = (_totals(values, clusters)[0] for values in (first, second))
    if (one == other).all():
        return 1.0
    if len(one) == 1:  # one cluster can be exchanged or not, and both differences are as large
        return 1.0
    found = permutation_test(
        (one, other),
        _difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=_AT_ONCE,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def correct_for_many(p_values: Sequence[float]) -> list[float]:
    """p-values of several comparisons after Holm's step-down correction (Holm 1979), in the same order.

    Each may be held against 0.05 by itself: the chance that any of them is below it by accident is then 5 % at most.
    """
    return [float(value) for value in multipletests(p_values, method="holm")[1]] if p_values else []


Decides = Literal["wilson", "cluster"]


def wider(wilson: Accuracy, clustered: Interval | None) -> Decides:
    """Which interval to go by: the wider one, as neither may claim more than the other allows."""
    if clustered is None or clustered.high - clustered.low <= wilson.high - wilson.low:
        return "wilson"
    return "cluster"


def _check_paired(first: Sequence[float], second: Sequence[float]) -> None:
    if len(first) != len(second):
        raise ValueError(
            f"A paired test needs the same questions for both, got {len(first)} and {len(second)} answers."
        )


def _totals(values: Sequence[float], clusters: Sequence[Hashable]) -> Totals:
    """Sum and number of the answers of each cluster, in the order in which clusters first occur."""
    if not values or len(values) != len(clusters):
        raise ValueError(f"{len(values)} answers came with {len(clusters)} clusters; give one for each answer.")
    sums: defaultdict[Hashable, float] = defaultdict(float)
    numbers: defaultdict[Hashable, int] = defaultdict(int)
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] += float(value)
        numbers[cluster] += 1
    return np.array(list(sums.values())), np.array(list(numbers.values()), float)


def _ratio(sums: npt.NDArray[np.float64], numbers: npt.NDArray[np.float64], axis: int = -1) -> npt.NDArray[np.float64]:
    return np.asarray(sums.sum(axis) / numbers.sum(axis))


def _difference(
    first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], axis: int = -1
) -> npt.NDArray[np.float64]:
    return np.asarray((first - second).sum(axis))
