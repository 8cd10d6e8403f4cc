"""What a language model made of the beginning of a prompt, kept so that a second question about a video begins there.

The video comes before the question, and a token of a language model sees only what comes before it: keys and values of
the tokens that two prompts begin with are the same in both. They are found again by video and method, never by token
ids alone, since all pictures have the same placeholders.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from transformers import DynamicCache

from himmel.adapter.tensors import ShowsShapes
from himmel.methods.cache import BoundedCache

# A longer prompt takes a shorter one's place only if it is longer by so many tokens: else copying costs more than it
# saves.
_LEAST_GROWTH: Final = 64


@dataclass(frozen=True, repr=False)
class Prefix(ShowsShapes):
    """The beginning of a prompt of P tokens, read.

    Attributes:
        ids: int64 [P], on the CPU.
        keys: for each layer [G, P, d], rotated, on the CPU.
        values: for each layer [G, P, d], on the CPU.
        devices: of each layer, in the network.
    """

    ids: Tensor
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    devices: tuple[torch.device, ...]

    @property
    def num_bytes(self) -> int:
        """Memory of all tensors."""
        return sum(one.nbytes for one in (self.ids, *self.keys, *self.values))

    def shared(self, ids: Tensor) -> int:
        """How many tokens a prompt, int64 [L], begins with that are these."""
        length = min(len(ids), len(self.ids))
        different = (ids[:length] != self.ids[:length]).nonzero()
        return int(different[0]) if len(different) else length


class Past:
    """Where the beginning of prompts about one video, asked by one method, is kept.

    Args:
        kept: of all of them; None keeps nothing.
        key: equal for equal videos that are asked alike.
    """

    def __init__(self, kept: BoundedCache[Prefix] | None, key: Hashable) -> None:
        self._kept, self._key = kept, key

    @property
    def key(self) -> Hashable:
        """Questions of the same key have the video in common; None where nothing is kept."""
        return None if self._kept is None else self._key

    def find(self) -> Prefix | None:
        """What is kept now."""
        return None if self._kept is None else self._kept.get(self._key)

    def keep(self, ids: Tensor, cache: DynamicCache, row: int, columns: Tensor) -> None:
        """Keep the beginning of a prompt, unless one is kept that is as good.

        Args:
            ids: int64 [P], of the beginning, on the CPU.
            cache: what was read of a batch.
            row: the prompt's row in it.
            columns: int64, its tokens' columns there, of which the first P are kept.
        """
        if self._kept is None:
            return
        found = self.find()
        if found is not None and (found.shared(ids) < len(found.ids) or len(ids) < len(found.ids) + _LEAST_GROWTH):
            return
        layers: Any = cache.layers
        first = layers[0].keys[row, :, : len(ids)]
        if 2 * len(layers) * first.nbytes > self._kept.most:
            return
        where = columns[: len(ids)]
        keys, values = (
            tuple(tensor[row].index_select(1, where.to(tensor.device)).cpu() for tensor in tensors)
            for tensors in ([layer.keys for layer in layers], [layer.values for layer in layers])
        )
        prefix = Prefix(ids, keys, values, tuple(layer.keys.device for layer in layers))
        self._kept.put(self._key, prefix, prefix.num_bytes)


NOTHING_PAST: Final = Past(None, None)


def join_prefixes(prefixes: Sequence[Prefix], lengths: Sequence[int]) -> DynamicCache:
    """The beginnings of B prompts as one cache, padded on the left with zeros.

    Args:
        prefixes: B of them.
        lengths: how many tokens of each are taken.
    """
    cache = DynamicCache()
    for layer, device in enumerate(prefixes[0].devices):
        keys = _pad([one.keys[layer][:, :length] for one, length in zip(prefixes, lengths, strict=True)], device)
        values = _pad([one.values[layer][:, :length] for one, length in zip(prefixes, lengths, strict=True)], device)
        cache.update(keys, values, layer)
    return cache


def _pad(rows: Sequence[Tensor], device: torch.device) -> Tensor:
    """[G, P_i, d] of each row as [B, G, P, d]."""
    groups, _, width = rows[0].shape
    batch = rows[0].new_zeros((len(rows), groups, max(row.shape[1] for row in rows), width), device=device)
    for own, row in zip(batch, rows, strict=True):
        own[:, own.shape[1] - row.shape[1] :] = row
    return batch
