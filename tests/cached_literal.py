"""HERMES as its paper has it, in loops: keys as they were before rotation, and positions of each layer's own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from himmel.methods.cached.memory import Segment
from himmel.methods.cached.sections import LayerRule


@dataclass
class Layer:
    """Keys before rotation and values [G, n, d] at positions [A, n]."""

    raw: Tensor
    values: Tensor
    positions: Tensor

    @property
    def next(self) -> int:
        return int(self.positions.max()) + 1 if self.positions.numel() else 0


class Literal:
    """Reads with eager attention, each layer at positions of its own.

    Args:
        network: with eager attention; hooks are put on it.
    """

    def __init__(self, network: Any, axes: int) -> None:
        self.network = network
        self.decoder = network.get_decoder()
        self.layers: list[Layer | None] = [None] * len(self.decoder.layers)
        self.axes = axes
        self.raw: list[Tensor] = []
        self.weights: list[Tensor] = []
        for layer in self.decoder.layers:
            parts = dict(layer.self_attn.named_modules())
            source = parts.get("k_norm", parts["k_proj"])
            source.register_forward_hook(lambda *call: self.raw.append(call[2]))
            layer.self_attn.register_forward_hook(lambda *call: self.weights.append(call[2][1][0]))

    def rotate(self, raw: Tensor, positions: Tensor) -> Tensor:
        """[G, n, d]."""
        cos, sin = self.decoder.rotary_emb(raw, positions if self.axes == 1 else positions[:, None])
        first, second = raw.chunk(2, -1)
        return raw * cos + torch.cat([-second, first], -1) * sin

    @torch.no_grad()
    def read(
        self,
        segment: Segment,
        *,
        images: Tensor | None = None,
        deep: Sequence[Tensor] = (),
        keep: bool = True,
        unlayered: bool = False,
    ) -> tuple[Tensor, list[Tensor]]:
        """Logits [V] of the next token, and weights [H, q, n + q] of each layer.

        Args:
            images: [i, D], tokens of the pictures.
            deep: what is added for them behind the first layers.
            keep: whether what is read becomes entries.
            unlayered: give each layer the embeddings, and let tokens see those that follow.
        """
        states = self.network.get_input_embeddings()(segment.ids)[None].clone()
        place = torch.zeros(len(segment.ids), dtype=torch.bool)
        if images is not None:
            place = segment.ids == self.network.config.image_token_id
            states[0, place] = images
        length = len(segment.ids)
        weights = []
        for number, layer in enumerate(self.decoder.layers):
            old = self.layers[number]
            start = 0 if old is None else old.next
            positions = segment.positions - int(segment.positions.min()) + start
            cache, past = DynamicCache(), 0
            for filled in range(number + 1):
                if old is not None:
                    past = old.raw.shape[1]
                    cache.update(self.rotate(old.raw, old.positions)[None], old.values[None], filled)
            mask = torch.zeros(length, past + length)
            if not unlayered:
                mask = torch.where(torch.ones(length, past + length).tril(past).bool(), 0.0, -1e30)
            self.raw.clear()
            self.weights.clear()
            turn = self.decoder.rotary_emb(states, positions if self.axes == 1 else positions[:, None])
            result = layer(states, attention_mask=mask[None, None], position_embeddings=turn, past_key_values=cache)
            if not unlayered:
                states = result
            if number < len(deep):
                states = states.clone()
                states[0, place] += deep[number]
            weights.append(self.weights[0])
            if keep:
                self.keep(number, old, cache, positions, length)
        return self.network.lm_head(self.decoder.norm(states))[0, -1], weights

    def keep(self, number: int, old: Layer | None, cache: DynamicCache, positions: Tensor, length: int) -> None:
        values = cache.layers[number].values[0]
        raw = self.raw[0].reshape(length, len(values), -1).transpose(0, 1)
        if old is not None:
            raw, positions = torch.cat([old.raw, raw], 1), torch.cat([old.positions, positions], 1)
        self.layers[number] = Layer(raw, values, positions)

    def compress(
        self,
        rules: Sequence[LayerRule],
        prompts: dict[str, Segment],
        prefix: int,
        budget: int,
        *,
        reindex: bool,
        **how: Any,
    ) -> None:
        """One compression; `how` goes to `read` for the guidance prompts."""
        attention = {name: self.read(segment, keep=False, **how)[1] for name, segment in prompts.items()}
        scores = []
        for number, rule in enumerate(rules):
            layer = self.layers[number]
            assert layer is not None
            count = layer.raw.shape[1] - prefix
            newness = minmax([math.exp(-rule.decay * (count - 1 - i) / (count - 1)) for i in range(count)])
            paid = [0.0] * count
            if rule.prompt is not None:
                weights = attention[rule.prompt][number]
                heads, queries = weights.shape[:2]
                for i in range(count):
                    total = sum(float(weights[h, q, prefix + i]) for h in range(heads) for q in range(queries))
                    paid[i] = total / (heads * queries)
                paid = minmax(paid)
            scores.append([(1 - rule.newness) * p + rule.newness * r for p, r in zip(paid, newness, strict=True)])
        for number in range(len(scores) - 2, -1, -1):
            share = rules[number].smoothing
            scores[number] = [
                (1 - share) * own + share * next_ for own, next_ in zip(scores[number], scores[number + 1], strict=True)
            ]
        for number, rule in enumerate(rules):
            self.shorten(number, rule, scores[number], prefix, budget, reindex)

    def shorten(
        self, number: int, rule: LayerRule, scores: list[float], prefix: int, budget: int, reindex: bool
    ) -> None:
        layer = self.layers[number]
        assert layer is not None
        room = budget - 1 if rule.summary else budget
        best = sorted(range(len(scores)), key=lambda i: scores[i], reverse=True)[:room]
        kept = [*range(prefix), *(prefix + i for i in sorted(best))]
        dropped = [i for i in range(layer.raw.shape[1]) if i not in kept]
        raw, values, positions = layer.raw[:, kept], layer.values[:, kept], layer.positions[:, kept]
        if reindex:
            rows = [[sorted(set(axis)).index(value) for value in axis] for axis in positions.tolist()]
            positions = torch.tensor(rows)
        if rule.summary and dropped:
            # All rotated to one position and averaged is the average, rotated.
            raw = torch.cat([raw, layer.raw[:, dropped].mean(1, keepdim=True)], 1)
            values = torch.cat([values, layer.values[:, dropped].mean(1, keepdim=True)], 1)
            end = torch.full((len(positions), 1), int(positions.max()) + 1)
            positions = torch.cat([positions, end], 1)
        self.layers[number] = Layer(raw, values, positions)


def minmax(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(value - low) / (high - low + 1e-6) for value in values]
