"""Attention, watched while it is computed: how much of it each key receives.

A network is watched through a view of it (`himmel.model.view`), whose language model computes attention by a function
of this module. Eager attention would hold queries x keys x heads x layers numbers; here a chunk of queries is held at a
time, and what is added up has one number for each key.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from himmel.model.view import share_weights

_NAME: Final = "himmel_observed"
# In float32, 64 MiB.
_MOST_SCORES: Final = 2**24


class Received:
    """Attention by receiver, in the newest call of a network made by `observed`.

    Args:
        last: only the call's last so many queries are counted; None: all of them.
    """

    def __init__(self, *, last: int | None = None) -> None:
        self._last = last
        self._layers: dict[int, Tensor] = {}

    def add(self, layer: int, query: Tensor, key: Tensor, mask: Tensor | None, scaling: float) -> None:
        """Count a layer's attention; see `attention_received`."""
        self._layers[layer] = attention_received(query, key, mask, scaling=scaling, last=self._last)

    @property
    def by_layer(self) -> list[Tensor]:
        """For each layer, float32 [G, n] with G heads of keys; the call was about a batch of one."""
        return [self._layers[layer][0] for layer in sorted(self._layers)]

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count within the block, in this thread (or task) alone."""
        before = _watcher.set(self)
        try:
            yield
        finally:
            _watcher.reset(before)


def observed(network: PreTrainedModel) -> PreTrainedModel:
    """A view of the host alone, whose attention `Received` can watch; it computes what sdpa attention computes."""
    view = share_weights(network)
    view.config.get_text_config()._attn_implementation = _NAME
    return view


def attention_received(
    query: Tensor, key: Tensor, mask: Tensor | None, *, scaling: float, last: int | None = None
) -> Tensor:
    """The attention that each key receives, summed over the queries.

    Heads of queries that share a head of keys are averaged.

    Args:
        query: [B, H, q, d], rotated.
        key: [B, G, n, d], rotated; the last q of them belong to the queries. G divides H.
        mask: what sdpa attention takes: bool (True: seen) or added, [B or 1, 1 or H, q, n]; None: each query sees what
            comes before it, and itself.
        scaling: factor of the products.
        last: see `Received`.

    Returns:
        float32 [B, G, n].
    """
    batch, heads, queries, _ = query.shape
    groups, keys = key.shape[1], key.shape[2]
    first = 0 if last is None else max(0, queries - last)
    rows = max(1, _MOST_SCORES // (batch * heads * keys))
    columns = torch.arange(keys, device=key.device)
    spread = key.repeat_interleave(heads // groups, dim=1).transpose(2, 3)
    total = torch.zeros(batch, heads, keys, device=key.device)
    for begin in range(first, queries, rows):
        end = min(begin + rows, queries)
        scores = (query[:, :, begin:end] @ spread).float() * scaling
        if mask is None:
            seen = columns <= torch.arange(begin, end, device=key.device)[:, None] + keys - queries
            scores.masked_fill_(~seen, -torch.inf)
        elif mask.dtype == torch.bool:
            scores.masked_fill_(~mask[:, :, begin:end], -torch.inf)
        else:
            scores += mask[:, :, begin:end]
        total += scores.softmax(-1).sum(2)
    return total.unflatten(1, (groups, -1)).mean(2)


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, Tensor | None]:
    """sdpa attention as transformers computes it, and a look at it for whoever watches."""
    watcher = _watcher.get()
    if watcher is not None:
        with torch.no_grad():
            watcher.add(cast(int, module.layer_idx), query, key, attention_mask, float(options["scaling"]))
    attended: tuple[Tensor, Tensor | None] = _INTERFACE["sdpa"](module, query, key, value, attention_mask, **options)
    return attended


_watcher: ContextVar[Received | None] = ContextVar("watcher", default=None)
_INTERFACE: Final = AttentionInterface()
AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, AttentionMaskInterface()["sdpa"])
