"""Conditions as a method: asked of every kind of host, with a record of what was shown."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from himmel.errors import UsageError
from himmel.methods.choice import build
from himmel.methods.conditions.method import StreamPictures
from himmel.methods.session import Session
from himmel.model.encoder import PromptEncoder
from himmel.video import Video
from tiny_hosts import Setup, host_folder, host_kind, host_setup, tiny_host

__all__ = ["host_folder", "host_kind", "host_setup", "tiny_host"]


def test_a_host_is_shown_eight_pictures_with_a_line_before_each(
    host_setup: Setup, sliding: Callable[..., Path]
) -> None:
    session = Session(host_setup.model)
    asked = {"method": "stream_pictures", "condition": "C", "longest_side": 96, "choices": ["left", "right"]}
    answer = session.ask(sliding("a.mp4", (3, 0)), "Which way?", **asked)  # type: ignore[arg-type]
    assert answer.text in ("left", "right")
    assert answer.method == "stream_pictures"
    assert answer.options == {"condition": "C", "longest_side": 96, "backend": "auto"}
    assert answer.adapter is None
    shown = answer.video.anchors
    assert [one.reason for one in shown] == ["frame", *["motion"] * 3, "frame", *["residual"] * 3]
    assert [one.time for one in shown] == sorted(one.time for one in shown)
    assert (answer.video.anchor_width, answer.video.anchor_height) == (96, 58)
    assert answer.video.backend == "bitstream"
    assert answer.tokens["motion"] == 0
    assert answer.tokens["image"] % 8 == 0
    # The lines before the pictures are most of the text.
    plain = session.ask(sliding("a.mp4", (3, 0)), "Which way?", method="dense", num_frames=8, choices=["left", "right"])
    assert answer.tokens["text"] > plain.tokens["text"] + 8 * 10


def test_a_single_picture_is_shown_as_it_is(host_setup: Setup) -> None:
    picture = Image.new("RGB", (128, 96), (200, 10, 10))
    session = Session(host_setup.model)
    asked = session.ask(picture, "What colour?", method="stream_pictures", max_new_tokens=2)
    plain = session.ask(picture, "What colour?", method="dense", max_new_tokens=2)
    assert asked.prompt_sha256 == plain.prompt_sha256


def test_asked_blind_the_lines_are_left_out_with_the_pictures(host_setup: Setup, sliding: Callable[..., Path]) -> None:
    """The likelihoods without the video, which prior-corrected scores subtract, know nothing of it."""
    method = StreamPictures(condition="B", longest_side=64)
    processor = method.processor(host_setup.model)
    shown = method.prepare(method.reading(None).read(Video(sliding("a.mp4", (3, 0)))), processor)
    asked = [[("Which way?", None)]]
    blind = processor.encode([shown.sample], asked, motion=False, anchors=False)
    plain = PromptEncoder(host_setup.model.host).encode([shown.sample], asked, motion=False, anchors=False)
    assert blind.input_ids.tolist() == plain.input_ids.tolist()
    assert blind.images == {}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"condition": "F"}, "condition='F' does not exist; choose one of A, B, C, D, E"),
        ({"condition": "a"}, "condition='a' does not exist"),
        ({"longest_side": 0}, "longest_side=0 is out of range"),
        ({"backend": "magic"}, "backend='magic' does not exist"),
        ({"num_frames": 9}, "'stream_pictures' has no option 'num_frames'"),
    ],
)
def test_options_that_do_not_exist_are_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        build("stream_pictures", **options)
