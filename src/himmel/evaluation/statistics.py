"""Intervals and tests for counts of right answers (report, appendix D; docs/method.md, section 9)."""

from collections.abc import Sequence
from dataclasses import dataclass

from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint


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
    if len(first) != len(second):
        raise ValueError(
            f"A paired test needs the same questions for both, got {len(first)} and {len(second)} answers."
        )
    table = [[0, 0], [0, 0]]
    for one, other in zip(first, second, strict=True):
        table[1 - bool(one)][1 - bool(other)] += 1
    result = mcnemar(table, exact=True)
    return PairedComparison(only_first=table[0][1], only_second=table[1][0], p_value=float(result.pvalue))
