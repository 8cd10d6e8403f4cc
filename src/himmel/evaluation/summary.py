"""From single answers to a table: accuracy by condition and question kind, and paired tests (docs/method.md)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from typing import Any

from himmel._html import table
from himmel.evaluation.statistics import (
    Accuracy,
    PairedComparison,
    accuracy,
    cluster_interval,
    compare_paired,
    wider,
)


@dataclass(frozen=True)
class Judged:
    """One question answered under one condition.

    Attributes:
        clip: the clip's seed.
        question: place of the question among its clip's.
        kind: question kind, e.g. `direction`.
        motion: whether the kind asks about motion.
        condition: what the model was given, e.g. `motion` or `no-motion`.
        chosen: index of the choice with the highest likelihood.
        answer: index of the right choice.
        shares: weights of the motion, residual and context streams in the clip's motion tokens, adding up to 1
            (`GateStatistics.mean_shares`); None without motion tokens, or where the fusion has no gates.
    """

    clip: int
    question: int
    kind: str
    motion: bool
    condition: str
    chosen: int
    answer: int
    shares: list[float] | None = None

    @property
    def right(self) -> bool:
        """Whether the chosen option is the right one."""
        return self.chosen == self.answer


@dataclass(frozen=True)
class Summary:
    """Accuracy of every condition by question kind, and the paired tests on the motion questions.

    `by_kind[condition][kind]` also holds the rows `all`, `all motion` and `all still`.
    """

    by_kind: dict[str, dict[str, Accuracy]]
    paired: dict[str, PairedComparison]

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Headings and rows in words: shares of right answers in per cent, with their 95 % intervals, by kind."""
        kinds = {kind for rows in self.by_kind.values() for kind in rows}
        listed = []
        for kind in sorted(kinds, key=lambda kind: (kind.startswith("all"), kind)):
            cells = [rows[kind] for rows in self.by_kind.values()]
            listed.append((kind, str(cells[0].total), *map(_show_accuracy, cells)))
        return ("right, %", "asked", *self.by_kind), listed

    def tests(self) -> list[str]:
        """The paired tests, a sentence each."""
        return [
            f"{name}, motion questions: only the first right {test.only_first}, only the second {test.only_second}, "
            f"McNemar p = {test.p_value:.2g}"
            for name, test in self.paired.items()
        ]

    def _repr_html_(self) -> str:
        """In Jupyter: the table and the tests."""
        lines = "".join(f"<li>{escape(test)}</li>" for test in self.tests())
        return table(*self.table()) + (f"<ul>{lines}</ul>" if lines else "")

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries, with each accuracy's share."""
        return {
            "by_kind": {
                condition: {kind: {**asdict(value), "share": value.share} for kind, value in kinds.items()}
                for condition, kinds in self.by_kind.items()
            },
            "paired": {name: asdict(value) for name, value in self.paired.items()},
        }


def _show_accuracy(one: Accuracy) -> str:
    return f"{100 * one.share:.1f} [{100 * one.low:.0f}, {100 * one.high:.0f}]"


def summarise(judged: Iterable[Judged], *, reference: str = "motion") -> Summary:
    """Count right answers by condition and kind, and test `reference` against every other condition.

    The paired tests (exact McNemar) take the motion questions alone, matched by clip and question.

    Raises:
        ValueError: two conditions did not answer the same motion questions.
    """
    cells: dict[str, dict[str, list[tuple[bool, int]]]] = defaultdict(lambda: defaultdict(list))
    matched: dict[str, dict[tuple[int, int], bool]] = defaultdict(dict)
    for one in judged:
        for row in rows_of(one):
            cells[one.condition][row].append((one.right, one.clip))
        if one.motion:
            matched[one.condition][one.clip, one.question] = one.right
    by_kind = {
        condition: {kind: _by_clip(answers) for kind, answers in sorted(kinds.items())}
        for condition, kinds in cells.items()
    }
    paired = {
        f"{reference} vs {other}": _paired(matched[reference], answers)
        for other, answers in matched.items()
        if other != reference and reference in matched
    }
    return Summary(by_kind=by_kind, paired=paired)


def _by_clip(answers: Sequence[tuple[bool, int]]) -> Accuracy:
    """Accuracy with the wider of Wilson's interval and that of drawing whole clips, if these have several answers."""
    right, clips = zip(*answers, strict=True)
    found = accuracy(right)
    if len(set(clips)) == len(clips):
        return found
    clustered = cluster_interval([float(one) for one in right], clips)
    if wider(found, clustered) == "wilson":
        return found
    return replace(found, low=clustered.low, high=clustered.high)


def rows_of(one: Judged) -> tuple[str, str, str]:
    """The rows of a table that an answer counts in."""
    return "all", "all motion" if one.motion else "all still", one.kind


def _paired(first: dict[tuple[int, int], bool], second: dict[tuple[int, int], bool]) -> PairedComparison:
    if first.keys() != second.keys():
        raise ValueError(
            f"The conditions answered {len(first)} and {len(second)} questions that are not the same ones."
        )
    keys: Sequence[tuple[int, int]] = sorted(first)
    return compare_paired([first[key] for key in keys], [second[key] for key in keys])
