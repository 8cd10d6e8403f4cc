"""HERMES on a memory: score by guidance prompts, keep, fold, and move what is kept to its positions (`sections`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from himmel.methods.cached.memory import Memory, Reader, Segment
from himmel.methods.cached.observe import Received
from himmel.methods.cached.rotation import move_keys
from himmel.methods.cached.sections import PROMPTS, LayerRule, Prompt, choose, score


@dataclass(frozen=True)
class Hierarchy:
    """A memory whose layers keep different entries.

    Attributes:
        memory: its entries; as many in all layers.
        positions: for each layer int64 [A, n], where they are. All layers' next token comes at `memory.next`:
            attention sees distances alone, so that a layer whose kept entries end earlier is moved up as a whole.
        prefix: how many entries at the front are never dropped.
    """

    memory: Memory
    positions: tuple[Tensor, ...]
    prefix: int

    @classmethod
    def begin(cls, memory: Memory, segment: Segment) -> "Hierarchy":
        """After the prefix, `segment`, was read into `memory`."""
        return cls(memory, (segment.positions,) * len(memory.keys), len(segment.ids))

    def grown(self, memory: Memory, segment: Segment) -> "Hierarchy":
        """After `segment` was read on top of it, which gave `memory`."""
        positions = tuple(torch.cat([given, segment.positions], dim=1) for given in self.positions)
        return Hierarchy(memory, positions, self.prefix)


@dataclass(frozen=True, kw_only=True)
class Compression:
    """How a hierarchy is compressed.

    Attributes:
        rules: of each layer, see `layer_rules`.
        budget: entries that each layer keeps beyond the prefix, B; where there is a summary, that is one of them.
        as_released: score as the authors' code does, see `guided_attention`.
    """

    rules: tuple[LayerRule, ...]
    budget: int
    as_released: bool = False

    def apply(self, reader: Reader, given: Hierarchy, *, reindex: bool) -> Hierarchy:
        """Drop what is over the budget.

        Args:
            reader: whose memory it is.
            given: a hierarchy.
            reindex: whether kept entries get consecutive positions from 0 on, or keep theirs.
        """
        wanted = {rule.prompt for rule in self.rules if rule.prompt is not None}
        guided = {
            prompt: guided_attention(reader, given.memory, PROMPTS[prompt], as_released=self.as_released)
            for prompt in wanted
        }
        scores = score(self.rules, self._visual(guided, given))
        plans = [
            _plan(self._kept(layer, scores[layer], given), given.positions[layer], rule, reindex=reindex)
            for layer, rule in enumerate(self.rules)
        ]
        end = max(plan.end for plan in plans)
        layers = [_follow(reader, given, layer, plan, end - plan.end) for layer, plan in enumerate(plans)]
        memory = Memory(
            keys=tuple(layer.keys for layer in layers),
            values=tuple(layer.values for layer in layers),
            seen=given.memory.seen,
            next=end,
        )
        return Hierarchy(memory, tuple(layer.positions for layer in layers), given.prefix)

    def _visual(self, guided: Mapping[Prompt, list[Tensor]], given: Hierarchy) -> list[Tensor | None]:
        """For each layer [n], the attention of its prompt to what may be dropped."""
        length = given.memory.length
        return [
            None if rule.prompt is None else guided[rule.prompt][layer][given.prefix : length]
            for layer, rule in enumerate(self.rules)
        ]

    def _kept(self, layer: int, scores: Tensor, given: Hierarchy) -> Tensor:
        """int64 [m], places of what is kept of a layer, the prefix among them."""
        room = self.budget - self.rules[layer].summary
        best = choose(scores, min(room, len(scores))).cpu()
        return torch.cat([torch.arange(given.prefix), given.prefix + best])


def guided_attention(reader: Reader, memory: Memory, prompt: str, *, as_released: bool = False) -> list[Tensor]:
    """The attention that a prompt, put after a memory, pays to each key: mean over its tokens and all heads.

    The authors' code (`inference/llavaov_online_official.py`), wherever attention is not eager, gives every layer the
    prompt's raw embeddings as hidden states, as it never applies one layer's result to the next, and lets the prompt's
    tokens see those that follow them. `as_released` does the same.

    Returns:
        For each layer float32 [n + q], n entries and the prompt's own q tokens.
    """
    ids = torch.tensor(reader.host.encode_text(prompt))
    segment = Segment(ids, reader.text_positions(memory.next, len(ids)))
    received = Received()
    with received.watching():
        if as_released:
            _read_unlayered(reader, memory, segment)
        else:
            reader.read(memory, segment)
    return [heads.mean(0) / len(ids) for heads in received.by_layer]


@torch.no_grad()
def _read_unlayered(reader: Reader, memory: Memory, segment: Segment) -> None:
    """Have each layer attend for itself, with embeddings as its hidden states."""
    decoder = cast(Any, reader.network.get_decoder())
    states = reader.network.get_input_embeddings()(segment.ids[None].to(reader.device))
    positions = segment.positions.to(reader.device)
    rotations = decoder.rotary_emb(states, positions if len(positions) == 1 else positions[:, None])
    mask = torch.ones(1, 1, len(segment.ids), memory.length + len(segment.ids), dtype=torch.bool, device=reader.device)
    cache = memory.cache()
    for layer in decoder.layers:
        layer(states, attention_mask=mask, position_embeddings=rotations, past_key_values=cache, use_cache=True)


@dataclass(frozen=True)
class _Plan:
    """What becomes of a layer's n entries.

    Attributes:
        kept: int64 [m], places of those that stay.
        positions: int64 [A, m], where those go.
        folded: int64 [f], places of those that become one; empty: all others are dropped.
    """

    kept: Tensor
    positions: Tensor
    folded: Tensor

    @property
    def last(self) -> int:
        """The highest position of what stays; the summary comes after it."""
        return int(self.positions.max())

    @property
    def end(self) -> int:
        """The position after all of it."""
        return self.last + 1 + bool(len(self.folded))


@dataclass(frozen=True)
class _Layer:
    """A layer's entries [1, G, m, d] at positions [A, m]."""

    keys: Tensor
    values: Tensor
    positions: Tensor


def _plan(kept: Tensor, positions: Tensor, rule: LayerRule, *, reindex: bool) -> _Plan:
    over = torch.ones(positions.shape[1], dtype=torch.bool)
    over[kept] = False
    own = positions[:, kept]
    folded = over.nonzero()[:, 0] if rule.summary else kept[:0]
    return _Plan(kept, _consecutive(own) if reindex else own, folded)


def _follow(reader: Reader, given: Hierarchy, layer: int, plan: _Plan, gap: int) -> _Layer:
    """Keep, move and fold, everything `gap` positions higher than planned; each key is turned once."""
    keys, values, positions = given.memory.keys[layer], given.memory.values[layer], given.positions[layer]
    kept, folded = plan.kept.to(keys.device), plan.folded.to(keys.device)
    aims = plan.positions + gap
    kept_keys = move_keys(reader.network, keys[:, :, kept], aims - positions[:, plan.kept])
    kept_values = values[:, :, kept]
    if not len(folded):
        return _Layer(kept_keys, kept_values, aims)
    place = torch.full_like(aims[:, :1], plan.last + 1 + gap)
    moved = move_keys(reader.network, keys[:, :, folded].float(), place - positions[:, plan.folded])
    summary = moved.mean(2, keepdim=True), values[:, :, folded].float().mean(2, keepdim=True)
    return _Layer(
        torch.cat([kept_keys, summary[0].to(keys.dtype)], dim=2),
        torch.cat([kept_values, summary[1].to(values.dtype)], dim=2),
        torch.cat([aims, place], dim=1),
    )


def _consecutive(positions: Tensor) -> Tensor:
    """[A, m] on each axis by rank: the distinct values become 0, 1, 2 and so on."""
    return torch.stack([axis.unique(return_inverse=True)[1] for axis in positions])
