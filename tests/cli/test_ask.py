"""`himmel ask` and `himmel.ask` on real files, with a tiny model of the real classes."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import himmel
from himmel.errors import UsageError
from tiny_hosts import nano_config, tiny_adapter

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def clip(encode_clip: Callable[..., Path]) -> Path:
    return encode_clip("clip.mp4", num_frames=30, options={"g": "10"})


@pytest.fixture
def ask(run: Run, clip: Path, checkpoint: Path) -> Callable[..., dict[str, Any]]:
    def ask_json(*options: str, question: str = "What moves?") -> dict[str, Any]:
        code, out, err = run(
            "ask", clip, question, "--adapter", checkpoint, "--max-new-tokens", "4", "--json", *options
        )
        assert (code, err) == (0, "")
        return dict(json.loads(out))

    return ask_json


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_record_says_what_was_read(ask: Callable[..., dict[str, Any]], clip: Path) -> None:
    said = ask()
    video, tokens = said["video"], said["tokens"]
    assert video["sha256"] == hashlib.sha256(clip.read_bytes()).hexdigest()
    assert (video["codec"], video["backend"], video["num_frames"]) == ("h264", "bitstream", 30)
    expected = himmel.Video(clip).decompose(num_anchors=3, steps_per_interval=4)
    assert [anchor["frame"] for anchor in video["anchors"]] == [anchor.frame for anchor in expected.anchors]
    assert [anchor["keyframe"] for anchor in video["anchors"]] == [True, True, True]
    assert [one["frames"] for one in video["intervals"]] == [one.frames.tolist() for one in expected.intervals]
    assert [one["times"] for one in video["intervals"]] == [one.times.tolist() for one in expected.intervals]
    assert video["num_vectors"] == expected.num_vectors > 0
    assert (tokens["image"], tokens["motion"]) == (3 * 16, 3 * 4)
    assert {"open", "extract", "load", "prepare", "answer"} <= set(said["seconds"])
    assert {"himmel", "torch", "transformers", "av", "ffmpeg"} <= set(said["versions"])
    assert said["peak_memory"] > 1e7
    assert (said["seed"], said["method"], said["choices"], said["removed"]) == (0, "himmel", [], None)


def test_times_are_told_where_one_asks_for_them(ask: Callable[..., dict[str, Any]]) -> None:
    plain, told = ask(), ask("--times", "text")
    assert {kind: told["tokens"][kind] for kind in ("image", "motion")} == {"image": 3 * 16, "motion": 3 * 4}
    assert told["tokens"]["text"] > plain["tokens"]["text"] + 6
    assert ask("--times", "none")["prompt_sha256"] == plain["prompt_sha256"] != told["prompt_sha256"]
    assert ask("--times", "text", "--method", "anchors")["tokens"]["text"] < told["tokens"]["text"]


def test_same_question_same_answer(ask: Callable[..., dict[str, Any]], threads: None) -> None:
    first, second = ask("--threads", "1"), ask("--threads", "2")
    assert first["text"] == second["text"]
    assert first["prompt_sha256"] == second["prompt_sha256"]
    assert ask(question="What rests?")["prompt_sha256"] != first["prompt_sha256"]


def test_options_change_what_is_read(ask: Callable[..., dict[str, Any]]) -> None:
    said = ask("--anchors", "2", "--steps", "1", "--tokens", "1")
    assert (said["tokens"]["image"], said["tokens"]["motion"]) == (2 * 16, 2 * 1)
    assert [len(interval["frames"]) for interval in said["video"]["intervals"]] == [1, 1]
    assert ask("--backend", "proxy")["video"]["backend"] == "proxy"
    trained, moved = ask(), ask("--placement", "suffix")
    assert trained["tokens"] == moved["tokens"]
    assert trained["prompt_sha256"] != moved["prompt_sha256"]
    assert {anchor["reason"] for anchor in trained["video"]["anchors"]} == {"uniform"}
    scenes = ask("--anchor-mode", "scene")["video"]["anchors"]
    assert [anchor["reason"] for anchor in scenes] == ["start", "coverage", "coverage"]


def test_anchors_alone_have_no_motion_tokens(ask: Callable[..., dict[str, Any]]) -> None:
    said = ask("--method", "anchors")
    assert (said["tokens"]["motion"], said["method"]) == (0, "anchors")


def test_choices_are_scored_and_the_likeliest_is_the_answer(ask: Callable[..., dict[str, Any]]) -> None:
    options = ["--choice", "to the left", "--choice", "up", "--choice", "nowhere at all", "--scoring", "raw"]
    scored = ask(*options)["choices"]
    assert [one["text"] for one in scored] == ["to the left", "up", "nowhere at all"]
    assert math.isclose(sum(one["probability"] for one in scored), 1)
    weights = [math.exp(one["log_likelihood"]) for one in scored]
    assert all(
        math.isclose(one["probability"], weight / sum(weights), rel_tol=1e-6)
        for one, weight in zip(scored, weights, strict=True)
    )
    assert ask(*options)["text"] == max(scored, key=lambda one: one["probability"])["text"]


def test_a_choice_has_the_likelihood_of_its_text_after_the_prompt(clip: Path, checkpoint: Path) -> None:
    """Token by token through the plain forward pass, one option at a time."""
    model = himmel.HimmelForConditionalGeneration.from_pretrained(checkpoint)
    processor = himmel.HimmelProcessor(model.config, model.host)
    answer = himmel.ask(clip, "Which way?", model=model, choices=["to the left", "up"])
    sample = processor.prepare(himmel.Video(clip).decompose(num_anchors=3, steps_per_interval=4))
    for choice in answer.choices:
        inputs = processor.encode([sample], [[("Which way?", choice.text)]])
        with torch.no_grad():
            loss = model(inputs).loss
        total = -float(loss) * int((inputs.labels >= 0).sum())
        assert math.isclose(choice.log_likelihood, total, rel_tol=1e-4)


def test_for_a_person(run: Run, clip: Path, checkpoint: Path, tmp_path: Path) -> None:
    picture = tmp_path / "streams.png"
    options = ("--choice", "left", "--choice", "right", "--picture", picture)
    code, out, err = run("ask", clip, "Which way?", "--adapter", checkpoint, *options)
    shown = " ".join(out.split())
    assert (code, err) == (0, "")
    assert shown.startswith(("left", "right"))
    for part in ("h264", "bitstream", "3: frame 0 at 0.00 s (keyframe)", "vectors read", "48 image", "12 motion", "MB"):
        assert part in shown
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "code", "names"),
    [
        (("--adapter", "nowhere"), 1, "nowhere"),
        (("--host", "no/such/host"), 1, "no/such/host"),
        (("--tokens", "5"), 2, "tokens_per_interval=5"),
        (("--backend", "magic"), 2, "'magic'"),
        (("--device", "abacus"), 2, "'abacus'"),
        (("--device", "cuda:99"), 2, "'cuda:99'"),
    ],
)
def test_what_does_not_exist_is_one_sentence(
    run: Run, clip: Path, checkpoint: Path, options: tuple[str, str], code: int, names: str
) -> None:
    given = options if "--adapter" in options else ("--adapter", str(checkpoint), *options)
    exit_code, out, err = run("ask", clip, "What moves?", *given)
    assert (exit_code, out) == (code, "")
    assert err.startswith("himmel: ")
    assert err.count("\n") == 1
    assert names in err
    assert "unexpected" not in err


@pytest.mark.parametrize(
    ("name", "options", "anchors"),
    [
        ("one.mp4", {"num_frames": 1}, 1),
        ("short.mp4", {"num_frames": 2}, 2),
        ("tiny.mp4", {"size": (8, 8), "num_frames": 12}, 3),
        ("odd.mp4", {"size": (37, 51), "num_frames": 12, "pix_fmt": "yuv444p"}, 3),
        ("vp9.webm", {"codec": "libvpx-vp9", "num_frames": 8}, 3),
    ],
)
def test_unusual_files_are_answered(
    run: Run, encode_clip: Callable[..., Path], checkpoint: Path, name: str, options: dict[str, Any], anchors: int
) -> None:
    video = encode_clip(name, **options)
    code, out, err = run("ask", video, "What?", "--adapter", checkpoint, "--max-new-tokens", "2", "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    assert len(said["video"]["anchors"]) == anchors
    assert said["tokens"]["motion"] == 4 * anchors
    assert bool(said["notes"]) or anchors == 3


def test_a_model_is_loaded_once_for_many_questions(
    clip: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = himmel.HimmelForConditionalGeneration.from_pretrained(checkpoint)

    def load(*arguments: Any, **options: Any) -> None:
        pytest.fail("the model was loaded again")

    monkeypatch.setattr(himmel.HimmelForConditionalGeneration, "from_pretrained", load)
    video = himmel.Video(clip)
    answers = [himmel.ask(video, "What moves?", model=model, tokens_per_interval=count) for count in (2, None)]
    assert [answer.tokens["motion"] for answer in answers] == [6, 12]
    with pytest.raises(UsageError, match="give one or the other"):
        himmel.ask(video, "What moves?", model=model, adapter=checkpoint)


@pytest.mark.parametrize(
    "options",
    [
        {"choices": ["one"]},
        {"choices": ["a", "a "]},
        {"max_new_tokens": 0},
        {"num_anchors": 65},
        {"steps_per_interval": 129},
        {"placement": "anywhere"},
    ],
)
def test_arguments_that_make_no_sense(clip: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        himmel.ask(clip, "What moves?", **options)


def test_a_model_of_rgb_difference_gets_it(clip: Path, nano_folder: str) -> None:
    adapter = tiny_adapter(32, context_size=7, context_channels=1472, streams=("context", "rgb_diff"))
    config = nano_config(nano_folder, adapter_config=adapter, num_anchors=2, steps_per_interval=3)
    model = himmel.HimmelForConditionalGeneration.from_config(config)
    answer = himmel.ask(clip, "What moves?", model=model, max_new_tokens=2)
    assert answer.seconds["rgb_difference"] > 0
    assert answer.tokens["motion"] > 0
