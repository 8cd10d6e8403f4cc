"""Image tokens that are mixtures of words."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from torch.nn import functional

from himmel.hosts import load_host
from himmel.hosts.nano import NanoForConditionalGeneration
from himmel.hosts.nano.projector import SLOTS
from himmel.methods.models import default_checkpoint
from himmel.model import HimmelForConditionalGeneration
from himmel.nano.draw import draw_spec
from himmel.nano.render import first_picture
from himmel.nano.words import image_words


@pytest.fixture(scope="module")
def network(seeing_nano: str) -> NanoForConditionalGeneration:
    return cast(NanoForConditionalGeneration, load_host(seeing_nano).load_network())


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_the_map_holds_the_picture_beside_the_features(
    network: NanoForConditionalGeneration, pixels: torch.Tensor
) -> None:
    tower_map = network.model.tower(pixels)
    assert tower_map.shape == (2, 1472, 7, 7)
    assert torch.equal(tower_map[:, :1280], network.model.tower.net.extract_features(pixels))
    for row, column in ((0, 0), (10, 37), (55, 55)):
        # A pixel of 56 x 56 is the mean of 4 x 4.
        block = pixels[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].mean((2, 3))
        channels = 1280 + torch.arange(3) * 64 + row % 8 * 8 + column % 8
        torch.testing.assert_close(tower_map[:, channels, row // 8, column // 8], block)


@pytest.mark.parametrize("count", [1, 4, 6])
def test_pictures_are_read_few_at_a_time_and_all_in_their_order(
    network: NanoForConditionalGeneration, count: int
) -> None:
    pixels = torch.randn(count, 3, 224, 224, generator=torch.Generator().manual_seed(count))
    tower_map = network.model.tower(pixels)
    assert tower_map.shape == (count, 1472, 7, 7)
    for one, alone in zip(tower_map, pixels, strict=True):
        torch.testing.assert_close(one[:1280], network.model.tower.net.extract_features(alone[None])[0])


def test_labels_are_the_classifiers_for_each_region(
    network: NanoForConditionalGeneration, pixels: torch.Tensor
) -> None:
    tower_map = network.model.tower(pixels)
    labels = network.model.tower.classify(tower_map)
    assert labels.shape == (2, 6, 1000)
    torch.testing.assert_close(labels[:, 4], network.model.tower.net(pixels).log_softmax(-1))
    quarter = functional.adaptive_avg_pool2d(tower_map[:, :1280, :4, 3:], 1).flatten(1)
    torch.testing.assert_close(labels[:, 1], network.model.tower.net._fc(quarter).log_softmax(-1))


def test_tokens_are_mixtures_of_the_words_embeddings(
    network: NanoForConditionalGeneration, pixels: torch.Tensor
) -> None:
    projector = network.model.projector
    tower_map = network.model.tower(pixels)
    labels = network.model.tower.classify(tower_map)
    slots = projector.describe(tower_map, labels)
    assert slots.words.shape == (2, len(SLOTS), len(network.config.image_words or ()))
    torch.testing.assert_close(slots.own.sum(-1), torch.ones(2, len(SLOTS)))
    tokens = projector(tower_map, labels)
    literal = sum(slots.words[0, 3, word] * projector.words[word] for word in range(slots.words.shape[-1]))
    torch.testing.assert_close(tokens[0, 3], literal)


def test_a_label_counts_for_its_word(network: NanoForConditionalGeneration, pixels: torch.Tensor) -> None:
    """The tiny host's first label is a dog, its third a cat; none of the others has a word."""
    words = network.config.image_words or []
    tower_map = network.model.tower(pixels)
    labels = network.model.tower.classify(tower_map)
    said = network.model.projector.describe(tower_map, labels).labels
    place = SLOTS.index("label of all")
    dog, cat = (float(labels[1, 4, label].exp()) for label in (0, 2))
    assert float(said[1, place, words.index("dog")]) == pytest.approx(dog / (dog + cat), rel=1e-4)
    assert float(said[1, place, words.index("cat")]) == pytest.approx(cat / (dog + cat), rel=1e-4)
    assert not said[:, SLOTS.index("number")].any()


def test_a_word_counts_for_its_likeliest_label(network: NanoForConditionalGeneration) -> None:
    """Not for the sum: many breeds, none of them likely, are no dog."""
    projector = network.model.projector
    before = projector.label_words.clone()
    projector.label_words.fill_(-1)
    dog, cat = 3, 5
    projector.label_words[:3], projector.label_words[3] = dog, cat
    labels = torch.full((1, 6, 1000), -30.0)
    labels[..., :4] = torch.tensor([0.2, 0.2, 0.2, 0.4]).log()
    said = projector.describe(torch.zeros(1, 1472, 7, 7), labels).labels[0, SLOTS.index("label of all")]
    projector.label_words.copy_(before)
    assert float(said[cat]) == pytest.approx(2 / 3, rel=1e-4)
    assert float(said[dog]) == pytest.approx(1 / 3, rel=1e-4)


def test_a_scene_that_was_not_taught_is_the_classifiers_to_name(network: NanoForConditionalGeneration) -> None:
    projector = network.model.projector
    place = SLOTS.index("scene")
    maps = torch.randn(3, 1472, 7, 7, generator=torch.Generator().manual_seed(2))
    labels = torch.zeros(3, 6, 1000).log_softmax(-1)
    assert projector.describe(maps, labels).trust[:, place].min() > 0.99
    projector.learn_scenes([maps[:1], maps[1:2]])
    noise = torch.randn(3, 1472, 7, 7, generator=torch.Generator().manual_seed(3))
    slots = projector.describe(maps + 0.1 * noise, labels)
    projector.learn_scenes([])
    assert slots.trust[:2, place].max() < 0.01 < 0.99 < slots.trust[2, place]
    torch.testing.assert_close(slots.words[0, place], slots.own[0, place], atol=1e-2, rtol=0)
    torch.testing.assert_close(slots.words[2, place], slots.labels[2, place], atol=1e-2, rtol=0)


def test_the_scenes_that_can_be_familiar_are_counted(network: NanoForConditionalGeneration) -> None:
    with pytest.raises(ValueError, match="17 scenes; the projector can know at most 16"):
        network.model.projector.learn_scenes([torch.zeros(1, 1472, 7, 7)] * 17)


def test_embeddings_of_words_are_the_language_models(nano_folder: str) -> None:
    host = load_host(nano_folder)
    network = cast(NanoForConditionalGeneration, host.load_network())
    table = network.get_input_embeddings().weight
    for place, word in enumerate(network.config.image_words or ()):
        expected = table[torch.tensor(host.encode_text(f" {word}"))].mean(0)
        torch.testing.assert_close(network.model.projector.words[place], expected, rtol=1e-2, atol=1e-3)


@pytest.mark.assets
def test_the_shipped_projector_reads_what_it_has_not_seen() -> None:
    """Pictures of training seeds that no training draws: far behind the last of them."""
    model = HimmelForConditionalGeneration.from_pretrained(default_checkpoint())
    network = cast(NanoForConditionalGeneration, model.network)
    specs = [draw_spec(9_900_000 + seed) for seed in range(24)]
    images = model.host.prepare_images([first_picture(spec) for spec in specs])
    tower_map = model.host.keep_features(network, images)["tower_features"].float()
    with torch.no_grad():
        slots = network.model.projector.describe(tower_map, network.model.tower.classify(tower_map))
    words = image_words()
    read = [[words[word] for word in row] for row in slots.words.argmax(-1).tolist()]
    number = [row[SLOTS.index("number")] for row in read]
    colour = [row[SLOTS.index("colour of those counted")] for row in read]
    counted = [[thing for thing in spec.things if thing.place is None][:-1] for spec in specs]
    told = ("one", "two", "three", "four")
    assert np.mean([said == told[len(things) - 1] for said, things in zip(number, counted, strict=True)]) > 0.7
    assert np.mean([said == things[0].colour for said, things in zip(colour, counted, strict=True)]) > 0.8


@pytest.mark.assets
def test_the_shipped_projectors_names_change_where_a_thing_does() -> None:
    """What goes from a quarter changes the name that is told of that quarter, more than those of the others."""
    model = HimmelForConditionalGeneration.from_pretrained(default_checkpoint())
    network = cast(NanoForConditionalGeneration, model.network)
    names = [place for place, slot in enumerate(SLOTS) if slot.startswith("name")]
    boxes = model.host.token_boxes((4, 4), 160, 160)
    for seed in range(4):
        spec = replace(draw_spec(9_900_100 + seed, "train", "mover"), acts=(None,) * 8)
        # With these, all four quarters have a thing.
        large = [thing for thing in spec.things if thing.place is not None]
        assert len(large) == 4
        without = [replace(spec, things=tuple(t for t in spec.things if t is not thing)) for thing in large]
        images = model.host.prepare_images([first_picture(one) for one in (spec, *without)])
        tower_map = model.host.keep_features(network, images)["tower_features"].float()
        with torch.no_grad():
            tokens = network.model.projector(tower_map, network.model.tower.classify(tower_map))
        for thing, changed in zip(large, tokens[1:], strict=True):
            difference = (changed - tokens[0])[names].norm(dim=-1)
            left, top, right, bottom = boxes[names[int(difference.argmax())]]
            assert left < thing.x / 160 < right
            assert top < thing.y / 160 < bottom
