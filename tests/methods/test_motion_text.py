"""`motion_text`: motion in words before the question, on every kind of host and for an API."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from himmel.errors import UsageError
from himmel.evaluation.api.showing import check_askable, show_by
from himmel.methods.choice import build
from himmel.methods.motion_text import MotionText
from himmel.methods.protocol import Shown
from himmel.methods.question import Question
from himmel.methods.session import Session
from himmel.model.encoder import PromptEncoder
from himmel.model.host_model import HostModel
from himmel.video import Video
from tiny_hosts import Setup

QUESTION = "Which way does the camera pan?"


def shown_by(method: MotionText, model: HostModel, clip: Path) -> tuple[Shown, PromptEncoder]:
    processor = method.processor(model)
    return method.prepare(method.reading(None).read(Video(clip)), processor), processor


@pytest.mark.parametrize("frames", [2, 0])
def test_a_host_is_told_and_says_what_it_cost(frames: int, host_setup: Setup, clip: Path) -> None:
    session = Session(host_setup.model)
    asked = {"method": "motion_text", "num_frames": frames, "choices": ["left", "right"]}
    answer = session.ask(clip, QUESTION, **asked)  # type: ignore[arg-type]
    assert answer.text in ("left", "right")
    assert answer.options == {
        "num_frames": frames,
        "frame_mode": "exact",
        "text_tokens": 256,
        "backend": "auto",
        "max_pictures": 1200,
    }
    assert (len(answer.video.anchors), answer.video.backend) == (frames, "bitstream")
    assert (answer.tokens["image"] > 0, answer.tokens["motion"]) == (frames > 0, 0)
    words = Video(clip).describe().text()
    assert "the camera pans left" in words
    count = len(host_setup.model.host.encode_text(words))
    assert f"The time line in words takes {count} tokens, of at most 256." in answer.notes
    plain = session.ask(clip, QUESTION, method="dense", num_frames=max(frames, 1), choices=["left", "right"])
    # Pictures have markers, which count as text; one more token may be a line's end.
    assert answer.tokens["text"] - plain.tokens["text"] == pytest.approx(count, abs=8)
    free = session.ask(clip, QUESTION, method="motion_text", num_frames=frames, max_new_tokens=2)
    assert free.tokens == answer.tokens


def test_the_words_come_after_the_frames_and_before_the_question(host_setup: Setup, clip: Path) -> None:
    shown, processor = shown_by(MotionText(num_frames=1), host_setup.model, clip)
    words = Video(clip).describe().text()
    assert shown.ask(Question(QUESTION)) == f"{words}\n{QUESTION}"
    ids = processor.prompt_ids(shown.sample, shown.turns(Question(QUESTION)), motion=False)
    last_picture = int((ids == processor.host.image_token_id).nonzero().max())
    assert "pans left" in processor.decode(ids[last_picture:])


def test_asked_blind_the_words_are_left_out(host_setup: Setup, clip: Path) -> None:
    shown, _ = shown_by(MotionText(num_frames=0), host_setup.model, clip)
    assert shown.ask_blind(Question(QUESTION)) == QUESTION


def test_the_words_fit_in_the_budget_of_the_hosts_own_tokens(
    host_setup: Setup, encode_clip: Callable[..., Path]
) -> None:
    rng = np.random.default_rng(0)
    scenes = [np.full((96, 128, 3), level, np.uint8) for level in (20, 90, 160, 230)]
    noisy = [np.clip(s + rng.normal(0, 25, s.shape), 0, 255).astype(np.uint8) for s in scenes for _ in range(25)]
    clip = encode_clip("cuts.mp4", noisy)
    whole = len(host_setup.model.host.encode_text(Video(clip).describe().text()))
    budget = max(64, whole - 20)
    shown, processor = shown_by(MotionText(num_frames=0, text_tokens=budget), host_setup.model, clip)
    assert len(processor.host.encode_text(shown.preface)) <= budget


def test_a_batch_gives_what_each_question_gets_alone(host_setup: Setup, encode_clip: Callable[..., Path]) -> None:
    """A video of which words alone are shown beside a picture."""
    session = Session(host_setup.model)
    clip, picture = encode_clip("a.mp4", num_frames=20), Image.fromarray(np.full((48, 64, 3), 90, np.uint8))
    asked = [(clip, Question("What moves?", ("to the left", "up"))), (picture, Question("What is it?", ("one", "two")))]
    together = session.ask_all(asked, method="motion_text", num_frames=0)
    for (source, question), found in zip(asked, together, strict=True):
        alone = session.ask_all([(source, question)], method="motion_text", num_frames=0)[0]
        assert (found.prompt_sha256, found.tokens) == (alone.prompt_sha256, alone.tokens)
        assert [one.score for one in found.choices] == pytest.approx([one.score for one in alone.choices], abs=1e-3)


@pytest.mark.parametrize("frames", [3, 0])
def test_an_api_gets_the_same_words(frames: int, clip: Path) -> None:
    method = build("motion_text", num_frames=frames)
    check_askable(method)
    parts = show_by(method, Video(clip), longest=64).parts(Question(QUESTION))
    assert [isinstance(part, str) for part in parts] == [False] * frames + [True]
    assert parts[-1] == f"{Video(clip).describe().text()}\n{QUESTION}"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_frames": -1}, "num_frames=-1 is out of range"),
        ({"text_tokens": 10}, "text_tokens=10 is out of range"),
        ({"backend": "magic"}, "backend='magic' does not exist"),
        ({"frame_mode": "some"}, "frame_mode='some' does not exist"),
        ({"words": 3}, "has no option 'words'; it has num_frames"),
    ],
)
def test_bad_options(options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        build("motion_text", **options)
