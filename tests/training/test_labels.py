"""Tower features that are made for a label are what the classifier and the projector take for it."""

import numpy as np
import pytest
import torch

from himmel.hosts.nano.projector import SLOTS
from himmel.methods.models import default_checkpoint
from himmel.model import HimmelForConditionalGeneration
from himmel.training.labels import LabelPictures, ask_for_name
from tiny_hosts import Setup


@pytest.mark.assets
def test_nanos_projector_says_the_name_and_takes_the_picture_for_none_that_it_knows() -> None:
    model = HimmelForConditionalGeneration.from_pretrained(default_checkpoint())
    network, pictures = model.network, LabelPictures.of(model)
    assert pictures is not None
    words = list(network.config.image_words)
    right = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        # Few channels say much, as in real features; the order that they are put into makes pictures unlike.
        channels = rng.gamma(0.2, 2.0, (1, 1472, 1, 1)) * rng.random((1, 1472, 7, 7))
        real = torch.from_numpy(channels.astype(np.float32)).clamp(0, 6)
        made, name = pictures.draw(real.half(), rng)
        assert (made.dtype, made.shape) == (torch.float16, real.shape)
        said = network.model.projector.describe(made, network.model.tower.classify(made))
        right.append(words[int(said.words[0, SLOTS.index("scene")].argmax())] == name)
        assert network.model.projector.strangeness(made) > 0.9
    assert sum(right) >= 36


def test_names_are_those_that_some_label_has(setup: Setup) -> None:
    projector = setup.model.network.model.projector
    before = projector.label_words.clone()
    projector.label_words.fill_(-1)
    assert LabelPictures.of(setup.model) is None
    projector.label_words[[3, 8]], projector.label_words[5] = 1, 2
    pictures = LabelPictures.of(setup.model)
    projector.label_words.copy_(before)
    words = setup.model.network.config.image_words
    assert pictures is not None
    assert pictures.names == ((words[1], (3, 8)), (words[2], (5,)))


@pytest.mark.parametrize("video", [False, True])
def test_answers_have_the_name_and_questions_do_not(video: bool) -> None:
    asked = [ask_for_name("walrus", np.random.default_rng(seed), video=video) for seed in range(60)]
    assert all("walrus" in answer and "walrus" not in question for question, answer in asked)
    assert len({question for question, _ in asked}) > 4
    # What a picture shows is not said of a video.
    other = "picture" if video else "video"
    assert not any(other in f"{question} {answer}" for question, answer in asked)
