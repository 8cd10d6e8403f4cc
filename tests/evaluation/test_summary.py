import pytest

from himmel.evaluation.summary import Judged, summarise


def _judged(clip: int, condition: str, *, right: bool, kind: str = "direction", motion: bool = True) -> Judged:
    return Judged(
        clip=clip, question=0, kind=kind, motion=motion, condition=condition, chosen=0 if right else 1, answer=0
    )


def test_rows_count_each_kind_and_the_totals() -> None:
    answers = [_judged(1, "motion", right=True), _judged(2, "motion", right=False)]
    answers.append(_judged(3, "motion", right=True, kind="colour", motion=False))
    rows = summarise(answers).by_kind["motion"]
    assert {kind: (row.correct, row.total) for kind, row in rows.items()} == {
        "all": (2, 3),
        "all motion": (1, 2),
        "all still": (1, 1),
        "direction": (1, 2),
        "colour": (1, 1),
    }


def test_pairs_are_matched_by_clip_whatever_the_order() -> None:
    answers = [_judged(clip, "motion", right=clip != 3) for clip in range(6)]
    answers += [_judged(clip, "no-motion", right=clip == 3) for clip in reversed(range(6))]
    compared = summarise(answers).paired["motion vs no-motion"]
    assert (compared.only_first, compared.only_second) == (5, 1)


def test_different_questions_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="not the same"):
        summarise([_judged(1, "motion", right=True), _judged(2, "no-motion", right=True)])
