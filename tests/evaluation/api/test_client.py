"""What is sent to an API, what is made of its answers, and how long one waits for them."""

import asyncio
import logging
from typing import Any

import numpy as np
import pytest

from himmel.errors import HimmelError
from himmel.evaluation.api.client import Api, ApiAnswer, ApiRefusalError, ApiTroubleError
from himmel.evaluation.api.money import Prices
from himmel.evaluation.api.settings import ApiSettings, find_key
from himmel.methods.parts import Part
from mock_api import KEY, Reply, completion, in_turn, mock_api, refusal

QUESTION: tuple[Part, ...] = ("What moves?",)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def ask(url: str, parts: tuple[Part, ...] = QUESTION, *, times: int = 1, **options: Any) -> ApiAnswer:
    """The last of `times` answers, from one client."""
    prices = options.pop("prices", None)
    system = options.pop("system", None)
    settings = ApiSettings(url=url, model="mock", **options)

    async def run() -> ApiAnswer:
        async with Api(settings, find_key(url), prices=prices) as api:
            answers = [await api.ask(parts, system=system) for _ in range(times)]
        return answers[-1]

    return asyncio.run(run())


def test_texts_and_pictures_arrive_in_their_order() -> None:
    red = np.full((48, 64, 3), (200, 30, 20), np.uint8)
    blue = np.full((48, 64, 3), (10, 20, 220), np.uint8)
    with mock_api(in_turn(completion("left"))) as served:
        answer = ask(served.url, ("first", red, "then", blue, "Which way?"), system="Be brief.", max_new_tokens=7)
    (asked,) = served.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.authorization == f"Bearer {KEY}"
    assert asked.body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert [part["type"] for part in asked.content] == ["text", "image_url", "text", "image_url", "text"]
    assert asked.texts == ["first", "then", "Which way?"]
    for sent, arrived in zip((red, blue), asked.pictures, strict=True):
        assert arrived.shape == sent.shape
        assert np.abs(arrived.astype(int) - sent).max() <= 3
    options = {name: asked.body[name] for name in ("model", "max_tokens", "temperature", "seed")}
    assert options == {"model": "mock", "max_tokens": 7, "temperature": 0.0, "seed": 0}
    assert answer.text == "left"
    assert (answer.finish, answer.prompt_tokens, answer.answer_tokens, answer.model) == ("stop", 1000, 10, "mock-2026")


def test_colours_keep_their_full_resolution() -> None:
    """With chroma at half resolution, cells of one pixel would run into each other."""
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2] = (255, 0, 0)
    stripes[:, 1::2] = (0, 0, 255)
    with mock_api(in_turn(completion("x"))) as served:
        ask(served.url, (stripes,))
    arrived = served.asked[0].pictures[0].astype(int)
    assert (arrived[:, ::2, 0] - arrived[:, ::2, 2] > 150).all()
    assert (arrived[:, 1::2, 2] - arrived[:, 1::2, 0] > 150).all()


@pytest.mark.parametrize("status", [429, 500, 503, 408])
def test_it_tries_again_after_trouble_that_may_pass(status: int) -> None:
    with mock_api(in_turn(refusal(status, "busy"), refusal(status, "busy"), completion("yes"))) as served:
        assert ask(served.url).text == "yes"
    assert len(served.asked) == 3


def test_it_gives_up_after_the_last_attempt() -> None:
    with (
        mock_api(in_turn(refusal(429, "slow down"))) as served,
        pytest.raises(ApiTroubleError, match=r"failed with status 429 \(slow down\)"),
    ):
        ask(served.url, retries=2)
    assert len(served.asked) == 3


def test_a_server_that_does_not_answer_is_left_after_the_time_limit() -> None:
    # Longer than any test may take.
    with (
        mock_api(in_turn(Reply(wait=3600))) as served,
        pytest.raises(ApiTroubleError, match=r"did not answer within 0\.2 s"),
    ):
        ask(served.url, seconds=0.2, retries=0)


def test_a_server_that_sends_a_byte_now_and_then_is_left_too() -> None:
    # Twenty bytes a second: an hour, which is longer than any test may take.
    slow = Reply(body=" " * 72_000, trickle=True)
    with (
        mock_api(in_turn(slow)) as served,
        pytest.raises(ApiTroubleError, match="no whole answer within 6 s"),
    ):
        ask(served.url, seconds=1.5, retries=1)


@pytest.mark.parametrize(
    "body",
    ['{"choices": [{"mess', "<html>Welcome</html>", "[]", '{"choices": null}', '{"choices": [{"text": "old"}]}', ""],
)
def test_what_is_no_chat_completion_is_said_to_be_none(body: str) -> None:
    with mock_api(in_turn(Reply(body=body))) as served, pytest.raises(ApiTroubleError, match="something else than"):
        ask(served.url, retries=0)


def test_a_page_of_another_kind_is_no_chat_completion() -> None:
    page = Reply(body="<html>Log in</html>", headers={"content-type": "text/html"})
    with mock_api(in_turn(page)) as served, pytest.raises(ApiTroubleError, match="Log in"):
        ask(served.url, retries=0)


def test_an_empty_list_of_answers_is_trouble() -> None:
    with mock_api(in_turn(Reply(body='{"choices": []}'))) as served, pytest.raises(ApiTroubleError, match="without an"):
        ask(served.url)


def test_cost_follows_from_the_prices_and_the_tokens_that_the_api_counted() -> None:
    with mock_api(in_turn(completion("x", usage=(2_000_000, 1_000)))) as served:
        assert ask(served.url, prices=Prices(1.5, 20)).cost == pytest.approx(3.02)
        assert ask(served.url).cost is None


def test_an_api_that_counts_no_tokens_gives_no_cost() -> None:
    with mock_api(in_turn(completion("x", usage=None))) as served:
        answer = ask(served.url, prices=Prices(1, 1))
    assert (answer.text, answer.prompt_tokens, answer.answer_tokens, answer.cost) == ("x", None, None, None)


def test_an_answer_that_reasoning_left_no_room_for_is_none() -> None:
    with mock_api(in_turn(completion(None, finish="length"))) as served:
        answer = ask(served.url)
    assert (answer.text, answer.finish) == (None, "length")


def test_options_that_an_api_refuses_by_name_are_left_out_from_then_on() -> None:
    refused = (
        refusal(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        refusal(400, "Unsupported value: 'temperature' does not support 0.0; only the default (1)."),
        refusal(422, "body.seed: Extra inputs are not permitted"),
    )
    with mock_api(in_turn(*refused, completion("x"))) as served:
        answer = ask(served.url, times=2, max_new_tokens=9)
    assert len(served.asked) == 5
    assert answer.sent == {"max_completion_tokens": 9}
    for asked in served.asked[-2:]:
        assert asked.body["max_completion_tokens"] == 9
        assert {"max_tokens", "temperature", "seed"}.isdisjoint(asked.body)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_that_is_refused_is_not_sent_again(status: int) -> None:
    with (
        mock_api(in_turn(refusal(status, "The pictures show a secret."))) as served,
        pytest.raises(ApiRefusalError, match=rf"status {status} \(The pictures show a secret\.\)"),
    ):
        ask(served.url)
    assert len(served.asked) == 1


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (refusal(401, f"Incorrect API key provided: {KEY}."), r"refuses the key \(.*\[key\]\.\); set OPENAI_API_KEY"),
        (refusal(404, "The model `mock` does not exist"), "has no model 'mock'"),
        (refusal(402, "Insufficient balance"), "nothing left to spend"),
        (refusal(429, "You exceeded your quota", code="insufficient_quota"), "nothing left to spend"),
    ],
)
def test_what_would_refuse_every_request_is_another_kind_of_error(reply: Reply, sentence: str) -> None:
    with mock_api(in_turn(reply)) as served, pytest.raises(HimmelError, match=sentence) as raised:
        ask(served.url, retries=1)
    assert type(raised.value) is HimmelError
    assert KEY not in str(raised.value)


def test_an_api_that_is_not_there_is_trouble() -> None:
    with mock_api(in_turn(completion("x"))) as served:
        pass
    with pytest.raises(ApiTroubleError, match="cannot be reached"):
        ask(served.url, retries=0)


def test_the_key_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """Not in logs, answers, errors or what objects print, though the server repeats it everywhere."""
    key = find_key("http://localhost/v1")
    assert KEY not in f"{key} {key!r}"
    said: list[str] = []
    with caplog.at_level(logging.DEBUG):
        for reply in (
            completion(f"Your key is {KEY}."),
            refusal(400, f"Bad request with {KEY}"),
            refusal(500, "x" * 290 + KEY),
            Reply(body=f"<html>{KEY}</html>"),
            Reply(status=403, body=f"{KEY}"),
        ):
            with mock_api(in_turn(reply)) as served:
                try:
                    said.append(repr(ask(served.url, retries=0)))
                except HimmelError as error:
                    said.append(f"{error!r} {error}")
    assert len(said) == 5
    assert "Your key is [key]." in said[0]
    assert not [text for text in (*said, caplog.text) if KEY in text or KEY[:10] in text]


def test_the_bound_on_cost_is_more_than_a_question_can_cost() -> None:
    settings = ApiSettings(model="m", url="http://localhost/v1", max_new_tokens=1000)
    picture = np.zeros((432, 768, 3), np.uint8)

    async def bound() -> tuple[float, float]:
        async with Api(settings, find_key(settings.url), prices=Prices(1, 10)) as api:
            return api.most_cost(("Who?", picture)), api.most_cost(("Who?",))

    with_picture, without = asyncio.run(bound())
    # 10,000 millionths for the answer; the picture is 55 x 31 patches, less than the least that pictures count as.
    assert with_picture - without == pytest.approx(2048e-6)
    assert 0.010004 < without < 0.0101
