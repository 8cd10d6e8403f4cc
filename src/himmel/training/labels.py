"""Pictures that do not exist: tower features that nano's classifier takes for a label, to learn to read its words."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor

from himmel.hosts.nano import NanoForConditionalGeneration
from himmel.model import HimmelForConditionalGeneration

_LIKELY: Final = (1.5, 3.0)
_DISTRACTING: Final = (0.0, 1.5)
_MOST: Final = 6.0
"""The tower's last activation is ReLU6."""
_FLAT: Final = 0.7
"""Of the pictures have no details of their own, in which small shapes would be seen."""
_PICTURE_QUESTIONS: Final = (
    "What is this a picture of?",
    "What is in this picture?",
    "What can be seen in the picture?",
    "Which of these is in the picture?",
    "What is shown here?",
    "What is the picture about?",
)
_VIDEO_QUESTIONS: Final = (
    "What is this a video of?",
    "What is in this video?",
    "What can be seen in the video?",
    "Which of these is in the video?",
    "What is shown here?",
    "What is in the background?",
)
_DESCRIBE: Final = "Describe the {what} in one sentence."
_ANSWERS: Final = ("{name}", "{name}", "the {name}", "the {name}", "a picture of the {name}")


@dataclass(frozen=True)
class LabelPictures:
    """Makes tower features that the classifier takes for one of its labels.

    There are photographs of a few subjects in the packages that this project draws from, and a thousand labels that
    the classifier knows. What the language model has to learn of them is to read the words that the projector makes of
    the classifier's answer, and for that the answer is enough.

    Attributes:
        weight: float32 [1000, C], the classifier's.
        names: for each word that some label has, the word and the labels' indices.
    """

    weight: Tensor
    names: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, model: HimmelForConditionalGeneration) -> Self | None:
        """For the classifier of a model's tower; None where the host has none."""
        if not isinstance(model.network, NanoForConditionalGeneration):
            return None
        network = model.network
        by_word: dict[int, list[int]] = {}
        for label, word in enumerate(network.model.projector.label_words.tolist()):
            if word >= 0:
                by_word.setdefault(word, []).append(label)
        words = network.config.image_words or ["."]
        weight = network.model.tower.classifier_weight
        names = tuple((words[word], tuple(labels)) for word, labels in sorted(by_word.items()))
        return cls(weight=weight, names=names) if names else None

    def draw(self, features: Tensor, rng: np.random.Generator) -> tuple[Tensor, str]:
        """Pictures of one subject, and its name.

        The features are those of real pictures with their channels in another order, so that they are like nothing
        that the projector was taught, moved along the classifier's weights for a label of that name and, less, for a
        second one.

        Args:
            features: [I, C + 192, 7, 7], of the I pictures whose place these take; see `NanoTower`.
            rng: draws the subject and all else.

        Returns:
            The same shape and dtype, and the name.
        """
        name, labels = self.names[int(rng.integers(len(self.names)))]
        _, others = self.names[int(rng.integers(len(self.names)))]
        width = self.weight.shape[1]
        moved = self._towards(labels, rng, _LIKELY) + self._towards(others, rng, _DISTRACTING)
        shuffled = features[:, torch.as_tensor(rng.permutation(width))].float()
        pixels = features[:, width:]
        if rng.random() < _FLAT:
            pixels = pixels.mean((2, 3), keepdim=True).expand_as(pixels)
        made = (shuffled + moved[:, None, None]).clamp(0, _MOST).to(features.dtype)
        return torch.cat([made, pixels], dim=1), name

    def _towards(self, labels: tuple[int, ...], rng: np.random.Generator, span: tuple[float, float]) -> Tensor:
        away = self.weight[labels[int(rng.integers(len(labels)))]] - self.weight.mean(0)
        return away * float(rng.uniform(*span))


def ask_for_name(name: str, rng: np.random.Generator, *, video: bool) -> tuple[str, str]:
    """A question about what a picture or a video shows, and an answer that has its name."""
    if rng.random() < 0.1:
        what = "video" if video else "picture"
        return _DESCRIBE.format(what=what), f"The {what} shows the {name}."
    asked = _VIDEO_QUESTIONS if video else _PICTURE_QUESTIONS
    answers = _ANSWERS[:-1] if video else _ANSWERS
    return asked[int(rng.integers(len(asked)))], answers[int(rng.integers(len(answers)))].format(name=name)
