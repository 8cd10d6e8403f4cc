from collections.abc import Sequence

import pytest

from himmel.nano.kinds import Kind
from himmel.nano.questions import Question, choose_questions


def _asked(kinds: Sequence[Kind]) -> list[Question]:
    return [Question(kind=kind, text="?", choices=("a", "b", "c", "d"), answer=0) for kind in kinds]


@pytest.mark.parametrize(
    ("kinds", "most", "chosen"),
    [
        (("colour", "direction", "count", "number"), 2, [1, 0]),
        (("colour", "direction", "count", "number"), 3, [1, 0, 2]),
        (("colour", "number"), 2, [0, 1]),
        (("direction",), 5, [0]),
    ],
)
def test_motion_and_still_questions_take_turns(kinds: Sequence[Kind], most: int, chosen: list[int]) -> None:
    assert choose_questions(_asked(kinds), most=most) == chosen
