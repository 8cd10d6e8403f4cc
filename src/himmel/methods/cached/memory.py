"""What a language model keeps of one sequence, and reading on from there with explicit positions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPooling

from himmel.adapter.tensors import ShowsShapes
from himmel.hosts import Host, PositionScheme, Run
from himmel.methods.cached.observe import observed
from himmel.model.host_model import HostModel


@dataclass(frozen=True, repr=False)
class Segment(ShowsShapes):
    """Part of a prompt: L tokens and where they are.

    Attributes:
        ids: int64 [L].
        positions: int64 [A, L], on the host's axes.
    """

    ids: Tensor
    positions: Tensor

    @classmethod
    def of(cls, runs: Sequence[Run], host: Host, *, scheme: PositionScheme, start: int) -> "Segment":
        """Runs laid out from the position `start` on."""
        ids = torch.tensor([number for run in runs for number in run.ids], dtype=torch.long)
        return cls(ids, host.position_ids(runs, scheme=scheme, start=start))

    @property
    def end(self) -> int:
        """The position after the segment."""
        return int(self.positions.max()) + 1


@dataclass(frozen=True, repr=False)
class Memory(ShowsShapes):
    """The entries of one sequence: as many in all layers. Nothing changes one; reading on makes another.

    Attributes:
        keys: for each layer [1, G, n, d], rotated.
        values: for each layer [1, G, n, d].
        seen: how many tokens were read, those that left no entry of their own among them.
        next: position of the next token, on every axis.
    """

    keys: tuple[Tensor, ...] = ()
    values: tuple[Tensor, ...] = ()
    seen: int = 0
    next: int = 0

    @property
    def length(self) -> int:
        """n."""
        return self.keys[0].shape[2] if self.keys else 0

    @property
    def entries(self) -> int:
        """Pairs of key and value, in all layers and heads together."""
        return sum(keys.shape[1] * keys.shape[2] for keys in self.keys)

    def cache(self, copies: int = 1) -> DynamicCache:
        """As transformers takes it, once for each of `copies` rows; what is appended there does not show here."""
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
            cache.update(keys.expand(copies, -1, -1, -1), values.expand(copies, -1, -1, -1), layer)
        return cache


class Reader:
    """A host alone, read step by step; see `observed` for how it computes attention.

    Args:
        model: any model on the host; it is left as it is.
    """

    def __init__(self, model: HostModel) -> None:
        self.host = model.host
        self.device = model.device
        self.network = observed(model.network)

    @torch.no_grad()
    def read(
        self, memory: Memory, segment: Segment, *, vision: BaseModelOutputWithPooling | None = None
    ) -> tuple[Memory, Tensor]:
        """Read on; what was compressed before looks like any other entry.

        Args:
            memory: what has been read; empty at first.
            segment: at most as long as the network can take at once.
            vision: the tower's view of the segment's pictures.

        Returns:
            The memory after it, and [V], what is predicted to come next.
        """
        cache = memory.cache()
        output = self.network(
            input_ids=segment.ids[None].to(self.device),
            position_ids=self.position_ids(segment.positions[:, None], memory.seen),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
            **({} if vision is None else self.host.vision_inputs(vision)),
        )
        layers: Any = cache.layers
        read = Memory(
            keys=tuple(layer.keys for layer in layers),
            values=tuple(layer.values for layer in layers),
            seen=memory.seen + len(segment.ids),
            next=segment.end,
        )
        return read, output.logits[0, -1]

    def position_ids(self, positions: Tensor, seen: int) -> Tensor:
        """[A, B, L] positions of tokens after `seen` others, as the network takes them."""
        order = torch.arange(seen, seen + positions.shape[2]).expand(positions.shape[1:])
        return self.host.batch_positions(positions, order).to(self.device)

    def text_positions(self, start: int, length: int) -> Tensor:
        """[A, length] from `start` on: text has the same position on all axes."""
        return self.host.position_ids([Run("text", (0,) * length)], scheme="sequential", start=start)
