"""The projector's stage."""

from typing import cast

import numpy as np
import pytest
import torch

from himmel.hosts import load_host
from himmel.hosts.nano import NanoForConditionalGeneration
from himmel.hosts.nano.projector import SLOTS
from himmel.nano.stills import Still
from himmel.training.stills import UNTAUGHT, DrawnStills, StillModel, collate_stills, learn_scenes


@pytest.fixture
def learner(seeing_nano: str) -> StillModel:
    network = cast(NanoForConditionalGeneration, load_host(seeing_nano).load_network())
    network.model.projector.requires_grad_(True)
    return StillModel(network)


def batch(words: list[list[int]], reserved: list[list[bool]]) -> dict[str, torch.Tensor]:
    pictures = torch.randint(0, 256, (len(words), 3, 224, 224), generator=torch.Generator().manual_seed(1))
    return {
        "pictures": pictures.to(torch.uint8),
        "words": torch.tensor(words),
        "reserved": torch.tensor(reserved),
    }


def test_the_loss_is_the_cross_entropy_of_what_is_taught(learner: StillModel) -> None:
    words = [[1, *[UNTAUGHT] * 15], [UNTAUGHT, 4, 2, *[UNTAUGHT] * 13]]
    made = batch(words, [[False] * 16] * 2)
    model = learner.network.model
    tower_map = model.tower((made["pictures"].float() - 127) / 128)
    slots = model.projector.describe(tower_map, model.tower.classify(tower_map)).words
    expected = -(slots[0, 0, 1].log() + slots[1, 1, 4].log() + slots[1, 2, 2].log()) / 2
    torch.testing.assert_close(learner(**made)["loss"], expected)


def test_reserved_names_teach_the_gate_alone(learner: StillModel) -> None:
    """A name's slot, whose word the classifier gives: the projector's own words get no gradient from it."""
    words = [[UNTAUGHT, 4, *[UNTAUGHT] * 14]]
    projector = learner.network.model.projector
    for reserved in (True, False):
        projector.zero_grad()
        learner(**batch(words, [[reserved] * 16]))["loss"].backward()
        assert projector.read.weight.grad is None or bool(projector.read.weight.grad.any()) != reserved
        assert bool(projector.trust.weight.grad.any())


def test_parts_are_shares_of_right_words_without_reserved_ones(learner: StillModel) -> None:
    model = learner.network.model
    made = batch([[UNTAUGHT] * 16] * 2, [[False] * 16] * 2)
    tower_map = model.tower((made["pictures"].float() - 127) / 128)
    best = model.projector.describe(tower_map, model.tower.classify(tower_map)).words.argmax(-1)
    words = best.clone()
    words[1] = (words[1] + 1) % 7
    found = learner(made["pictures"], words, made["reserved"])["parts"]
    assert float(found["right_colour"]) == float(found["right_name"]) == 0.5
    found = learner(made["pictures"], words, torch.tensor([[False], [True]]).expand(2, 16))["parts"]
    assert float(found["right_colour"]) == 1.0


def test_scenes_become_familiar_but_for_the_reserved_ones(learner: StillModel, monkeypatch: pytest.MonkeyPatch) -> None:
    words = tuple("wall" if slot == "scene" else None for slot in SLOTS)
    generator = np.random.default_rng(0)
    walls, reserved = generator.integers(0, 256, (2, 160, 160, 3), np.uint8)

    def draw(seed: int) -> Still:
        known = seed % 2 == 0
        return Still(picture=walls if known else reserved, words=words, reserved=np.full(16, not known))

    monkeypatch.setattr("himmel.training.stills.draw_still", draw)
    host = load_host(learner.network.config._name_or_path)
    learn_scenes(learner.network, host, stills=4)
    projector = learner.network.model.projector
    assert projector.familiar.any(1).tolist() == [True, *[False] * 15]
    pictures = host.prepare_images([walls])["pictures"].float()
    features = learner.network.model.tower((pictures - 127) / 128)[0, :1280].mean((1, 2))
    torch.testing.assert_close(projector.familiar[0].float(), features / features.norm(), atol=1e-2, rtol=0)


def test_stills_are_put_into_the_hosts_own_words(nano_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = Still(
        picture=np.zeros((160, 160, 3), np.uint8),
        words=("red", None, "zebra", ".", *[None] * 12),
        reserved=np.arange(16) == 2,
    )
    seeds: list[int] = []
    monkeypatch.setattr("himmel.training.stills.draw_still", lambda seed: seeds.append(seed) or drawn)
    stills = DrawnStills(range(5, 8), length=5, host=load_host(nano_folder), words=(".", "red"))
    made = collate_stills([stills[index] for index in range(5)])
    assert seeds == [5, 6, 7, 5, 6]
    assert made["words"].tolist() == [[1, UNTAUGHT, UNTAUGHT, 0, *[UNTAUGHT] * 12]] * 5
    assert made["pictures"].shape == (5, 3, 224, 224)
    with pytest.raises(IndexError):
        stills[5]
