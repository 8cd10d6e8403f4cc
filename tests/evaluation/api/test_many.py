"""Several questions at once: each answered once, within limits, whatever fails among them."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from himmel.errors import HimmelError, UsageError, VideoError
from himmel.evaluation.api.client import Api, ApiAnswer
from himmel.evaluation.api.many import Asked as Outcome
from himmel.evaluation.api.many import Job, ask_many
from himmel.evaluation.api.money import Prices, Spending
from himmel.evaluation.api.settings import ApiSettings, find_key
from mock_api import Asked, MockApi, Reply, completion, in_turn, mock_api, refusal


@dataclass
class Kept:
    """What callbacks were told."""

    answers: dict[str, str | None] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    outcome: Outcome | None = None
    spent: float = 0.0


def job(name: str, kept: Kept, prepare: Callable[[], str]) -> Job[str]:
    def done(text: str, answer: ApiAnswer) -> None:
        assert name not in kept.answers
        kept.answers[name] = answer.text

    def failed(error: HimmelError) -> None:
        kept.errors[name] = str(error)

    return Job(name, prepare, lambda text: [text], done, failed)


def ask(
    served: MockApi,
    names: Sequence[str],
    kept: Kept,
    *,
    at_once: int = 1,
    limit: float | None = None,
    prices: Prices | None = None,
    broken: Sequence[str] = (),
) -> None:
    settings = ApiSettings(url=served.url, model="m", retries=1, max_new_tokens=1000)

    def prepare(name: str) -> str:
        if name in broken:
            raise VideoError(f"{name} is no video.")
        return f"question {name}"

    async def run() -> None:
        spending = Spending(limit=limit)
        async with Api(settings, find_key(served.url), prices=prices) as api:
            jobs = [job(name, kept, lambda name=name: prepare(name)) for name in names]  # type: ignore[misc]
            try:
                kept.outcome = await ask_many(jobs, api, spending=spending, at_once=at_once)
            finally:
                kept.spent = spending.spent

    asyncio.run(run())


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def echo(asked: Asked) -> Reply:
    return completion(asked.texts[-1].removeprefix("question "))


def test_every_question_is_asked_once_and_so_many_at_a_time() -> None:
    kept, names = Kept(), [str(number) for number in range(12)]

    def slowly(asked: Asked) -> Reply:
        return Reply(body=echo(asked).body, wait=0.1)

    with mock_api(slowly) as served:
        ask(served, names, kept, at_once=4)
    assert kept.answers == {name: name for name in names}
    assert len(served.asked) == 12
    assert served.most_at_once == 4
    assert kept.outcome == Outcome({}, None, 0.0)


def test_one_at_a_time_keeps_the_order() -> None:
    kept = Kept()
    with mock_api(echo) as served:
        ask(served, ["b", "a", "c"], kept)
    assert list(kept.answers) == ["b", "a", "c"]
    assert served.most_at_once == 1


def test_a_broken_video_and_a_refused_request_are_told_and_the_rest_goes_on() -> None:
    kept = Kept()

    def answer(asked: Asked) -> Reply:
        return refusal(400, "content policy") if asked.texts == ["question bad"] else echo(asked)

    with mock_api(answer) as served:
        ask(served, ["a", "torn", "bad", "b"], kept, broken=["torn"])
    assert kept.answers == {"a": "a", "b": "b"}
    assert kept.errors["torn"] == "torn is no video."
    assert "content policy" in kept.errors["bad"]
    assert kept.outcome == Outcome({}, None, 0.0)


def test_a_question_without_an_answer_is_left_for_later() -> None:
    kept = Kept()

    def answer(asked: Asked) -> Reply:
        return refusal(503, "overloaded") if asked.texts == ["question x"] else echo(asked)

    with mock_api(answer) as served:
        ask(served, ["a", "x", "b"], kept)
    assert kept.answers == {"a": "a", "b": "b"}
    assert kept.errors == {}
    assert kept.outcome is not None
    assert list(kept.outcome.unanswered) == ["x"]
    assert "overloaded" in kept.outcome.unanswered["x"]


def test_after_five_failures_in_a_row_it_stops() -> None:
    kept = Kept()
    with mock_api(in_turn(refusal(500, "broken"))) as served:
        ask(served, [str(number) for number in range(20)], kept)
    # Each of the five with one further attempt.
    assert len(served.asked) == 10
    assert kept.outcome is not None
    assert len(kept.outcome.unanswered) == 5
    assert str(kept.outcome.stopped).startswith("5 questions in a row got no answer, the last one because http://")


def test_a_model_that_refuses_the_first_five_is_not_asked_further_and_no_question_is_blamed() -> None:
    kept = Kept()
    with mock_api(in_turn(refusal(400, "this model takes no pictures"))) as served:
        ask(served, [str(number) for number in range(20)], kept)
    assert len(served.asked) == 5
    assert kept.errors == {}
    assert kept.outcome is not None
    assert list(kept.outcome.unanswered) == list("01234")
    assert str(kept.outcome.stopped).startswith("The first 5 questions are refused, the last one because http://")
    assert "this model takes no pictures" in str(kept.outcome.stopped)


@pytest.mark.parametrize(("names", "blamed"), [("123", "123"), ("1234a", "1234"), ("a12345", "12345")])
def test_refused_questions_are_blamed_once_another_is_answered_or_none_is_left(names: str, blamed: str) -> None:
    kept = Kept()

    def answer(asked: Asked) -> Reply:
        return echo(asked) if asked.texts == ["question a"] else refusal(400, "content policy")

    with mock_api(answer) as served:
        ask(served, list(names), kept)
    assert list(kept.errors) == list(blamed)
    assert kept.outcome == Outcome({}, None, 0.0)


def test_what_refuses_every_question_stops_at_once_and_keeps_the_answers_under_way() -> None:
    kept = Kept()

    def answer(asked: Asked) -> Reply:
        if asked.texts == ["question bad"]:
            return refusal(401, "wrong key")
        return Reply(body=echo(asked).body, wait=0.3)

    with mock_api(answer) as served, pytest.raises(HimmelError, match="refuses the key"):
        ask(served, ["a", "bad", *map(str, range(20))], kept, at_once=2)
    assert kept.answers == {"a": "a"}


def test_it_stops_before_the_limit_would_be_passed() -> None:
    """A thousand tokens in and ten out cost 1010; one more may cost 1000 for its answer and a little for its prompt."""
    kept = Kept()
    with mock_api(echo) as served:
        ask(served, [str(number) for number in range(20)], kept, limit=0.0055, prices=Prices(1, 1), at_once=3)
    # Four are paid for, and then less is left than a fifth may cost.
    assert kept.spent == pytest.approx(5 * 0.00101) or kept.spent == pytest.approx(4 * 0.00101)
    assert kept.spent <= 0.0055
    assert len(served.asked) == len(kept.answers) < 6
    assert kept.outcome is not None
    assert "of 0.0055 is spent, and the next question may cost 0.0011" in str(kept.outcome.stopped)


def test_a_limit_cannot_be_kept_where_tokens_are_not_counted() -> None:
    kept = Kept()
    with (
        mock_api(in_turn(completion("x", usage=None))) as served,
        pytest.raises(HimmelError, match="does not say how many tokens an answer took"),
    ):
        ask(served, ["a", "b"], kept, limit=1.0, prices=Prices(1, 1))
    assert kept.answers == {"a": "x"}
    assert len(served.asked) == 1


def test_an_answer_that_did_not_arrive_counts_as_paid() -> None:
    kept = Kept()
    with mock_api(in_turn(Reply(body="{"))) as served:
        ask(served, ["a"], kept, limit=1.0, prices=Prices(0, 1))
    assert kept.spent == pytest.approx(0.001)


@pytest.mark.parametrize("at_once", [0, -1, 1000])
def test_how_many_at_once_is_a_number_in_range(at_once: int) -> None:
    with mock_api(echo) as served, pytest.raises(UsageError, match=f"at_once={at_once} is out of range"):
        ask(served, ["a"], Kept(), at_once=at_once)
