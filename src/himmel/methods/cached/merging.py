"""LOOK-M (Wan et al., Findings of EMNLP 2024): one look at a long prompt, then a short cache.

Once, after the prompt was read, in each layer and head: text, the entries that received most attention and the newest
ones are kept, and each other entry is merged into the kept one whose key is most like its own.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

Merge = Literal["average", "pivot", "weighted"]


@dataclass(frozen=True)
class Kept:
    """Entries of one layer [G, m, d], and how many of all heads' dropped ones went into them."""

    keys: Tensor
    values: Tensor
    merged: int


def choose(received: Tensor, text: Tensor, *, important: int, recent: int) -> Tensor:
    """Which entries are kept: all text, the `recent` last ones, and of the others those that received most attention.

    Text counts among the `important` ones, before any picture. As each head keeps as many, the order of pictures
    alone differs between heads. Of equals the first is kept.

    Args:
        received: [G, n], attention that each key received in all.
        text: bool [n], which tokens are text.
        important: how many entries before the last ones are to be kept at least.
        recent: how many of the last are kept.

    Returns:
        int64 [G, m], in their order.
    """
    groups, length = received.shape
    early = length - recent
    kept = max(important, int(text[:early].sum()))
    # Attention is never negative, and what text gets on top puts every text before every picture.
    ranked = received[:, :early] + text[:early] * (received.max() + 1)
    best = ranked.sort(dim=-1, descending=True, stable=True).indices[:, :kept]
    last = torch.arange(early, length, device=received.device).expand(groups, -1)
    return torch.cat([best, last], dim=1).sort(dim=1).values


def merge_entries(keys: Tensor, values: Tensor, kept: Tensor, how: Merge) -> Kept:
    """Keep some entries of a layer and merge each other one into the kept one that is nearest to it.

    Nearest is by cosine of the rotated keys, in each head by itself; values follow their keys. With K the kept entry
    and k_1 ... k_c what it takes, it becomes

    - `average`: (K + k_1 + ... + k_c) / (1 + c);
    - `pivot`: the same with (k_i + K) / 2 in place of k_i;
    - `weighted`: the same with w_i k_i, w_i the cosine, of those whose cosine is at least the head's mean. The others
      are dropped. (The authors' code compares the mean over heads of the i-th dropped entry, which is another token in
      each head, with the mean over all.)

    Args:
        keys: [G, n, d], rotated.
        values: [G, n, d].
        kept: int64 [G, m], from `choose`.
        how: one of `Merge`.
    """
    dropped = _others(kept, keys.shape[1])
    kept_keys, lost_keys = _take(keys, kept).float(), _take(keys, dropped).float()
    similar = normalize(lost_keys, dim=-1) @ normalize(kept_keys, dim=-1).transpose(1, 2)
    weight, nearest = similar.max(dim=-1)
    counted = (
        weight >= weight.mean(dim=1, keepdim=True) if how == "weighted" else torch.ones_like(weight, dtype=torch.bool)
    )

    def join(whole: Tensor, own: Tensor) -> Tensor:
        lost = _take(whole, dropped).float()
        if how == "pivot":
            lost = (lost + _take(own, nearest)) / 2
        elif how == "weighted":
            lost = lost * weight[..., None]
        places = nearest[..., None].expand_as(lost)
        total = own.scatter_add(1, places, lost * counted[..., None])
        taken = torch.ones_like(own[..., 0]).scatter_add(1, nearest, counted.float())
        return (total / taken[..., None]).to(whole.dtype)

    joined = join(keys, kept_keys), join(values, _take(values, kept).float())
    return Kept(*joined, merged=int(counted.sum()))


def shares(length: int, *, important_ratio: float, recent_ratio: float) -> tuple[int, int]:
    """N and M: how many of `length` entries count as important, and how many as recent."""
    return int(length * important_ratio), int(length * recent_ratio)


def _others(kept: Tensor, length: int) -> Tensor:
    """int64 [G, n - m], what [G, m] leaves over of n, in order."""
    over = torch.ones(len(kept), length, dtype=torch.bool, device=kept.device).scatter(1, kept, False)
    return over.nonzero()[:, 1].reshape(len(kept), -1)


def _take(entries: Tensor, places: Tensor) -> Tensor:
    """[G, k, d] of [G, n, d] at [G, k]."""
    return entries.gather(1, places[..., None].expand(-1, -1, entries.shape[2]))
