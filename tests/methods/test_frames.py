"""Frames shown as they are, and as one picture, to every kind of host; and a host without any adapter."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import himmel
from himmel.errors import HostError
from himmel.methods.frames import draw_grid, grid_of
from himmel.methods.question import Question
from himmel.methods.session import Session
from himmel.model import PreparedSample
from himmel.model.encoder import PromptEncoder
from himmel.model.host_model import HostModel
from tiny_hosts import Setup

# As large as a tiny host of the kind takes a picture, so that prompts stay short.
_BUDGET = {"qwen2_5_vl": 12, "qwen3_vl": 12}


def open_host(kind: str, folder: str) -> Session:
    return Session(host=folder, max_anchor_tokens=_BUDGET.get(kind))


def test_a_host_without_an_adapter_is_asked(host_kind: str, host_folder: str, clip: Path) -> None:
    """Greedy text, as transformers' own class gives it for the same prompt."""
    session = open_host(host_kind, host_folder)
    answer = session.ask(clip, "What moves?", method="dense", num_frames=4, max_new_tokens=4)
    assert (answer.adapter, answer.tokens["motion"], len(answer.video.anchors)) == (None, 0, 4)
    plain = session.plain
    encoder = PromptEncoder(plain.host)
    pictures = [one.image for one in himmel.Video(clip).frames(num_frames=4).frames]
    sample = PreparedSample.of_pictures(plain.host.prepare_images(pictures))
    inputs = encoder.encode([sample], [[("What moves?", None)]])
    network = plain.host.load_network()
    pictures_seen = plain.vision_arguments(plain.see(inputs.images))
    # An answer cannot hold a placeholder of motion, which random weights might well choose.
    options = {"max_new_tokens": 4, "do_sample": False, "suppress_tokens": [plain.host.motion_token_id]}
    ids = network.generate(**plain.text_arguments(inputs), **pictures_seen, **options)
    assert answer.text == encoder.decode(ids[0, inputs.input_ids.shape[1] :])


def test_without_an_adapter_himmel_says_what_it_needs(host_kind: str, host_folder: str, clip: Path) -> None:
    with pytest.raises(HostError, match=r"'himmel' needs an adapter.*choose a method that needs none, such as 'dense'"):
        open_host(host_kind, host_folder).ask(clip, "What moves?")


def test_the_plain_host_has_no_lora(host_setup: Setup, clip: Path) -> None:
    """LoRA of these models is not zero: anchors alone see it, and dense doesn't."""
    session = Session(host_setup.model)
    keys = {"num_anchors": 3, "anchor_mode": "exact"}
    shared = {"choices": ["left", "right"], "scoring": "raw"}
    trained = session.ask(clip, "Which way?", method="anchors", **keys, **shared)
    plain = session.ask(clip, "Which way?", method="dense", num_frames=3, **shared)
    assert trained.prompt_sha256 == plain.prompt_sha256
    assert [one.log_likelihood for one in trained.choices] != [one.log_likelihood for one in plain.choices]
    with host_setup.model.disable_motion():
        bare = HostModel(host_setup.model.host, host_setup.model.network)
        # The tiny nano's projector is that of its folder, put back while motion is disabled.
        if host_setup.model.host.name != "nano":
            again = [one.log_likelihood for one in _score(bare, clip)]
            assert again == pytest.approx([one.log_likelihood for one in plain.choices], rel=1e-5)


def _score(model: HostModel, clip: Path) -> list["Scored"]:
    encoder = PromptEncoder(model.host)
    pictures = [one.image for one in himmel.Video(clip).frames(num_frames=3).frames]
    sample = PreparedSample.of_pictures(model.host.prepare_images(pictures))
    asked = encoder.encode_choices([sample], [[("Which way?", ["left", "right"])]])
    return [Scored(value) for value in model.score_choices(asked)[0][0].tolist()]


class Scored:
    def __init__(self, log_likelihood: float) -> None:
        self.log_likelihood = log_likelihood


def test_a_batch_gives_what_each_question_gets_alone(host_setup: Setup, encode_clip: Callable[..., Path]) -> None:
    session = Session(host_setup.model)
    clips = [encode_clip("a.mp4", num_frames=20), encode_clip("b.mp4", "still", size=(64, 96), num_frames=12)]
    asked = [
        (clips[0], Question("What moves?")),
        (clips[1], Question("Which way does it move, if it moves?", ("to the left", "up"))),
        (clips[1], Question("Why?")),
        (clips[0], Question("Which?", ("one", "two", "three"), "raw")),
    ]
    for method, options in (("dense", {"num_frames": 3}), ("himmel", {})):
        together = session.ask_all(asked, method=method, max_new_tokens=3, **options)  # type: ignore[arg-type]
        for (video, question), found in zip(asked, together, strict=True):
            alone = session.ask_all([(video, question)], method=method, max_new_tokens=3, **options)[0]  # type: ignore[arg-type]
            assert (found.prompt_sha256, found.tokens, found.video) == (alone.prompt_sha256, alone.tokens, alone.video)
            assert [one.score for one in found.choices] == pytest.approx([one.score for one in alone.choices], abs=1e-3)


def test_likelihoods_without_the_video_are_subtracted(host_setup: Setup, clip: Path) -> None:
    session = Session(host_setup.model)
    options = {"method": "dense", "num_frames": 2, "choices": ["left", "up there"]}
    prior = session.ask(clip, "Which way?", scoring="prior", **options)  # type: ignore[arg-type]
    encoder, plain = PromptEncoder(host_setup.model.host), session.plain
    sample = PreparedSample.of_pictures(plain.host.prepare_images([np.zeros((64, 64, 3), np.uint8)]))
    asked = encoder.encode_choices([sample], [[("Which way?", ["left", "up there"])]], anchors=False)
    blind = plain.score_choices(asked)[0][0].tolist()
    expected = [one.log_likelihood - without for one, without in zip(prior.choices, blind, strict=True)]
    assert [one.score for one in prior.choices] == pytest.approx(expected, abs=1e-4)


def test_a_single_picture_is_asked_about(host_setup: Setup) -> None:
    session = Session(host_setup.model)
    picture = Image.fromarray(np.full((48, 64, 3), 90, np.uint8))
    attached = session.ask(picture, "What is it?", max_new_tokens=2)
    detached = session.ask(picture, "What is it?", method="dense", max_new_tokens=2)
    assert attached.prompt_sha256 == detached.prompt_sha256
    assert (attached.tokens["motion"], attached.video.codec, attached.video.width) == (0, "picture", 64)
    assert attached.video.sha256 == detached.video.sha256


@pytest.mark.parametrize(("count", "grid"), [(2, (2, 1)), (4, (2, 2)), (6, (3, 2)), (7, (3, 3)), (9, (3, 3))])
def test_a_panels_grid(count: int, grid: tuple[int, int]) -> None:
    assert grid_of(count) == grid


def test_a_panel_holds_its_tiles_in_order() -> None:
    tiles = [np.full((10, 20, 3), 10 * k, np.uint8) for k in range(7)]
    canvas = draw_grid([*tiles[:-1], np.full((12, 21, 3), 60, np.uint8)])
    assert canvas.shape == (30, 60, 3)
    middles = canvas[5::10, 10::20, 0].ravel().tolist()
    assert middles == [0, 10, 20, 30, 40, 50, 60, 255, 255]


def test_a_panel_is_one_picture(host_setup: Setup, clip: Path) -> None:
    answer = Session(host_setup.model).ask(clip, "What moves?", method="panel", num_frames=4, max_new_tokens=1)
    assert len(answer.video.anchors) == 4
    one = Session(host_setup.model).ask(clip, "What moves?", method="dense", num_frames=4, max_new_tokens=1)
    assert 0 < answer.tokens["image"] < one.tokens["image"]


def test_nothing_of_the_model_is_changed(host_setup: Setup, clip: Path) -> None:
    before = {name: value.clone() for name, value in host_setup.model.state_dict().items()}
    session = Session(host_setup.model)
    session.ask(clip, "What moves?", method="dense", num_frames=2, max_new_tokens=2)
    after = host_setup.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
