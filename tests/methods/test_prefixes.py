"""A second question about a video begins where the first one's prompt was read, and its answer is the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import DynamicCache

from himmel.methods.cache import BoundedCache
from himmel.methods.choice import build as build_method
from himmel.methods.decoding import Decoding, Token
from himmel.methods.prefixes import Past, Prefix
from himmel.methods.question import Question
from himmel.methods.session import Session
from himmel.model.host_model import HostModel
from tiny_hosts import Setup

QUESTIONS = ("What moves?", "Which way does it move, and how fast?", "Where?")
METHODS: dict[str, Any] = {"himmel": {}, "dense": {"num_frames": 4}, "motion_text": {}}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens of a prompt each reading was about, padding included."""
    found: list[int] = []
    read_prompts = HostModel.read

    def count(model: HostModel, inputs: Any, **options: Any) -> Any:
        found.append(inputs.input_ids.shape[1])
        return read_prompts(model, inputs, **options)

    monkeypatch.setattr(HostModel, "read", count)
    return found


def hear(session: Session, video: Any, question: Question, method: Any) -> tuple[Any, list[Token]]:
    heard: list[Token] = []
    decoding = Decoding(max_new_tokens=5, alternatives=3, hear=lambda one: not heard.append(one))
    return session.answer([video], [question], [decoding], method=method, threads=1)[0], heard


@pytest.mark.parametrize("name", METHODS)
def test_the_second_question_gets_what_it_gets_alone(host_setup: Setup, clip: Path, read: list[int], name: str) -> None:
    method = build_method(name, **METHODS[name])
    session, fresh = Session(host_setup.model), Session(host_setup.model, prompt_cache_bytes=0)
    video = session.prepare(clip, method=method, threads=1)
    for number, text in enumerate(QUESTIONS):
        (own, tokens), (known, others) = (hear(one, video, Question(text), method) for one in (session, fresh))
        assert (own.text, own.tokens, own.prompt_sha256) == (known.text, known.tokens, known.prompt_sha256)
        assert [one.id for one in tokens] == [one.id for one in others]
        assert [one.log_probability for one in tokens] == pytest.approx(
            [one.log_probability for one in others], abs=1e-4
        )
        assert known.cached_tokens == 0
        visual = own.tokens["image"] + own.tokens["motion"]
        assert (own.cached_tokens > visual) == (number > 0)
        first, second = read[-2:]
        assert first == second - own.cached_tokens


@pytest.mark.parametrize("scoring", ["raw", "prior"])
def test_options_are_scored_behind_what_was_read(host_setup: Setup, clip: Path, scoring: Any) -> None:
    session, fresh = Session(host_setup.model), Session(host_setup.model, prompt_cache_bytes=0)
    for number, text in enumerate(QUESTIONS):
        asked: Any = {"choices": ["left", "to the right and up"], "scoring": scoring, "threads": 1}
        own, known = (one.ask(clip, text, **asked) for one in (session, fresh))
        assert (own.cached_tokens > 0) == (number > 0)
        assert [one.log_likelihood for one in own.choices] == pytest.approx(
            [one.log_likelihood for one in known.choices], abs=1e-4
        )
        assert [one.score for one in own.choices] == pytest.approx([one.score for one in known.choices], abs=1e-4)


def test_a_batch_about_one_video_reads_it_once(host_setup: Setup, clip: Path, read: list[int]) -> None:
    """Free questions and options, of two videos, some of which wait for what others read."""
    method = build_method("himmel")
    session, fresh = Session(host_setup.model), Session(host_setup.model, prompt_cache_bytes=0)
    asked: Any = [(clip, Question(text)) for text in QUESTIONS]
    asked += [(clip, Question(QUESTIONS[0], ("left", "right")))]
    own, known = (one.ask_all(asked, method=method, max_new_tokens=5, threads=1) for one in (session, fresh))
    assert [one.text for one in own] == [one.text for one in known]
    assert [one.cached_tokens > 0 for one in own] == [False, True, True, True]
    longest = max(sum(one.tokens.values()) for one in own)
    assert sum(size > longest // 2 for size in read[: len(read) // 2]) == 1


def test_a_conversation_goes_on_where_it_was(host_setup: Setup, clip: Path) -> None:
    method = build_method("dense", num_frames=2)
    session, fresh = Session(host_setup.model), Session(host_setup.model, prompt_cache_bytes=0)
    long = "It is a ball that rolls over the floor, and then it comes back again. " * 8
    turns = [Question("What moves?"), Question("Why?", before=(("What moves?", long),))]
    turns.append(Question("And then?", before=(("What moves?", long), ("Why?", "Who knows?"))))
    cached = []
    for question in turns:
        prepared = session.prepare(clip, method=method, threads=1)
        (own, _), (known, _) = (hear(one, prepared, question, method) for one in (session, fresh))
        assert own.text == known.text
        cached.append(own.cached_tokens)
    assert 0 == cached[0] < cached[1] < cached[2]


def test_methods_and_videos_do_not_take_each_others(
    host_setup: Setup, clip: Path, encode_clip: Callable[..., Path]
) -> None:
    """Placeholders of two videos are the same ids."""
    other = encode_clip("other.mp4", "still", num_frames=24, options={"g": "8"})
    session = Session(host_setup.model)
    first = session.ask(clip, "What moves?", threads=1)
    assert session.ask(other, "What moves?", threads=1).cached_tokens == 0
    assert session.ask(clip, "What moves?", method="himmel", placement="prefix", threads=1).cached_tokens == 0
    assert session.ask(clip, "What moves?", method="anchors", threads=1).cached_tokens == 0
    assert session.ask(clip, "What moves?", threads=1).cached_tokens == sum(first.tokens.values()) - 1


def test_what_removes_tokens_keeps_nothing(host_setup: Setup, clip: Path) -> None:
    session = Session(host_setup.model)
    for _ in range(2):
        answer = session.ask(clip, "What moves?", method="uniform_drop", num_frames=4, threads=1)
        assert answer.cached_tokens == 0


def test_what_is_kept_is_bounded_and_the_oldest_goes() -> None:
    def read(rows: int) -> DynamicCache:
        cache = DynamicCache()
        for layer in range(2):
            cache.update(torch.randn(rows, 1, 10, 4), torch.randn(rows, 1, 10, 4), layer)
        return cache

    size = 2 * 2 * 8 * 4 * 4 + 8 * 8
    kept: BoundedCache[Prefix] = BoundedCache(2 * size)
    ids, columns = torch.arange(8), torch.arange(2, 10)
    pasts = [Past(kept, key) for key in "abc"]
    cache = read(3)
    layers: Any = cache.layers
    for row, past in enumerate(pasts):
        past.keep(ids, cache, row, columns)
        assert kept.held <= 2 * size
    assert [past.find() is not None for past in pasts] == [False, True, True]
    found = pasts[2].find()
    assert found is not None
    assert torch.equal(found.keys[1], layers[1].keys[2, :, 2:])
    assert found.num_bytes == size
    small: BoundedCache[Prefix] = BoundedCache(size // 2)
    Past(small, "a").keep(ids, cache, 0, columns)
    assert small.held == 0
