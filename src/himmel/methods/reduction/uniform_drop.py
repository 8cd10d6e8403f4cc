"""Uniform dropping, the control that every other method has to beat: which tokens go is decided by chance alone."""

import torch

from himmel.methods.reduction.budget import KEEP, count_kept, share_out
from himmel.methods.reduction.tokens import FrameTokens, Reduction


def uniform_drop(tokens: FrameTokens, *, keep: float = KEEP, seed: int = 0) -> Reduction:
    """Keep the same share of every frame, each of its tokens with the same chance.

    Every second or every fourth token instead would keep the same columns of each frame.

    Args:
        tokens: of frames of any grids.
        keep: share of all tokens, 0.25 by default; never fewer than there are frames.
        seed: decides which tokens, the same on every device.

    Raises:
        UsageError: `keep` is no share.
    """
    budget = count_kept(tokens.total, keep, least=len(tokens.counts))
    sizes = share_out(budget, [float(count) for count in tokens.counts], tokens.counts, least=1)
    chance = torch.Generator().manual_seed(seed)
    mask = torch.zeros(tokens.total, dtype=torch.bool)
    first = 0
    for count, size in zip(tokens.counts, sizes, strict=True):
        mask[first + torch.randperm(count, generator=chance)[:size]] = True
        first += count
    return Reduction.keeping(mask.to(tokens.features.device), tokens.counts)
