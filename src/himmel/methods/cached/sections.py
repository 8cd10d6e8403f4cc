"""HERMES (Zhang et al., ACL 2026, arXiv 2601.14724): which entries each layer keeps.

Layers are sections of a memory by depth. Shallow ones keep what is newest, deep ones what a summary of the whole would
look at, and between them one goes over into the other. No question is known while a video is read, so that fixed
guidance prompts stand in for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import torch
from torch import Tensor

LOCAL: Final = (
    "Describe what is shown right now in detail: the objects in the scene, the fine actions, and where everything is."
)
GLOBAL: Final = (
    "Summarize the story of the video: the main characters, the key events, what changes over time, and the theme."
)
Prompt = Literal["global", "mixed"]
# The local one alone would be for shallow layers, in whose scores attention has no weight: it isn't read.
PROMPTS: Final[dict[Prompt, str]] = {"global": GLOBAL, "mixed": f"{LOCAL}; {GLOBAL}"}


@dataclass(frozen=True)
class Ramp:
    """How layers of the middle section go over from newness to attention, from its first layer to the deep ones.

    Attributes:
        newness: weight of newness (a), from and to.
        decay: how fast newness falls with age (k), from and to.
    """

    newness: tuple[float, float]
    decay: tuple[float, float]


@dataclass(frozen=True)
class Depths:
    """The sections of a family.

    Attributes:
        shallow: share of all layers, r_s.
        deep: share of all layers, r_l.
        middle: see `Ramp`.
    """

    shallow: float
    deep: float
    middle: Ramp


PLAIN: Final = Depths(shallow=0.1, deep=0.3, middle=Ramp(newness=(1.0, 0.1), decay=(20.0, 0.5)))
"""Hosts with plain positions: the authors' values for LLaVA-OneVision."""
THREE_PART: Final = Depths(shallow=0.3, deep=0.3, middle=Ramp(newness=(0.75, 0.15), decay=(20.0, 8.0)))
"""Hosts with positions of three parts: the authors' values for Qwen2.5-VL."""


@dataclass(frozen=True)
class LayerRule:
    """How one layer scores its entries.

    Attributes:
        prompt: whose attention counts; None where attention has no weight.
        newness: weight of newness, a; the rest is attention's.
        decay: how fast newness falls with age, k.
        smoothing: how much of the next deeper layer's score is mixed in, g.
        summary: whether what is dropped is folded into one entry.
    """

    prompt: Prompt | None
    newness: float
    decay: float
    smoothing: float
    summary: bool


def layer_rules(layers: int, depths: Depths) -> list[LayerRule]:
    """The rule of each of L layers: shallow l < int(r_s L), deep l >= int((1 - r_l) L), middle between."""
    shallow, deep = int(layers * depths.shallow), int(layers * (1 - depths.deep))
    rules = []
    for layer in range(layers):
        if layer < shallow:
            rules.append(LayerRule(prompt=None, newness=1.0, decay=20.0, smoothing=0.1, summary=False))
        elif layer >= deep:
            rules.append(LayerRule(prompt="global", newness=0.0, decay=20.0, smoothing=0.4, summary=True))
        else:
            depth = (layer - shallow) / (deep - shallow)
            newness, decay = (_between(ends, depth) for ends in (depths.middle.newness, depths.middle.decay))
            rules.append(LayerRule(prompt="mixed", newness=newness, decay=decay, smoothing=0.3, summary=False))
    return rules


def score(rules: Sequence[LayerRule], attention: Sequence[Tensor | None]) -> list[Tensor]:
    """How much each layer wants each of its n entries, smoothed from the last layer but one down to the first.

    s = (1 - a) minmax(attention) + a minmax(exp(-k d)), d the age from 0 (newest) to 1; then s_l <- (1 - g) s_l +
    g s_{l+1}.

    Args:
        rules: of all layers.
        attention: for each layer [n], of which the n are as many in all; None where its rule has no prompt.

    Returns:
        For each layer float32 [n].
    """
    length = next(len(given) for given in attention if given is not None)
    scores = [_score(rule, given, length) for rule, given in zip(rules, attention, strict=True)]
    for deeper, layer in pairwise(reversed(range(len(scores)))):
        share = rules[layer].smoothing
        scores[layer] = (1 - share) * scores[layer] + share * scores[deeper].to(scores[layer].device)
    return scores


def choose(scores: Tensor, count: int) -> Tensor:
    """int64 [count], the places of the highest of [n] scores, in order; of equals the older."""
    return scores.sort(descending=True, stable=True).indices[:count].sort().values


def _score(rule: LayerRule, attention: Tensor | None, length: int) -> Tensor:
    age = torch.arange(length - 1, -1, -1, dtype=torch.float32) / max(length - 1, 1)
    newness = _minmax(torch.exp(-rule.decay * age))
    if attention is None:
        return newness
    return (1 - rule.newness) * _minmax(attention.float()) + rule.newness * newness.to(attention.device)


def _minmax(values: Tensor) -> Tensor:
    # As in the authors' code, so that equal values don't divide by zero.
    return (values - values.min()) / (values.max() - values.min() + 1e-6)


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * share
