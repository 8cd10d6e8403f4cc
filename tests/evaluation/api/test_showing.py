"""An API is shown what a local host is shown by the same method."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from himmel.errors import UsageError
from himmel.evaluation.api.showing import check_askable, show_by
from himmel.methods.choice import build
from himmel.methods.conditions.show import show
from himmel.methods.question import Question
from himmel.video import Video

WHAT = Question("Which way does it move?")


@pytest.fixture
def video(encode_clip: Callable[..., Path]) -> Video:
    return Video(encode_clip("a.mp4", num_frames=64, size=(320, 192), options={"g": "8"}))


def test_a_condition_is_texts_and_pictures_in_turn_and_the_question_last(video: Video) -> None:
    parts = show_by(build("stream_pictures", condition="C"), video, longest=768).parts(WHAT)
    expected = show(video, "C")
    texts = [part for part in parts if isinstance(part, str)]
    assert "".join(texts[:-1]) == "".join(part for part in expected.visual if isinstance(part, str))
    pictures = [part for part in parts if not isinstance(part, str)]
    assert len(pictures) == 8
    for sent, shown in zip(pictures, expected.pictures, strict=True):
        assert np.array_equal(sent, shown.image)
    assert parts[-1] == "Which way does it move?"
    kinds = ["text" if isinstance(part, str) else "picture" for part in parts]
    assert kinds == [*["text", "picture"] * 8, "text", "text"]


def test_plain_frames_are_pictures_and_the_question(video: Video) -> None:
    parts = show_by(build("dense", num_frames=4), video, longest=160).parts(WHAT)
    frames = video.frames(num_frames=4).frames
    assert len(parts) == 5
    assert parts[-1] == "Which way does it move?"
    for sent, frame in zip(parts[:-1], frames, strict=True):
        assert not isinstance(sent, str)
        assert sent.shape == (96, 160, 3)
        assert np.abs(sent.mean((0, 1)) - frame.image.mean((0, 1))).max() < 3


def test_frames_by_what_the_codec_spent_are_shown_too(video: Video) -> None:
    parts = show_by(build("codec_frames", num_frames=4), video, longest=160).parts(WHAT)
    assert [part.shape for part in parts if not isinstance(part, str)] == [(96, 160, 3)] * 4
    assert str(parts[-1]).endswith("Which way does it move?")


def test_motion_in_words_goes_before_the_question(video: Video) -> None:
    """Within a number of tokens, which an API's are guessed for: no more than three bytes each."""
    method = build("motion_text", num_frames=2, text_tokens=64)
    *pictures, text = show_by(method, video, longest=160).parts(WHAT)
    assert [part.shape for part in pictures if not isinstance(part, str)] == [(96, 160, 3)] * 2
    words, _, question = str(text).rpartition("\n")
    assert question == "Which way does it move?"
    assert 0 < len(words.encode()) <= 3 * 64
    (alone,) = show_by(build("motion_text", num_frames=0), video, longest=160).parts(WHAT)
    assert str(alone).endswith("\nWhich way does it move?")


def test_a_panel_says_what_it_is_before_the_question(video: Video) -> None:
    picture, text = show_by(build("panel"), video, longest=768).parts(WHAT)
    assert not isinstance(picture, str)
    assert str(text).startswith("The picture is a grid of 3 rows and 3 columns.")
    assert str(text).endswith("\nWhich way does it move?")


def test_a_picture_in_place_of_a_video_is_shown_as_it_is() -> None:
    picture = Image.new("RGB", (40, 30), (1, 2, 3))
    for name in ("dense", "stream_pictures"):
        sent, text = show_by(build(name), picture, longest=768).parts(WHAT)
        assert not isinstance(sent, str)
        assert np.array_equal(sent, np.asarray(picture))
        assert text == "Which way does it move?"


@pytest.mark.parametrize("name", ["himmel", "anchors", "rgb_diff"])
def test_methods_that_work_inside_the_model_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"The method '{name}' works inside the model"):
        check_askable(build(name))
