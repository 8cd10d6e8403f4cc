"""MeToM: tokens merged where the codec spent little (Wu, Wang, Yu, CVPR 2026), before the language model.

No code was released; this is an implementation of our own of what the abstract says.

From the abstract: the budget of a frame follows the average packet size of its group of pictures (temporal information
density), the codec's residual says which regions of a frame matter (spatial information density), and regions that
matter little are merged instead of dropped. Nothing is trained.

Ours: shares in proportion to packet sizes; the places with the highest residual energy are kept; every other
token is merged into the kept one nearest to it in the picture; in a merged token each counts by the energy of its
place. The abstract gives no numbers for any of this.

Not built: merging while the picture is cut into tokens, which would spare the vision tower (the towers of these hosts
take whole grids, and windows or tiles of fixed size), and merging inside the language model by the attention of several
layers. So the paper's speed is not to be expected of it, only its choice of tokens.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from himmel.methods.reduction.budget import KEEP, count_kept, share_out
from himmel.methods.reduction.evs import highest
from himmel.methods.reduction.tokens import FrameTokens, Reduction

FLOOR: Final = 0.1
"""What a place without any residual counts in a mean, as a share of its frame's mean energy."""


def metom(
    tokens: FrameTokens,
    *,
    energy: Sequence[Tensor],
    places: Sequence[Tensor],
    packets: Sequence[float],
    keep: float = KEEP,
) -> Reduction:
    """Keep the tokens where the codec spent most, more of them in frames on which it spent more; merge the others.

    Args:
        tokens: of n frames of any grids.
        energy: for each frame, float [n_i], not negative: residual energy at each token's place, in any unit.
        places: for each frame, float [n_i, 2], where its tokens are in the picture, in one unit across and down.
        packets: for each frame, the mean packet size of its group of pictures, in any unit.
        keep: share of all tokens, 0.25 by default; never fewer than there are frames.

    In a tie of energies the earlier token stays, in a tie of distances it is merged into the earlier one.

    Raises:
        UsageError: `keep` is no share.
    """
    budget = count_kept(tokens.total, keep, least=len(tokens.counts))
    sizes = share_out(budget, packets, tokens.counts, least=1)
    into, weights, first = [], [], 0
    for size, spent, where in zip(sizes, energy, places, strict=True):
        into.append(first + _merge(spent.float(), where.float(), size))
        weights.append(_weights(spent.float()))
        first += len(spent)
    device = tokens.features.device
    return Reduction(into=torch.cat(into).to(device), counts=tuple(tokens.counts), weights=torch.cat(weights))


def _merge(energy: Tensor, places: Tensor, size: int) -> Tensor:
    """Int64 [T], the token of one frame that each of its tokens ends up in."""
    kept = highest(energy, size).nonzero()[:, 0]
    # Differences, not products: equal distances stay equal.
    distance = (places[:, None] - places[kept]).square().sum(dim=-1)
    nearest = kept[distance.argmin(dim=1)]
    # Two tokens may have the same place; one that is kept stays itself.
    nearest[kept] = kept
    return nearest


def _weights(energy: Tensor) -> Tensor:
    mean = float(energy.mean())
    return energy + FLOOR * mean if mean > 0 else torch.ones_like(energy)
