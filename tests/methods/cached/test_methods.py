"""`look_m` and `hermes` asked as users ask them."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from himmel.errors import UsageError
from himmel.methods.answer import Answer
from himmel.methods.choice import build
from himmel.methods.question import Question
from himmel.methods.session import Session
from tiny_hosts import Setup

CHOICES = ("left", "right")
METHODS = {"look_m": {}, "hermes": {"budget": 12, "chunk_frames": 2}}
# What keeps everything and says so.
IDLE = {"look_m": {"important_ratio": 0.5, "recent_ratio": 0.5}, "hermes": {"budget": 5000}}


@pytest.fixture(scope="session")
def clip(write_clip: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "pan.mp4", num_frames=30, options={"g": "10"})


def ask(setup: Setup, clip: Path, method: str, **options: Any) -> Answer:
    return Session(setup.model).ask(clip, "Which way?", method=method, num_frames=6, **options)


@pytest.mark.parametrize("method", METHODS)
def test_every_host_answers_and_says_what_is_gone(host_setup: Setup, clip: Path, method: str) -> None:
    begin = time.perf_counter()
    said = ask(host_setup, clip, method, max_new_tokens=3, **METHODS[method])
    taken = time.perf_counter() - begin
    dense = ask(host_setup, clip, "dense", max_new_tokens=3)
    removed = said.removed
    assert removed is not None
    assert removed.unit == "cache entries"
    assert 0 < removed.after < removed.before <= sum(said.tokens.values())
    assert 0 < removed.merged <= removed.before - removed.after
    assert (said.prompt_sha256, said.tokens) == (dense.prompt_sha256, dense.tokens)
    assert 0 < said.first_token <= taken
    scored = ask(host_setup, clip, method, choices=CHOICES, **METHODS[method])
    assert sum(choice.probability for choice in scored.choices) == pytest.approx(1)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_question_gets_the_same_answer_in_a_batch(nano: Setup, clip: Path, method: str) -> None:
    session = Session(nano.model)
    questions = [Question("Which way?", CHOICES), Question("What moves?"), Question("Which way?", CHOICES)]
    options = {"method": method, "num_frames": 6, "max_new_tokens": 3, **METHODS[method]}
    together = session.ask_all([(clip, question) for question in questions], **options)
    for question, answer in zip(questions, together, strict=True):
        alone = session.ask_all([(clip, question)], **options)[0]
        assert (alone.text, alone.choices, alone.removed) == (answer.text, answer.choices, answer.removed)


def test_look_m_keeps_a_quarter_at_the_reports_ratio(nano: Setup, clip: Path) -> None:
    """Of 6 frames of 16 tokens and 2 markers, which are most of the prompt; text is kept whole."""
    for ratios, kept in (((0.125, 0.125), 0.25), ((0.35, 0.25), 0.6)):
        removed = ask(nano, clip, "look_m", important_ratio=ratios[0], recent_ratio=ratios[1]).removed
        assert removed is not None
        text = removed.before - 6 * 18
        recent = int(removed.before * ratios[1])
        assert removed.after >= int(removed.before * kept) - 1
        assert removed.after <= max(int(removed.before * ratios[0]), text) + recent
        assert removed.merged == removed.before - removed.after


def test_weighted_merging_drops_what_is_unlike(nano: Setup, clip: Path) -> None:
    removed = ask(nano, clip, "look_m", merge="weighted").removed
    assert removed is not None
    assert 0 < removed.merged < removed.before - removed.after


def test_few_queries_choose_otherwise(nano: Setup, clip: Path) -> None:
    whole = ask(nano, clip, "look_m", choices=CHOICES, scoring="raw", important_ratio=0.4)
    few = ask(nano, clip, "look_m", choices=CHOICES, scoring="raw", important_ratio=0.4, scored_queries=1)
    assert whole.removed == few.removed
    assert [one.log_likelihood for one in whole.choices] != [one.log_likelihood for one in few.choices]


@pytest.mark.parametrize("change", [{"reindex": "offline"}, {"as_released": True}])
def test_options_of_hermes_change_what_is_kept(nano: Setup, clip: Path, change: dict[str, Any]) -> None:
    usual = ask(nano, clip, "hermes", choices=CHOICES, scoring="raw", **METHODS["hermes"])
    changed = ask(nano, clip, "hermes", choices=CHOICES, scoring="raw", **METHODS["hermes"], **change)
    assert usual.removed == changed.removed
    assert [one.log_likelihood for one in usual.choices] != [one.log_likelihood for one in changed.choices]


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_removes_nothing_says_what_to_change(nano: Setup, clip: Path, method: str) -> None:
    with pytest.raises(UsageError, match=rf"{method} would (merge|drop) nothing: .*lower .*, or show more frames\."):
        ask(nano, clip, method, **IDLE[method])


@pytest.mark.parametrize("method", METHODS)
def test_a_prompt_longer_than_the_host_is_refused(
    nano: Setup, clip: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nano.model.host, "context_length", 60)
    with pytest.raises(UsageError, match=r"(takes|take) \d+ positions and the host 'nano' has 60"):
        ask(nano, clip, method, **METHODS[method])


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("look_m", {"merge": "sum"}, "merge='sum' does not exist; choose one of average, pivot, weighted"),
        ("look_m", {"important_ratio": 1.5}, r"important_ratio=1\.5 is out of range; give a number from 0 to 1"),
        ("look_m", {"recent_ratio": "all"}, "recent_ratio='all' is out of range"),
        ("look_m", {"important_ratio": 0.7, "recent_ratio": 0.4}, "keep more than the whole cache"),
        ("look_m", {"scored_queries": 0}, "scored_queries=0 is out of range"),
        ("hermes", {"budget": 0}, "budget=0 is out of range"),
        ("hermes", {"chunk_frames": 0}, "chunk_frames=0 is out of range"),
        ("hermes", {"reindex": "never"}, "reindex='never' does not exist; choose one of streaming, offline"),
        ("hermes", {"as_released": 1}, "as_released=1 is not possible; give True or False"),
        ("hermes", {"kept": 3}, "The method 'hermes' has no option 'kept'; it has num_frames, .*budget"),
    ],
)
def test_options_out_of_range_are_refused(method: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(method, **options)
