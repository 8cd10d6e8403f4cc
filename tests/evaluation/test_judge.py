"""Verdicts of a judging model, by way of an API."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from himmel.errors import HimmelError
from himmel.evaluation.api.money import Prices
from himmel.evaluation.api.settings import ApiSettings, find_key
from himmel.evaluation.judge import ApiJudge, Verdict, judge, read_verdict
from mock_api import completion, in_turn, mock_api, refusal


def judged(said: str) -> Verdict:
    def ask(*, system: str, prompt: str) -> str:
        return said

    return judge("Who?", "a man", "some man", ask=ask)


@pytest.mark.parametrize(
    ("said", "right", "score"),
    [
        ('{"pred": "yes", "score": 5}', True, 5),
        ("{'pred': 'no', 'score': 0}", False, 0),
        ('```json\n{"score": 4, "pred": "Yes"}\n```', True, 4),
        ("Here you are: {'pred': 'no', 'score': 2.0}. The colour differs, so no.", False, 2),
        ('{"pred": true, "score": "3"}', True, 3),
        ("pred: yes, score: 4.8", True, 4),
    ],
)
def test_verdicts_are_read_in_the_forms_that_models_write(said: str, right: bool, score: int) -> None:
    assert judged(said) == Verdict(right, score)


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
    with pytest.raises(HimmelError, match="holds no verdict"):
        judged(said)


@given(st.text(max_size=200))
def test_any_reply_is_a_verdict_or_none(reply: str) -> None:
    verdict = read_verdict(reply)
    assert verdict is None or 0 <= verdict.score <= 5


def test_the_judge_is_told_question_and_both_answers_and_its_tokens_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    verdict = completion('{"pred": "yes", "score": 4}', usage=(200, 20))
    with mock_api(in_turn(verdict)) as served:
        ask = ApiJudge(ApiSettings(url=served.url, model="m"), find_key(served.url), prices=Prices(1, 10))
        for _ in range(2):
            assert judge("What is\nshown?", "a dog", 'a "puppy"', ask=ask) == Verdict(True, 4)
    system, user = (message["content"] for message in served.asked[0].body["messages"])
    assert "right answer" in system
    assert '"What is\\nshown?"' in user[0]["text"]
    assert 'Right answer: "a dog"' in user[0]["text"]
    assert 'Model\'s answer: "a \\"puppy\\""' in user[0]["text"]
    assert (ask.prompt_tokens, ask.answer_tokens) == (400, 40)
    assert ask.cost == pytest.approx(800e-6)


def test_a_judge_that_gives_no_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with mock_api(in_turn(refusal(400, "no"))) as served, pytest.raises(HimmelError, match="refuses the request"):
        judge("a?", "b", "c", ask=ApiJudge(ApiSettings(url=served.url, model="m"), find_key(served.url)))
