"""From the tower's map to image tokens that read as words: what there is in each quarter, and in the whole picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from himmel.hosts.nano.configuration import NanoConfig

# What each of the 16 tokens tells, row by row of a square whose quarters lie as the picture's do.
SLOTS: Final = (
    "colour top left", "name top left", "colour top right", "name top right",
    "scene", "label of all", "number", "colour of those counted",
    "colour bottom left", "name bottom left", "colour bottom right", "name bottom right",
    "shape of those counted", "colour of the other", "shape of the other", "label of the middle",
)  # fmt: skip

# Slots that may say the classifier's word, and for which region it is asked (see `NanoTower.classify`): by a gate, or
# always.
_MIXED: Final = {1: 0, 3: 1, 9: 2, 11: 3}
_LABELS_ALONE: Final = {5: 4, 15: 5}
_SCENE: Final = SLOTS.index("scene")
_REGIONS: Final = _MIXED | _LABELS_ALONE | {_SCENE: 4}
_LOWEST: Final = 1e-6

MOST_SCENES: Final = 16
"""Scenes that the projector may have words of its own for."""
# Cosine similarity to a scene below which a picture shows another one, and how sharp this bound is. Of pictures with
# things over a taught scene 19 of 20 lie above it; of photographs of other subjects, nearly all below.
_FAMILIAR: Final = 0.615
_DECIDED: Final = 60.0


@dataclass(frozen=True)
class Slots:
    """What the projector reads from I pictures.

    Attributes:
        words: float32 [I, 16, V], probabilities of its words in each slot.
        own: the same without the classifier's labels.
        labels: the same by the classifier's labels alone, in the slots that may say them; else 0.
        trust: float32 [I, 16], share of the classifier's labels in `words`, 0..1.
    """

    words: Tensor
    own: Tensor
    labels: Tensor
    trust: Tensor


class NanoProjector(nn.Module):
    """A small transformer over the places of a map and 16 slots; each slot becomes a mixture of word embeddings.

    The slots of `SLOTS` are taught by the words that a drawn picture is described with. Where names are concerned, a
    gate decides between the projector's own word and the everyday word of the tower's classifier, which knows
    photographs; for the scene, it is whether the picture is like one of those that the projector was taught, since a
    network that has seen ten photographs takes any other for one of them. Nothing is added to the words: the language
    model knows them already.

    Args:
        config: sizes, and the number of words.
    """

    def __init__(self, config: NanoConfig) -> None:
        super().__init__()
        width, hidden = config.projector_width, config.get_text_config().hidden_size
        words = len(config.image_words or (".",))
        self.tower_width, self.cell = config.tower_width, config.picture_size // config.tower_grid
        self.norm = nn.LayerNorm(config.tower_width)
        self.features = nn.Linear(config.tower_width, width)
        self.picture = _picture_network(width, self.cell)
        self.places = nn.Parameter(torch.randn(config.tower_grid**2, width) * 0.02)
        self.slots = nn.Parameter(torch.randn(len(SLOTS), width) * 0.02)
        self.layers = nn.ModuleList(_Layer(width, config.projector_heads) for _ in range(config.projector_layers))
        self.out = nn.LayerNorm(width)
        self.read = nn.Linear(width, words)
        self.trust = nn.Linear(width, 1)
        self.register_buffer("familiar", torch.zeros(MOST_SCENES, config.tower_width))
        self.register_buffer("words", torch.zeros(words, hidden))
        self.register_buffer("label_words", torch.full((1000,), -1))
        self.familiar: Tensor
        self.words: Tensor
        self.label_words: Tensor

    def forward(self, tower_map: Tensor, labels: Tensor) -> Tensor:
        """Image tokens, [I, 16, D], of maps [I, 1472, 7, 7] and labels [I, 6, 1000], see `NanoTower`."""
        return self.describe(tower_map, labels).words.to(self.words.dtype) @ self.words

    def describe(self, tower_map: Tensor, labels: Tensor) -> Slots:
        """What the slots say of maps [I, 1472, 7, 7] and labels [I, 6, 1000], see `NanoTower`."""
        tower_map = tower_map.to(self.read.weight.dtype)
        places = self.features(self.norm(tower_map[:, : self.tower_width].flatten(2).transpose(1, 2)))
        pixels = functional.pixel_shuffle(tower_map[:, self.tower_width :], self.cell)
        places = places + self.picture(pixels).flatten(2).transpose(1, 2) + self.places
        hidden = torch.cat([self.slots.expand(len(places), -1, -1), places], dim=1)
        for layer in self.layers:
            hidden = layer(hidden)
        states = self.out(hidden[:, : len(SLOTS)])
        own = self.read(states).float().softmax(-1)
        said = self._label_words(labels, own.shape[-1])
        trust = self._trust(states, self.strangeness(tower_map))
        words = (1 - trust[..., None]) * own + trust[..., None] * said
        return Slots(words=words, own=own, labels=said, trust=trust)

    @torch.no_grad()
    def learn_scenes(self, tower_maps: Sequence[Tensor]) -> None:
        """Make these scenes the familiar ones, each given by maps [I, 1472, 7, 7] of some of its pictures.

        Raises:
            ValueError: there are more than `MOST_SCENES`.
        """
        if len(tower_maps) > MOST_SCENES:
            raise ValueError(f"{len(tower_maps)} scenes; the projector can know at most {MOST_SCENES}.")
        self.familiar.zero_()
        for place, maps in enumerate(tower_maps):
            self.familiar[place] = functional.normalize(self._appearance(maps).mean(0), dim=0)

    @torch.no_grad()
    def strangeness(self, tower_map: Tensor) -> Tensor:
        """How surely pictures show a scene that is not among the familiar ones, float32 [I], 0..1.

        By the largest cosine similarity of the tower's mean features to a familiar scene's.

        Args:
            tower_map: [I, 1472, 7, 7].
        """
        nearest = (self._appearance(tower_map) @ self.familiar.float().T).amax(-1)
        return ((_FAMILIAR - nearest) * _DECIDED).sigmoid()

    def _appearance(self, tower_map: Tensor) -> Tensor:
        return functional.normalize(tower_map[:, : self.tower_width].float().mean((2, 3)), dim=-1)

    def _trust(self, states: Tensor, strangeness: Tensor) -> Tensor:
        gate = self.trust(states).float().squeeze(-1).sigmoid()
        trust = torch.zeros_like(gate)
        trust[:, list(_MIXED)] = gate[:, list(_MIXED)]
        trust[:, list(_LABELS_ALONE)] = 1
        trust[:, _SCENE] = strangeness
        return trust

    def _label_words(self, labels: Tensor, words: int) -> Tensor:
        """Probabilities of words by the classifier's labels, [I, 16, V]; each word counts for its likeliest label.

        Summed, the 118 breeds of dogs would say "dog" wherever the classifier knows nothing.
        """
        known = self.label_words >= 0
        likely = labels.float().softmax(-1)[..., known]
        by_region = likely.new_zeros(*likely.shape[:2], words)
        by_region = by_region.scatter_reduce(2, self.label_words[known].expand_as(likely), likely, "amax")
        by_region = by_region / by_region.sum(-1, keepdim=True).clamp(min=_LOWEST)
        said = by_region.new_zeros(len(labels), len(SLOTS), words)
        said[:, list(_REGIONS)] = by_region[:, list(_REGIONS.values())]
        return said


class _Layer(nn.Module):
    """Self-attention and a feed-forward layer, both after a norm, [I, T, W] to the same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.attended = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed_in, self.feed_out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        count, length, width = hidden.shape
        joint = self.query_key_value(self.attention_norm(hidden))
        query, key, value = joint.view(count, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        hidden = hidden + self.attended(mixed.transpose(1, 2).reshape(count, length, width))
        return cast(Tensor, hidden + self.feed_out(functional.gelu(self.feed_in(self.feed_norm(hidden)))))


def _picture_network(width: int, cell: int) -> nn.Sequential:
    """Convolutions from pictures [I, 3, 7 * cell, 7 * cell] to [I, width, 7, 7]; `cell` is a power of two."""
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, padding=1), nn.GELU()]
    channels = 32
    while cell > 1:
        more = min(2 * channels, width)
        layers += [nn.Conv2d(channels, more, 3, stride=2, padding=1), nn.GroupNorm(1, more), nn.GELU()]
        channels, cell = more, cell // 2
    return nn.Sequential(*layers, nn.Conv2d(channels, width, 1))
