"""Verdicts of a judging model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from himmel.evaluation.judge import Verdict, judge_prompt, no_verdict, read_verdict


@pytest.mark.parametrize(
    ("said", "right", "score"),
    [
        ('{"pred": "yes", "score": 5}', True, 5),
        ("{'pred': 'no', 'score': 0}", False, 0),
        ('```json\n{"score": 4, "pred": "Yes"}\n```', True, 4),
        ("Here you are: {'pred': 'no', 'score': 2.0}. The colour differs, so no.", False, 2),
        ('{"pred": true, "score": "3"}', True, 3),
        ("pred: yes, score: 4.8", True, 4),
        ('<think>I am to give {"pred": "yes" or "no", "score": 0}.</think>{"pred": "no", "score": 1}', False, 1),
    ],
)
def test_verdicts_are_read_in_the_forms_that_models_write(said: str, right: bool, score: int) -> None:
    assert read_verdict(said) == Verdict(right, score)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "yes",
        '{"pred": "yes"}',
        '{"score": 5}',
        '{"pred": "yes", "score": 12}',
        "pred: maybe, score: 3",
        "__import__('os').system('false')",
    ],
)
def test_a_reply_without_a_verdict_is_none(said: str) -> None:
    assert read_verdict(said) is None
    assert f"reply {said!r} holds no verdict" in no_verdict(said)


@given(st.text(max_size=200))
def test_any_reply_is_a_verdict_or_none(reply: str) -> None:
    verdict = read_verdict(reply)
    assert verdict is None or 0 <= verdict.score <= 5


def test_the_judge_is_told_question_and_both_answers_as_texts_of_json() -> None:
    prompt = judge_prompt("What is\nshown?", "a dog", 'a "puppy"')
    assert '"What is\\nshown?"' in prompt
    assert 'Right answer: "a dog"' in prompt
    assert 'Model\'s answer: "a \\"puppy\\""' in prompt
