"""Questions from several threads at once, each with its own settings, and videos that are read once."""

import gc
import io
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

import himmel
from himmel.choices import MethodName, Scoring
from himmel.errors import UsageError, VideoError
from himmel.methods.cache import BoundedCache
from himmel.model import HimmelConfig
from himmel.model.threads import torch_threads
from himmel.video import Video
from tiny_hosts import Setup, build, host_config

Settings = dict[str, Any]

# Every setting that a question may bring, several of them on the same model and the same video.
MANY: tuple[Settings, ...] = (
    {},
    {"tokens_per_interval": 1},
    {"tokens_per_interval": 2, "placement": "prefix"},
    {"placement": "chunked"},
    {"times": "text"},
    {"placement": "attention", "num_anchors": 2},
    {"method": "anchors"},
    {"method": "dense", "num_frames": 5},
    {"method": "panel", "num_frames": 4},
    {"num_anchors": 4, "steps_per_interval": 2, "anchor_mode": "exact"},
    {"choices": ["left", "right", "it rests"]},
    {"choices": ["yes", "no"], "tokens_per_interval": 3},
    {"choices": ["yes", "no"], "method": "anchors"},
    {"choices": ["yes", "no"], "method": "dense", "num_frames": 2, "scoring": "raw"},
    {"choices": ["yes", "no"], "listing": "letters", "answer_form": "letter"},
    {"backend": "proxy", "steps_per_interval": 2},
)


@pytest.fixture
def clip(encode_clip: Callable[..., Path]) -> Path:
    return encode_clip("clip.mp4", num_frames=24, options={"g": "8"})


@pytest.fixture(scope="module", params=["nano", "qwen2_5_vl"])
def shared(request: pytest.FixtureRequest, tiny_host: Callable[[str], str]) -> Setup:
    kind = str(request.param)
    return build(host_config(kind, tiny_host(kind), num_anchors=3, steps_per_interval=3))


def what_counts(answer: himmel.Answer) -> tuple[Any, ...]:
    """All that may not depend on who else is asking; scores only to what a kept prompt's rounding leaves of them."""
    choices = [
        (one.text, pytest.approx(one.log_likelihood, abs=1e-4), pytest.approx(one.probability, abs=1e-4))
        for one in answer.choices
    ]
    return answer.text, choices, answer.tokens, answer.prompt_sha256, answer.video, answer.notes


def test_eight_threads_get_what_one_gets(shared: Setup, clip: Path) -> None:
    jobs = [dict(settings, threads=1, max_new_tokens=4) for settings in MANY] * 3
    alone = himmel.Session(shared.model)
    expected = [what_counts(alone.ask(clip, "What moves?", **job)) for job in jobs]
    assert all(one != other for one, other in combinations(expected[: len(MANY)], 2))
    before = shared.model.config.to_dict()
    together = himmel.Session(shared.model)
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(lambda job: what_counts(together.ask(clip, "What moves?", **job)), jobs)]
    assert found == expected
    assert shared.model.config.to_dict() == before


def test_a_default_call_never_gets_another_calls_tokens(shared: Setup, clip: Path) -> None:
    """Four threads, half of their calls with a setting of their own; the model's settings are nobody's to change."""
    session = himmel.Session(shared.model)
    settings: list[Settings] = [{}, {"tokens_per_interval": 1, "placement": "suffix"}] * 12

    def count(own: Settings) -> int:
        return session.ask(clip, "What moves?", choices=["a", "b"], threads=1, **own).tokens["motion"]

    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(count, settings)] == [3 * 4, 3 * 1] * 12
    assert (shared.model.config.tokens_per_interval, shared.model.config.placement) == (None, "per_anchor")


def test_generation_keeps_nothing_in_a_qwen(tiny_host: Callable[[str], str], clip: Path) -> None:
    setup = build(host_config("qwen2_5_vl", tiny_host("qwen2_5_vl"), num_anchors=2, steps_per_interval=2))
    himmel.Session(setup.model).ask(clip, "What moves?", max_new_tokens=3)
    assert setup.model.network.model.rope_deltas is None


def test_a_second_question_reads_nothing_again(
    shared: Setup, clip: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session = himmel.Session(shared.model)
    first = session.ask(clip, "What moves?", max_new_tokens=2)
    assert {"open", "extract", "hash", "prepare", "answer"} <= first.seconds.keys()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the video was read again")

    for name in ("__init__", "decompose"):
        monkeypatch.setattr(Video, name, refuse)
    second = session.ask(clip, "Which way?", choices=["left", "right"], tokens_per_interval=1)
    assert second.video == first.video
    assert second.seconds.keys() == {"answer"}
    session.ask(clip, "What moves?", max_new_tokens=2, picture=tmp_path / "streams.png")
    assert (tmp_path / "streams.png").stat().st_size > 1000
    with pytest.raises(AssertionError, match="read again"):
        session.ask(clip, "What moves?", num_anchors=2)


def test_an_open_video_is_extracted_once(shared: Setup, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, session = himmel.Video(clip), himmel.Session(shared.model)
    first = session.ask(opened, "What moves?", max_new_tokens=2)
    monkeypatch.setattr(Video, "decompose", None)
    assert session.ask(opened, "What moves?", max_new_tokens=2).text == first.text


def test_bytes_are_a_video_too(shared: Setup, clip: Path) -> None:
    session = himmel.Session(shared.model)
    expected = session.ask(clip, "What moves?", max_new_tokens=2)
    for given in (clip.read_bytes(), io.BytesIO(clip.read_bytes())):
        found = session.ask(given, "What moves?", max_new_tokens=2)
        assert (found.text, found.video.sha256) == (expected.text, expected.video.sha256)


def test_no_copy_of_bytes_is_kept(shared: Setup, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(copies))
    himmel.Session(shared.model).ask(io.BytesIO(clip.read_bytes()), "What moves?", max_new_tokens=1)
    session = himmel.Session(shared.model)
    session.ask(clip.read_bytes(), "What moves?", max_new_tokens=1)
    gc.collect()
    assert not list(copies.iterdir())


def test_a_file_that_changed_is_read_anew(shared: Setup, encode_clip: Callable[..., Path]) -> None:
    session = himmel.Session(shared.model)
    clip = encode_clip("changing.mp4", num_frames=24, options={"g": "8"})
    first = session.ask(clip, "What moves?", max_new_tokens=2)
    os.replace(encode_clip("other.mp4", "still", num_frames=20, options={"g": "8"}), clip)
    second = session.ask(clip, "What moves?", max_new_tokens=2)
    assert (first.video.num_frames, second.video.num_frames) == (24, 20)
    assert first.video.sha256 != second.video.sha256


def test_without_a_cache_every_question_reads(shared: Setup, clip: Path) -> None:
    session = himmel.Session(shared.model, cache_bytes=0)
    for _ in range(2):
        assert "extract" in session.ask(clip, "What moves?", max_new_tokens=1).seconds


def test_the_cache_keeps_to_its_bound() -> None:
    cache: BoundedCache[str] = BoundedCache(10)
    cache.put("a", "A", 4)
    cache.put("b", "B", 4)
    assert cache.get("a") == "A"
    cache.put("c", "C", 4)
    assert [cache.get(key) for key in "abc"] == ["A", None, "C"]
    cache.put("huge", "H", 11)
    assert [cache.get(key) for key in ("a", "c", "huge")] == ["A", "C", None]
    cache.put("a", "AA", 10)
    assert [cache.get(key) for key in "ac"] == ["AA", None]
    assert cache.held == 10


def test_asking_leaves_torch_as_it_was(shared: Setup, clip: Path) -> None:
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    himmel.Session(shared.model).ask(clip, "What moves?", seed=7, threads=threads + 1, max_new_tokens=2)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_threads_number_of_threads_is_its_own() -> None:
    before = torch.get_num_threads()
    with ThreadPoolExecutor(1) as pool, torch_threads(before + 3):
        assert torch.get_num_threads() == before + 3
        assert pool.submit(torch.get_num_threads).result() != before + 3
    assert torch.get_num_threads() == before


def test_the_callers_settings_stay_the_callers(tiny_host: Callable[[str], str]) -> None:
    config: HimmelConfig = host_config("nano", "somewhere else")
    model = himmel.HimmelForConditionalGeneration.from_config(config, host=tiny_host("nano"))
    assert (config.host, model.config.host) == ("somewhere else", tiny_host("nano"))
    model.merge_lora()
    assert (config.lora_rank, config.own_language_model) == (4, False)


@pytest.mark.parametrize("method", ["himmel", "dense", "look_m"])
def test_options_are_compared_as_suits_the_host(shared: Setup, clip: Path, method: MethodName) -> None:
    session = himmel.Session(shared.model)
    fitting = {"nano": "prior", "qwen2_5_vl": "byte"}[shared.model.host.name]
    choices = ["left", "to the right of it"]
    found = {
        scoring: session.ask(clip, "Which way?", choices=choices, method=method, scoring=scoring)
        for scoring in (None, *get_args(Scoring))
    }
    by_itself = found.pop(None)
    assert by_itself.scoring == fitting
    assert what_scored(by_itself) == pytest.approx(what_scored(found[fitting]), abs=1e-4)
    others = [what_scored(answer) for scoring, answer in found.items() if scoring != fitting]
    assert all(scores != pytest.approx(what_scored(by_itself), abs=1e-3) for scores in others)


def what_scored(answer: himmel.Answer) -> list[float]:
    return [one.score for one in answer.choices]


def test_a_model_is_loaded_once(shared: Setup, clip: Path, tmp_path: Path) -> None:
    shared.model.save_pretrained(tmp_path / "saved")
    session = himmel.Session(adapter=tmp_path / "saved")
    with ThreadPoolExecutor(4) as pool:
        loaded = {id(model) for model in pool.map(lambda _: session.model, range(8))}
    assert len(loaded) == 1
    answer = session.ask(clip, "What moves?", max_new_tokens=2)
    assert answer.adapter == str(tmp_path / "saved")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"choices": "left"}, "choices='left' is not a list of texts"),
        ({"choices": ["left", 3]}, "not all texts"),
        ({"num_anchors": "4"}, "num_anchors='4' is out of range; give a whole number from 1 to 64"),
        ({"num_anchors": 2.5}, r"num_anchors=2\.5 is out of range"),
        ({"num_anchors": True}, "num_anchors=True is out of range"),
        ({"tokens_per_interval": 5}, "1 to 4"),
        ({"threads": 0}, "threads=0 is out of range; give a whole number from 1 to 256"),
        ({"seed": 2**70}, "seed=1180591620717411303424 is out of range"),
        ({"seed": -1}, "seed=-1 is out of range"),
        ({"max_new_tokens": 1.5}, r"max_new_tokens=1\.5 is out of range"),
        ({"accumulate": "no"}, "accumulate='no'"),
        ({"scoring": "fair"}, "scoring='fair' does not exist"),
        ({"method": "dens"}, "There is no method 'dens'; did you mean 'dense'"),
        ({"method": "dense", "num_anchors": 3}, "method 'dense' has no option 'num_anchors'; it has num_frames"),
        ({"method": "dense", "num_frames": 0}, "num_frames=0 is out of range"),
        ({"method": "panel", "num_frames": 1}, "num_frames=1 is out of range"),
        ({"method": "rgb_diff"}, "'rgb_diff' needs an adapter that was trained on the stream rgb_diff"),
        ({"backend": "mpeg"}, "backend='mpeg' does not exist; choose one of auto"),
        ({"anchor_mode": "random"}, "anchor_mode='random' does not exist; choose one of keyframe"),
        ({"placement": "anywhere"}, "placement='anywhere' does not exist"),
    ],
)
def test_what_makes_no_sense_is_refused_at_the_door(shared: Setup, settings: Settings, message: str) -> None:
    """Before the file is looked at, which isn't there."""
    with pytest.raises(UsageError, match=message) as caught:
        himmel.Session(shared.model).ask("nowhere.mp4", "What moves?", **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"picture": 3}, "picture=3 is not a path"), ({"choices": ["left", "\udcff"]}, "option .* not UTF-8")],
)
def test_paths_and_options_are_checked_too(shared: Setup, settings: Settings, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        himmel.Session(shared.model).ask("nowhere.mp4", "What moves?", **settings)


@pytest.mark.parametrize("size", [-1, None, "512", 2.5])
def test_a_caches_size_is_a_number(shared: Setup, size: Any) -> None:
    with pytest.raises(UsageError, match="cache_bytes="):
        himmel.Session(shared.model, cache_bytes=size)


def test_a_question_that_is_not_utf8_is_refused(shared: Setup) -> None:
    with pytest.raises(UsageError, match=r"question .* not UTF-8"):
        himmel.Session(shared.model).ask("nowhere.mp4", os.fsdecode(b"What moves\xff?"))


@pytest.mark.parametrize("question", [None, 7, "", " "])
def test_a_question_is_a_text(shared: Setup, question: Any) -> None:
    with pytest.raises(UsageError, match="ask something, for example 'What moves"):
        himmel.Session(shared.model).ask("nowhere.mp4", question)
    with pytest.raises(VideoError):
        himmel.Session(shared.model).ask("nowhere.mp4", "What moves?")


def test_a_prompt_beyond_the_hosts_context_is_refused(
    shared: Setup, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = himmel.Session(shared.model)
    used = int(session.ask(clip, "What moves?", max_new_tokens=1, method="anchors").tokens["text"])
    monkeypatch.setattr(shared.model.host, "context_length", used)
    with pytest.raises(UsageError, match=r"The prompt takes \d+ positions and the host '\w+' has \d+; ask a shorter"):
        session.ask(clip, "What moves?")
