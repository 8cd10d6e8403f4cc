"""What a question's wording, its options and their letters become."""

import pytest

from himmel.errors import UsageError
from himmel.methods.question import Question

TWO = ("left", "to the right ")


def test_without_listing_the_question_is_asked_as_it_is() -> None:
    question = Question("Which way?", TWO)
    assert (question.prompt, question.targets) == ("Which way?", TWO)
    assert Question("Which way?", listing="letters").prompt == "Which way?"


def test_options_are_listed_one_a_line() -> None:
    question = Question("Which way? ", TWO, listing="texts")
    assert question.prompt.splitlines()[:3] == ["Which way?", "left", "to the right"]
    assert question.targets == TWO


def test_letters_stand_before_the_options_and_may_be_the_answers() -> None:
    question = Question("Which way?", TWO, listing="letters", answer_form="letter")
    assert question.prompt.splitlines() == [
        "Which way?",
        "A. left",
        "B. to the right",
        "Answer with the option's letter from the given choices directly.",
    ]
    assert question.targets == ("A", "B")
    assert Question("Which way?", TWO, listing="letters").targets == TWO


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"choices": ("one",)}, "at least two"),
        ({"choices": TWO, "answer_form": "letter"}, "use listing='letters'"),
        ({"choices": TWO, "scoring": "fair"}, "scoring='fair' does not exist"),
        ({"choices": tuple(map(str, range(27))), "listing": "letters"}, "27 options are more than the 26 letters"),
        ({"text": " "}, "question is empty"),
    ],
)
def test_impossible_questions_are_refused(options: dict, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        Question(**{"text": "Which way?", **options})
