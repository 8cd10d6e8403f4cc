"""Answers that are written together, a token each at every step: more may join between steps, and each ends by itself.

transformers' `generate` begins and ends a batch as a whole, and its continuous batching takes token ids alone, without
pictures, motion tokens or positions on several axes (docs/serving.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import (
    DynamicCache,
    LogitsProcessorList,
    PreTrainedModel,
    RepetitionPenaltyLogitsProcessor,
    SuppressTokensLogitsProcessor,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling

from himmel.adapter.tensors import ShowsShapes
from himmel.methods.decoding import Decoding, Steps, end_ids
from himmel.methods.prefixes import Prefix, join_prefixes
from himmel.model.host_model import HostModel
from himmel.model.inputs import ModelInputs


@dataclass(frozen=True, kw_only=True, repr=False)
class ReadPrompts(ShowsShapes):
    """B prompts that a language model has read.

    Attributes:
        cache: keys and values, in L columns.
        mask: int64 [B, L], 0 where a column is no token of the row's prompt.
        positions: of the token that comes next, in the shape that the host takes; its axis before the last has B rows.
        logits: [B, V], of the token that comes next.
    """

    cache: DynamicCache
    mask: Tensor
    positions: Tensor
    logits: Tensor

    @classmethod
    def read(
        cls,
        model: HostModel,
        inputs: ModelInputs,
        *,
        vision: BaseModelOutputWithPooling | None = None,
        prefixes: Sequence[tuple[Prefix, int]] = (),
    ) -> "ReadPrompts":
        """Read prompts.

        Args:
            model: what reads them.
            inputs: the prompts; the whole of them also where their beginnings are known.
            vision: see `HostModel.forward`.
            prefixes: for each prompt what is known, and how many tokens of it are the prompt's; empty: nothing.

        Raises:
            HostError: as `HostModel.forward`.
        """
        cache = DynamicCache()
        if prefixes:
            lengths = [length for _, length in prefixes]
            cache = join_prefixes([prefix for prefix, _ in prefixes], lengths)
            inputs = inputs.after(lengths)
        logits = model.read(inputs, vision=vision, cache=cache)
        mask = inputs.attention_mask.to(logits.device)
        return cls(cache=cache, mask=mask, positions=inputs.position_ids[..., -1:].to(model.device) + 1, logits=logits)

    def columns(self, row: int) -> Tensor:
        """int64 [P], the columns of a prompt's tokens."""
        return self.mask[row].nonzero()[:, 0]

    def part(self, rows: Tensor) -> "ReadPrompts":
        """Some of the prompts, int64 [b], without the columns that are none of theirs."""
        mask = self.mask[rows.to(self.mask.device)]
        first = int(mask.any(0).int().argmax())
        cache = DynamicCache()
        layers: Any = self.cache.layers
        for number, layer in enumerate(layers):
            own = rows.to(layer.keys.device)
            cache.update(layer.keys[own, :, first:], layer.values[own, :, first:], number)
        return ReadPrompts(
            cache=cache,
            mask=mask[:, first:],
            positions=self.positions[..., rows.to(self.positions.device), :],
            logits=self.logits[rows.to(self.logits.device)],
        )

    def beside(self, other: "ReadPrompts") -> "ReadPrompts":
        """These and others, padded on the left to as many columns."""
        most = max(self.mask.shape[1], other.mask.shape[1])
        cache = DynamicCache()
        layers: Any = zip(self.cache.layers, other.cache.layers, strict=True)
        for number, (one, two) in enumerate(layers):
            keys, values = (
                torch.cat([pad(tensor, (0, 0, most - tensor.shape[2], 0)) for tensor in tensors])
                for tensors in ((one.keys, two.keys), (one.values, two.values))
            )
            cache.update(keys, values, number)
        return ReadPrompts(
            cache=cache,
            mask=torch.cat([pad(read.mask, (most - read.mask.shape[1], 0)) for read in (self, other)]),
            positions=torch.cat([self.positions, other.positions], dim=-2),
            logits=torch.cat([self.logits, other.logits]),
        )


class Row:
    """One answer.

    Attributes:
        steps: its tokens so far.
        done: whether it has ended.
    """

    def __init__(self, decoding: Decoding, ends: Sequence[int]) -> None:
        self.steps = Steps([decoding], ends)
        self.done = False

    def take(self, token: Tensor) -> None:
        """Take the next token, int64 [1]."""
        self.done = self.steps.stop(token)[0]


class Generation:
    """Answers of one model.

    Args:
        model: what writes them.

    Attributes:
        rows: those that have not ended.
    """

    def __init__(self, model: HostModel) -> None:
        self._model = model
        self._ends = end_ids(model.network)
        self._processors = processors(model.network, model.host.motion_token_id, model.device)
        self._read: ReadPrompts | None = None
        # Of each row the prompt and the answer so far, padded on the left.
        self._ids = torch.empty(0, 0, dtype=torch.long, device=model.device)
        self.rows: list[Row] = []

    @torch.no_grad()
    def join(self, read: ReadPrompts, prompts: Sequence[Tensor], decodings: Sequence[Decoding]) -> list[Row]:
        """Begin answers, each with its first token; those that have not ended go on at the next step.

        Args:
            read: B prompts.
            prompts: int64 [P_i], their ids, for the host's penalty on repeating them (where it has one).
            decodings: how each answer is made.
        """
        rows = [Row(decoding, self._ends) for decoding in decodings]
        # Before a token is told: a device may have no memory for it, and then these answers have not begun.
        beside = read if self._read is None else self._read.beside(read)
        ids = self._choose(rows, _side_by_side([one.to(self._model.device) for one in prompts]), read.logits)
        self._ids = _side_by_side([*self._ids, *ids])
        self._read = beside
        self.rows = [*self.rows, *rows]
        self._drop_ended()
        return rows

    @torch.no_grad()
    def step(self) -> list[Row]:
        """Write one more token of each answer; returns those that end with it."""
        read, rows = self._read, self.rows
        if read is None:
            return []
        mask = pad(read.mask, (0, 1), value=1)
        output = self._model.network(
            input_ids=self._ids[:, -1:],
            attention_mask=mask.to(self._model.device),
            position_ids=read.positions,
            past_key_values=read.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits = output.logits[:, -1]
        self._read = ReadPrompts(cache=read.cache, mask=mask, positions=read.positions + 1, logits=logits)
        self._ids = self._choose(rows, self._ids, logits)
        self._drop_ended()
        return [row for row in rows if row.done]

    def _choose(self, rows: Sequence[Row], ids: Tensor, logits: Tensor) -> Tensor:
        """Ids [B, L + 1], with the next token of each row after those that it has [B, L]."""
        scores = self._processors(cast(Any, ids), cast(Any, logits.to(ids.device).float()))
        chosen = [row.steps.choose(scores[place : place + 1]).argmax(-1) for place, row in enumerate(rows)]
        newest = torch.cat(chosen)
        # One wait for a device, not one a row.
        for row, token in zip(rows, newest.cpu().split(1), strict=True):
            row.take(token)
        return torch.cat([ids, newest[:, None]], dim=1)

    def _drop_ended(self) -> None:
        """Leave out rows that have ended, and the columns that no other row has."""
        if not any(row.done for row in self.rows):
            return
        left = torch.tensor([place for place, row in enumerate(self.rows) if not row.done], dtype=torch.long)
        self.rows = [row for row in self.rows if not row.done]
        self._ids = _without_padding(self._ids[left.to(self._ids.device)])
        self._read = None if self._read is None or not self.rows else self._read.part(left)


def processors(network: PreTrainedModel, motion_token_id: int, device: torch.device) -> LogitsProcessorList:
    """In the order in which `generate` applies them; a placeholder of motion is no answer."""
    penalty = network.generation_config.repetition_penalty
    repeated = [] if penalty in (None, 1.0) else [RepetitionPenaltyLogitsProcessor(penalty)]
    return LogitsProcessorList([*repeated, SuppressTokensLogitsProcessor([motion_token_id], device=str(device))])


def _side_by_side(rows: Sequence[Tensor]) -> Tensor:
    """int64 [B, L] of ids [L_i]. Padding is a token that the row has, so that no other is taken for a repeated one."""
    longest = max(len(row) for row in rows)
    return torch.stack([torch.cat([row[:1].expand(longest - len(row)), row]) for row in rows])


def _without_padding(ids: Tensor) -> Tensor:
    """Ids [B, L] without the columns that are padding, as `_side_by_side` makes it, in every row."""
    first = int((ids != ids[:, :1]).any(0).int().argmax()) - 1
    return ids[:, max(first, 0) :]
