"""ToMe, Token Merging (ICLR 2023, section 3): the most similar pairs of tokens become their mean."""

import torch
from torch import Tensor

from himmel.methods.reduction.budget import KEEP, count_kept, share_out
from himmel.methods.reduction.tokens import FrameTokens, Reduction


def tome(tokens: FrameTokens, *, keep: float = KEEP) -> Reduction:
    """Merge the tokens of each frame by bipartite soft matching until the budget is met.

    One round: the tokens of a frame are split by turns into A and B; each of A finds the one of B with the highest
    cosine similarity (the earlier one in a tie); of these pairs the r most similar are merged, A's token into B's.
    A token counts by its size, how many tokens it was made of: in the end it is their mean. A round removes at most
    half of the tokens, so smaller budgets take several, as the paper's layers do.

    From the paper: matching, merging, sizes. Ours, as it works between tower and language model instead of inside a
    tower's layers: similarity is that of the features themselves (inside: attention keys), every frame keeps the same
    share, a merged token takes B's place, and tokens stay in their order between rounds (the released code puts
    what is left of A before B).

    Args:
        tokens: of frames of any grids.
        keep: share of all tokens, 0.25 by default (the paper's r = 8 to 16 a layer leaves from half of the tokens down
            to a twentieth); never fewer than there are frames.

    Raises:
        UsageError: `keep` is no share.
    """
    budget = count_kept(tokens.total, keep, least=len(tokens.counts))
    sizes = share_out(budget, [float(count) for count in tokens.counts], tokens.counts, least=1)
    parts, first = [], 0
    for frame, size in zip(tokens.scored().split(tokens.counts), sizes, strict=True):
        parts.append(first + merge_to(frame, size))
        first += len(frame)
    return Reduction(into=torch.cat(parts), counts=tuple(tokens.counts))


def merge_to(features: Tensor, size: int) -> Tensor:
    """Merge tokens [T, D] until `size` are left: int64 [T], the one that each ends up in."""
    alive = into = torch.arange(len(features), device=features.device)
    # Their sum points where the mean of a token's members does, and similarity is a matter of direction.
    summed = features.clone()
    while len(alive) > size:
        sources, targets = match(summed[alive], min(len(alive) - size, len(alive) // 2))
        sources, targets = alive[sources], alive[targets]
        summed.index_add_(0, targets, summed[sources])
        moved = torch.arange(len(features), device=features.device)
        moved[sources] = targets
        into = moved[into]
        gone = torch.zeros(len(features), dtype=torch.bool, device=features.device)
        gone[sources] = True
        alive = alive[~gone[alive]]
    return into


def match(features: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """One round on [T, D]: int64 [count] each, the tokens that are merged and those that they are merged into."""
    scaled = torch.nn.functional.normalize(features, dim=-1)
    scores = scaled[::2] @ scaled[1::2].T
    best, target = scores.max(dim=1)
    chosen = torch.argsort(best, descending=True, stable=True)[:count]
    return 2 * chosen, 2 * target[chosen] + 1
