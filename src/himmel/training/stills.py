"""The projector's stage: what nano's image tokens say of drawn pictures, without the language model."""

from collections.abc import Sequence
from typing import Any, Final, cast

import cv2
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, get_worker_info
from transformers import TrainingArguments

from himmel.hosts import Host
from himmel.hosts.nano import NanoForConditionalGeneration
from himmel.hosts.nano.projector import SLOTS, Slots
from himmel.model import HimmelForConditionalGeneration
from himmel.nano.stills import draw_still
from himmel.training.recipe import ProjectorSection
from himmel.training.trainer import PartsTrainer, learn_exactly

UNTAUGHT: Final = -1
"""Stands for the word of a slot that is not taught, or that the host doesn't have."""
_LOWEST: Final = 1e-5
_SCENE: Final = SLOTS.index("scene")
_SCENE_STILLS: Final = 256
_GROUPS: Final = {
    what: [place for place, slot in enumerate(SLOTS) if slot.startswith(what)]
    for what in ("colour", "name", "number", "shape", "scene")
}


def still_trainer(
    section: ProjectorSection, model: HimmelForConditionalGeneration, arguments: TrainingArguments
) -> PartsTrainer:
    """What trains the projector of a model, which is changed by it."""
    learner = still_model(model)
    learn_scenes(learner.network, model.host, stills=min(_SCENE_STILLS, section.stills))
    length = section.optimizer.steps * section.optimizer.batch_size
    words = learner.network.config.image_words or ()
    return PartsTrainer(
        model=learner,
        rate_of=lambda _: section.optimizer.projector_lr,
        args=arguments,
        train_dataset=DrawnStills(range(section.stills), length=length, host=model.host, words=words),
        data_collator=collate_stills,
    )


def still_model(model: HimmelForConditionalGeneration) -> "StillModel":
    """What the projector's stage trains of a model, which is changed by it."""
    learn_exactly(model, ["host_projector"])
    return StillModel(cast(NanoForConditionalGeneration, model.network))


@torch.no_grad()
def learn_scenes(network: NanoForConditionalGeneration, host: Host, *, stills: int = _SCENE_STILLS) -> None:
    """Show the projector which scenes it is taught words of, by the first `stills` training pictures.

    Scenes that are reserved stay strange to it: their words are the classifier's to say.
    """
    by_scene: dict[str, list[Tensor]] = {}
    for seed in range(stills):
        still = draw_still(seed)
        word = still.words[_SCENE]
        if word is not None and not still.reserved[_SCENE]:
            kept = host.keep_features(network, host.prepare_images([still.picture]))
            by_scene.setdefault(word, []).append(kept["tower_features"])
    network.model.projector.learn_scenes([torch.cat(maps) for _, maps in sorted(by_scene.items())])


class DrawnStills(Dataset[dict[str, Tensor]]):
    """`length` pictures of the training half, drawn when they are asked for: item i is that of `seeds[i % len(seeds)]`.

    Args:
        seeds: training seeds.
        length: number of items.
        host: prepares the pictures.
        words: those of the host's image tokens, in its order.
    """

    def __init__(self, seeds: range, *, length: int, host: Host, words: Sequence[str]) -> None:
        self._seeds = seeds
        self._length = length
        self._host = host
        self._places = {word: place for place, word in enumerate(words)}

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < self._length:
            raise IndexError(index)
        if get_worker_info() is not None:
            # One of several processes, which would fight over cores.
            cv2.setNumThreads(1)
        still = draw_still(self._seeds[index % len(self._seeds)])
        return {
            **self._host.prepare_images([still.picture]),
            "words": torch.tensor([[self._places.get(word or "", UNTAUGHT) for word in still.words]]),
            "reserved": torch.from_numpy(still.reserved)[None],
        }


def collate_stills(items: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Items of `DrawnStills` to keyword arguments of `StillModel`."""
    return {name: torch.cat([item[name] for item in items]) for name in items[0]}


class StillModel(nn.Module):
    """Cross-entropy of the words in the projector's slots.

    Names that are reserved teach the gate alone: how a picture looks whose name the projector has never learned, so
    that the classifier's word is the better one.

    Args:
        network: whose projector learns.
    """

    def __init__(self, network: NanoForConditionalGeneration) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor, words: Tensor, reserved: Tensor) -> dict[str, Any]:
        """`loss`; under `parts`, shares of right words; and `counts` of pictures.

        Args:
            pictures: uint8 [I, 3, 224, 224].
            words: int64 [I, 16], places among the host's words, or `UNTAUGHT`.
            reserved: bool [I, 16], see `Still.reserved`.
        """
        model = self.network.model
        tower_map = model.tower((pictures.float() - 127) / 128)
        slots = model.projector.describe(tower_map, model.tower.classify(tower_map))
        taught = words != UNTAUGHT
        own = torch.where(reserved[..., None], slots.own.detach(), slots.own)
        mixed = (1 - slots.trust[..., None]) * own + slots.trust[..., None] * slots.labels
        chosen = mixed.gather(2, words.clamp(min=0)[..., None]).squeeze(2).clamp(min=_LOWEST)
        losses = -chosen.log() * taught
        loss = losses.sum(1).mean()
        parts = _right(slots, words, taught & ~reserved)
        return {"loss": loss, "parts": parts, "counts": {"pictures": torch.tensor(len(words))}}


@torch.no_grad()
def _right(slots: Slots, words: Tensor, counted: Tensor) -> dict[str, Tensor]:
    right = slots.words.argmax(-1) == words
    return {
        f"right_{what}": (right & counted)[:, places].sum() / counted[:, places].sum().clamp(min=1)
        for what, places in _GROUPS.items()
    }
