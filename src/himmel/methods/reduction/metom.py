"""MeToM: tokens merged where the codec spent little (Wu, Wang, Yu, CVPR 2026), before the language model.

No code was released; this is an implementation of our own of what the abstract says.

From the abstract: the budget of a frame follows the average packet size of its group of pictures (temporal information
density), the codec's residual says which regions of a frame matter (spatial information density), and regions that
matter little are merged instead of dropped. Nothing is trained.

Ours: frames' shares in proportion to packet sizes; the places that cost most are kept; every other token is merged into
the kept one nearest to it in the picture; in a merged token each counts by the cost of its place. The abstract gives no
numbers for any of this.

Not built: merging while the picture is cut into tokens, which would spare the vision tower (the towers of these hosts
take whole grids, and windows or tiles of fixed size), and merging inside the language model by the attention of several
layers. So the paper's speed is not to be expected of it, only its choice of tokens.
"""

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from himmel.methods.reduction.budget import KEEP, count_kept, share_out
from himmel.methods.reduction.tokens import DROPPED, FrameTokens, Reduction

FLOOR: Final = 0.1
"""What a place that costs nothing counts in a mean, as a share of its frame's mean cost."""
_SPREAD = (math.sqrt(5) - 1) / 2


def metom(
    tokens: FrameTokens,
    *,
    cost: Sequence[Tensor],
    places: Sequence[Tensor],
    packets: Sequence[float],
    keep: float = KEEP,
) -> Reduction:
    """Keep the tokens where the codec spent most, more of them in frames on which it spent more; merge the others.

    Args:
        tokens: of n frames of any grids.
        cost: for each frame, float [n_i], not negative: residual energy, or what else the codec spent, at each token's
            place, in any unit. NaN for a token that shows no part of the picture, such as one for a new line: it is
            dropped.
        places: for each frame, float [n_i, 2], where its tokens are in the picture, in one unit across and down.
        packets: for each frame, the mean packet size of its group of pictures, in any unit.
        keep: share of all tokens, 0.25 by default; never fewer than there are frames.

    Of places that cost the same, those are kept that come first in a fixed sequence that spreads over the frame (the
    fractions of the index times the golden ratio, ascending). In a tie of distances a token is merged into the earlier
    one.

    Raises:
        UsageError: `keep` is no share.
    """
    shown = [~spent.isnan() for spent in cost]
    limits = [int(mask.sum()) for mask in shown]
    budget = min(count_kept(tokens.total, keep, least=len(limits)), sum(limits))
    sizes = share_out(budget, packets, limits, least=1)
    into = torch.full((tokens.total,), DROPPED)
    weights = torch.ones(tokens.total)
    first = 0
    for size, spent, where, mask in zip(sizes, cost, places, shown, strict=True):
        numbers = first + mask.nonzero()[:, 0]
        into[numbers] = numbers[_merge(spent[mask].float(), where[mask].float(), size)]
        weights[numbers] = _weights(spent[mask].float())
        first += len(spent)
    device = tokens.features.device
    return Reduction(into=into.to(device), counts=tuple(tokens.counts), weights=weights.to(device))


def _merge(cost: Tensor, places: Tensor, size: int) -> Tensor:
    """Int64 [T], the token of one frame that each of its tokens ends up in."""
    spread = torch.argsort(torch.arange(len(cost), dtype=torch.float64) * _SPREAD % 1, stable=True)
    dearest = torch.argsort(cost[spread], descending=True, stable=True)[:size]
    kept = spread[dearest].sort().values
    # Differences, not products: equal distances stay equal.
    distance = (places[:, None] - places[kept]).square().sum(dim=-1)
    nearest = kept[distance.argmin(dim=1)]
    # Two tokens may have the same place; one that is kept stays itself.
    nearest[kept] = kept
    return nearest


def _weights(cost: Tensor) -> Tensor:
    mean = float(cost.mean())
    return cost + FLOOR * mean if mean > 0 else torch.ones_like(cost)
