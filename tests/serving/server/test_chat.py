"""What the official client gets of a live server: answers, streams, usage, log-probabilities, refusals."""

import base64
import io
import json
import math
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from himmel.methods.session import Session
from serving_live import KEY, Live, running

openai = pytest.importorskip("openai", reason="openai of the extra 'api' is not installed")

QUESTION = "Which way does the pattern move?"


@pytest.fixture(scope="module")
def live(session: Session, media: Path) -> Iterator[Live]:
    from himmel.serving.server.app import Settings
    from himmel.serving.server.limits import Limits

    limits = Limits(workers=1, new_tokens=32, text_characters=2000, messages=8, sources=3)
    with running(session, Settings(limits=limits, media=(media,), api_keys=("other", KEY), threads=1), media) as found:
        yield found


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def video(url: str, **more: float) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": url, **more}}


def about(path: Path, words: str = QUESTION) -> list[dict[str, Any]]:
    return [video(path.as_uri()), text(words)]


def data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def picture(seed: int) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)).save(file, "PNG")
    return {"type": "image_url", "image_url": {"url": data_url("image/png", file.getvalue())}}


def metric(live: Live, line: str) -> float:
    with urllib.request.urlopen(f"{live.url}/metrics") as response:
        shown = response.read().decode()
    found = re.search(rf"^{re.escape(line)} (\S+)$", shown, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("model", ["himmel", "dense", "panel", "motion_text", "hermes", "uniform_drop"])
def test_an_answer_is_what_the_session_gives(live: Live, media: Path, model: str) -> None:
    options: dict[str, Any] = {"hermes": {"num_frames": 4, "budget": 8, "chunk_frames": 2}}.get(model, {})
    reply = live.ask(about(media / "clip.mp4"), model=model, extra_body={"himmel": {"options": options}})
    own = live.session.ask(media / "clip.mp4", QUESTION, method=model, max_new_tokens=6, threads=1, **options)  # type: ignore[arg-type]
    assert reply.choices[0].message.content == own.text
    assert reply.himmel["prompt_sha256"] == own.prompt_sha256
    assert reply.himmel["video"]["backend"] == own.video.backend
    assert "path" not in reply.himmel["video"]
    details = reply.usage.prompt_tokens_details
    assert {kind: getattr(details, f"{kind}_tokens") for kind in own.tokens} == own.tokens
    assert reply.usage.prompt_tokens == sum(own.tokens.values())
    assert 0 < reply.usage.completion_tokens <= 6
    assert reply.choices[0].finish_reason == ("length" if reply.usage.completion_tokens == 6 else "stop")


def test_a_stream_is_the_whole_answer_in_pieces(live: Live, media: Path) -> None:
    # Usage tells what was read before: the video is then, for both.
    live.ask(about(media / "clip.mp4"), max_tokens=1)
    whole = live.ask(about(media / "clip.mp4"), max_tokens=12)
    pieces: list[str] = []
    # A piece is what came since the last one: on a busy machine that may once be all.
    for _ in range(3):
        chunks = live.ask(about(media / "clip.mp4"), max_tokens=12, stream=True, stream_options={"include_usage": True})
        said = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
        pieces = [piece for piece in said if piece]
        if len(pieces) > 1:
            break
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(pieces) == whole.choices[0].message.content
    assert len(pieces) > 1
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == whole.choices[0].finish_reason
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1


def test_log_probabilities_are_told_where_asked(live: Live, media: Path) -> None:
    asked: dict[str, Any] = {"logprobs": True, "top_logprobs": 3, "max_tokens": 4}
    reply = live.ask(about(media / "clip.mp4"), **asked)
    whole = reply.choices[0]
    assert len(whole.logprobs.content) == reply.usage.completion_tokens - (whole.finish_reason == "stop")
    for one in whole.logprobs.content:
        best = [other.logprob for other in one.top_logprobs]
        assert one.logprob == pytest.approx(best[0])
        assert best == sorted(best, reverse=True)
        assert sum(math.exp(other) for other in best) <= 1.0001
    streamed = [
        one
        for chunk in live.ask(about(media / "clip.mp4"), stream=True, **asked)
        if chunk.choices and chunk.choices[0].logprobs
        for one in chunk.choices[0].logprobs.content
    ]
    assert [one.token for one in streamed] == [one.token for one in whole.logprobs.content]
    assert live.ask(about(media / "clip.mp4")).choices[0].logprobs is None


def test_what_is_drawn_is_repeated_by_its_seed(live: Live, media: Path) -> None:
    def draw(seed: int) -> str:
        reply = live.ask(about(media / "clip.mp4"), temperature=1.0, seed=seed, max_tokens=12)
        return str(reply.choices[0].message.content)

    assert draw(1) == draw(1)
    assert len({draw(seed) for seed in range(1, 5)}) > 1


def test_an_answer_ends_before_a_stop(live: Live, media: Path) -> None:
    whole = str(live.ask(about(media / "clip.mp4"), max_tokens=12).choices[0].message.content)
    stop = whole[len(whole) // 2 :][:2]
    cut = live.ask(about(media / "clip.mp4"), max_tokens=12, stop=[stop]).choices[0]
    assert cut.message.content == whole[: whole.index(stop)].strip()
    assert cut.finish_reason == "stop"
    chunks = live.ask(about(media / "clip.mp4"), max_tokens=12, stop=stop, stream=True)
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert streamed == cut.message.content


def test_options_are_scored(live: Live, media: Path) -> None:
    choices = ["left", "right", "it rests"]
    reply = live.ask(about(media / "clip.mp4"), extra_body={"himmel": {"choices": choices, "scoring": "raw"}})
    own = live.session.ask(media / "clip.mp4", QUESTION, choices=choices, scoring="raw", threads=1)
    assert reply.choices[0].message.content == own.text
    found = {one["text"]: one["log_likelihood"] for one in reply.himmel["choices"]}
    assert found == pytest.approx({one.text: one.log_likelihood for one in own.choices}, abs=1e-4)
    assert reply.usage.completion_tokens == 0


def test_the_same_video_by_any_way_is_read_once(live: Live, media: Path) -> None:
    data = (media / "other.mp4").read_bytes()
    with live.client() as client:
        upload = client.files.create(file=("other.mp4", data), purpose="user_data")
        assert client.files.retrieve(upload.id).bytes == len(data)
    ways = [
        video(data_url("video/mp4", data)),
        video((media / "other.mp4").as_uri()),
        {"type": "file", "file": {"file_id": upload.id}},
        {"type": "file", "file": {"file_data": data_url("video/mp4", data)}},
    ]
    before = metric(live, 'himmel_cache_total{outcome="miss"}')
    answers = [live.ask([way, text("Does it move?")]) for way in ways]
    assert len({answer.choices[0].message.content for answer in answers}) == 1
    assert metric(live, 'himmel_cache_total{outcome="miss"}') - before == 1
    assert ["extract" in answer.himmel["seconds"] for answer in answers] == [True, False, False, False]


def test_a_stretch_of_a_video(live: Live, media: Path) -> None:
    url = (media / "clip.mp4").as_uri()
    reply = live.ask([video(url, start=0.2, end=0.6), text(QUESTION)])
    assert reply.himmel["video"]["duration"] == pytest.approx(0.4, abs=0.01)
    whole = live.ask([video(url), text(QUESTION)])
    assert whole.himmel["video"]["duration"] == pytest.approx(0.96, abs=0.01)


@pytest.mark.parametrize("model", ["himmel", "dense"])
def test_pictures_and_text_alone(live: Live, model: str) -> None:
    one = live.ask([picture(1), text("What is it?")], model=model)
    two = live.ask([picture(1), picture(2), text("Are they alike?")], model=model)
    none = live.ask("What is the capital of France?", model=model)
    counts = [reply.usage.prompt_tokens_details.image_tokens for reply in (none, one, two)]
    assert counts[0] == 0
    assert counts[2] == 2 * counts[1] > 0
    assert none.himmel["video"] is None
    assert none.choices[0].message.content


def test_a_conversation_goes_on_about_its_video(live: Live, media: Path) -> None:
    first = live.ask(about(media / "clip.mp4"), model="dense")
    turns = [
        {"role": "system", "content": "Answer in one word."},
        {"role": "user", "content": about(media / "clip.mp4")},
        {"role": "assistant", "content": first.choices[0].message.content},
        {"role": "user", "content": "Are you sure?"},
    ]
    with live.client() as client:
        again = client.chat.completions.create(model="dense", messages=turns, max_tokens=4)  # type: ignore[arg-type]
    grown = again.usage.prompt_tokens - first.usage.prompt_tokens
    assert grown >= first.usage.completion_tokens
    details = again.usage.prompt_tokens_details
    assert details.image_tokens == first.usage.prompt_tokens_details.image_tokens


def test_many_at_once_get_what_each_gets_alone(live: Live, media: Path) -> None:
    asked = [(media / name, f"{QUESTION} ({number})") for number in range(4) for name in ("clip.mp4", "other.mp4")]
    alone = [live.ask(about(*one)).choices[0].message.content for one in asked]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda one: live.ask(about(*one)).choices[0].message.content, asked))
    assert together == alone
    assert metric(live, 'himmel_batch_size_bucket{le="1.0"}') < metric(live, "himmel_batch_size_count")


def test_a_second_question_reads_the_question_alone(live: Live, media: Path) -> None:
    before = metric(live, 'himmel_tokens_total{kind="cached"}')
    first = live.ask(about(media / "other.mp4", "What is it?"), model="dense").usage
    second = live.ask(about(media / "other.mp4", "Is it still there?"), model="dense").usage
    cached = second.prompt_tokens_details.cached_tokens
    assert second.prompt_tokens_details.image_tokens < cached < second.prompt_tokens
    both = first.prompt_tokens_details.cached_tokens + cached
    assert metric(live, 'himmel_tokens_total{kind="cached"}') - before == both


def test_methods_are_models(live: Live) -> None:
    with live.client() as client:
        names = [model.id for model in client.models.list()]
        assert {"himmel", "anchors", "dense", "panel", "look_m"} <= set(names)
        # This adapter reads motion vectors.
        assert "rgb_diff" not in names
        assert client.models.retrieve("dense").owned_by == "himmel"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("rgb_diff")


def test_it_says_how_it_is(live: Live) -> None:
    for path in ("/health", "/ready"):
        with urllib.request.urlopen(live.url + path) as response:
            assert response.status == 200
    assert metric(live, "himmel_under_way") == 0
    assert metric(live, "himmel_queue") == 0
    assert metric(live, 'himmel_tokens_total{kind="motion"}') > 0


@pytest.mark.parametrize("key", ["", "wrong", KEY + "x", KEY[:-1]])
def test_a_wrong_key_is_refused(live: Live, key: str) -> None:
    with pytest.raises(openai.AuthenticationError) as caught, live.client(key or "none") as client:
        client.models.list()
    assert caught.value.body["code"] == "invalid_api_key"  # type: ignore[index]
    assert KEY not in str(caught.value)
    with pytest.raises(urllib.error.HTTPError) as bare:
        urllib.request.urlopen(f"{live.url}/v1/models")
    assert json.loads(bare.value.read())["error"]["type"] == "authentication_error"


def refused(live: Live, content: Any, **options: Any) -> Any:
    with pytest.raises(openai.APIStatusError) as caught:
        live.ask(content, **options)
    body: Any = caught.value.body
    assert set(body) == {"message", "type", "param", "code"}
    assert "/media" not in body["message"]
    return caught.value.status_code, body["code"], body["message"]


def test_files_that_are_no_videos_are_refused_each_for_itself(live: Live, media: Path) -> None:
    poem = video(data_url("video/mp4", b"no video at all, but a poem"))
    assert refused(live, [poem, text("?")])[:2] == (400, "unreadable_source")
    broken = {"type": "image_url", "image_url": {"url": data_url("image/png", b"\x89PNG\r\n")}}
    status, code, said = refused(live, [broken, text("?")])
    assert (status, code, said) == (
        400,
        "unreadable_source",
        "The file is no picture that can be read; send a JPEG, PNG or WebP.",
    )
    assert live.ask(about(media / "clip.mp4")).choices[0].message.content is not None


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ({"model": "gpt-5"}, "model_not_found", "There is no model 'gpt-5'"),
        ({"max_tokens": 33}, "invalid_value", "33 tokens"),
        ({"max_tokens": 0}, "invalid_request", "'max_tokens'"),
        ({"temperature": 3}, "invalid_request", "'temperature'"),
        ({"n": 2}, "unsupported_value", "'n' is not supported"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "unsupported_value", "'tools'"),
        ({"stop": ["a"] * 5}, "invalid_value", "stop takes"),
        ({"extra_body": {"himmel": {"options": {"frames": 3}}}}, "invalid_value", "no option 'frames'"),
        ({"extra_body": {"himmel": {"options": {"num_anchors": [3]}}}}, "invalid_value", "num_anchors"),
        ({"extra_body": {"himmel": {"choice": ["a", "b"]}}}, "invalid_request", "himmel.choice"),
        ({"extra_body": {"himmel": {"choices": ["a"]}}}, "invalid_value", "single option"),
    ],
)
def test_what_is_asked_wrongly_is_refused_with_a_sentence(
    live: Live, media: Path, options: dict[str, Any], code: str, said: str
) -> None:
    _, found, sentence = refused(live, about(media / "clip.mp4"), **options)
    assert found == code
    assert said in sentence


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ([{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}], "invalid_request"),
        ([text(" ")], "invalid_value"),
        ([text("x" * 2001)], "text_too_long"),
        ([*[picture(seed) for seed in range(4)], text("?")], "too_many_sources"),
        ([video("ftp://example.org/a.mp4"), text("?")], "invalid_url"),
        ([video("data:video/mp4;base64,?"), text("?")], "invalid_url"),
        ([video("data:video/mp4;base64,"), text("?")], "empty_file"),
        ([video("file-" + 64 * "0"), text("?")], "no_such_file"),
        ([video("file-../../etc/passwd"), text("?")], "no_such_file"),
        ([video("file:///etc/passwd"), text("?")], "path_not_allowed"),
        ([video("https://example.org/a.mp4"), text("?")], "host_not_allowed"),
        ([{"type": "file", "file": {}}, text("?")], "invalid_value"),
    ],
)
def test_what_comes_wrongly_is_refused(live: Live, content: Any, code: str) -> None:
    assert refused(live, content)[1] == code


def test_two_videos_or_a_video_and_a_picture_are_refused(live: Live, media: Path) -> None:
    clip, other = (video((media / name).as_uri()) for name in ("clip.mp4", "other.mp4"))
    for pair in ([clip, other], [clip, picture(1)]):
        assert refused(live, [*pair, text("?")])[:2] == (400, "too_many_sources")


def test_bodies_that_are_no_requests(live: Live) -> None:
    def post(path: str, body: bytes) -> tuple[int, str]:
        request = urllib.request.Request(live.url + path, body, {"Authorization": f"Bearer {KEY}"})
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)
        return caught.value.code, json.loads(caught.value.read())["error"]["code"]

    assert post("/v1/chat/completions", b"no JSON") == (400, "invalid_request")
    assert post("/v1/chat/completions", b"[]") == (400, "invalid_request")
    assert post("/v1/chat/completions", b'{"model": "himmel", "messages": []}') == (400, "invalid_request")
    assert post("/v1/files", b"no form") == (400, "invalid_request")
    assert post("/v1/embeddings", b"{}") == (404, "unknown_url")
