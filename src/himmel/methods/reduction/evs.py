"""EVS, Efficient Video Sampling: drop what looks as it did in the frame before (arXiv 2510.14624, section 3)."""

import torch
from torch import Tensor
from torch.nn import functional

from himmel.methods.reduction.budget import KEEP, count_kept
from himmel.methods.reduction.tokens import FrameTokens, Reduction


def evs(tokens: FrameTokens, *, keep: float = KEEP) -> Reduction:
    """Keep the first frame whole, and of the others the tokens least like those at the same place one frame earlier.

    All tokens of all later frames compete: those with the largest 1 - cos(x_t, x_{t-1}) stay; in a tie the earlier one.
    Tokens are compared with the full frame before, not with what was kept of it. Held against vLLM's
    `compute_retention_mask`.

    Args:
        tokens: of frames with equal grids.
        keep: share of all tokens, 0.25 by default (the paper tries pruning rates up to 0.9 and names no default);
            never fewer than the first frame holds.

    Raises:
        HostError: the grids of the frames differ.
        UsageError: `keep` is no share.
    """
    frames = tokens.alike("evs")
    size = frames.shape[1]
    changed = 1 - functional.cosine_similarity(frames[1:], frames[:-1], dim=-1)
    # Beyond any 1 - cos: the first frame comes first.
    ranked = torch.cat([changed.new_full((1, size), 3.0), changed]).flatten()
    return Reduction.keeping(highest(ranked, count_kept(tokens.total, keep, least=size)), tokens.counts)


def highest(scores: Tensor, count: int) -> Tensor:
    """Bool, True at the `count` highest of scores [N]; in a tie at the earlier one."""
    mask = torch.zeros_like(scores, dtype=torch.bool)
    mask[torch.argsort(scores, descending=True, stable=True)[:count]] = True
    return mask
