import pytest

from himmel.evaluation.gates import shares_by_kind
from himmel.evaluation.summary import Judged


def _judged(kind: str, shares: list[float] | None, *, motion: bool = True, condition: str = "motion") -> Judged:
    return Judged(clip=0, question=0, kind=kind, motion=motion, condition=condition, chosen=0, answer=0, shares=shares)


def test_means_by_kind_and_the_totals() -> None:
    answers = [
        _judged("direction", [0.5, 0.3, 0.2]),
        _judged("direction", [0.1, 0.3, 0.6]),
        _judged("count", [0.2, 0.2, 0.6]),
        _judged("colour", [0.0, 0.1, 0.9], motion=False),
        _judged("direction", [1.0, 0.0, 0.0], condition="shuffled"),
        _judged("direction", None, condition="no-motion"),
    ]
    rows = shares_by_kind(answers)
    assert {kind: row.questions for kind, row in rows.items()} == {
        "all": 4,
        "all motion": 3,
        "all still": 1,
        "direction": 2,
        "count": 1,
        "colour": 1,
    }
    assert (rows["direction"].motion, rows["direction"].residual) == pytest.approx((0.3, 0.3))
    assert rows["direction"].context == pytest.approx(0.4)
    assert rows["all"].motion == pytest.approx(0.2)
    assert all(row.motion + row.residual + row.context == pytest.approx(1) for row in rows.values())


def test_without_gates_there_is_nothing_to_tell() -> None:
    assert shares_by_kind([_judged("direction", None)]) == {}
