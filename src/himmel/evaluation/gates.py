"""Which streams the fusion preferred, by question kind (report, O.3 and figure 32).

The adapter encodes a video before it knows the question, so a kind's shares describe the videos that such questions are
asked about, not of the question itself.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from himmel.evaluation.summary import Judged, rows_of


@dataclass(frozen=True)
class MeanShares:
    """Mean weights of the streams over some questions; they add up to 1.

    Attributes:
        motion: of the motion stream, or of the RGB difference in its place.
        residual: of the residual stream.
        context: of the context stream.
        questions: over how many questions.
        sound: of the sound; None where the adapter does not read it.
    """

    motion: float
    residual: float
    context: float
    questions: int
    sound: float | None = None


def shares_by_kind(judged: Iterable[Judged], *, condition: str = "motion") -> dict[str, MeanShares]:
    """Mean shares of the answers under `condition` for each question kind, and `all`, `all motion`, `all still`.

    Answers without shares are left out; without any, the result is empty.
    """
    found: dict[str, list[list[float]]] = defaultdict(list)
    for one in judged:
        if one.condition == condition and one.shares is not None:
            for row in rows_of(one):
                found[row].append(one.shares)
    return {row: _mean(shares) for row, shares in sorted(found.items())}


def _mean(shares: list[list[float]]) -> MeanShares:
    motion, residual, context, *sound = (sum(column) / len(shares) for column in zip(*shares, strict=True))
    return MeanShares(
        motion=motion,
        residual=residual,
        context=context,
        questions=len(shares),
        sound=sound[0] if sound else None,
    )
