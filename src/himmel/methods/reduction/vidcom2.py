"""VidCom2, Video Compression Commander: keep what stands out of its frame and of the video (EMNLP 2025, section 4)."""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from himmel.methods.reduction.budget import KEEP, count_kept
from himmel.methods.reduction.tokens import FrameTokens, Reduction

CHANNELS: Final = 0.5
"""Share of the channels that are compared: those with the least variance."""
WIDTHS: Final = (0.125, 0.25, 0.5, 1.0, 2.0)
"""Twice these are the widths of the Gaussians that a similarity adds up."""
TEMPERATURE: Final = 0.01
"""Of the softmax over frames."""


def vidcom2(tokens: FrameTokens, *, keep: float = KEEP) -> Reduction:
    """Give frames unlike the rest of the video a larger share, and keep in each the tokens least like its other tokens.

    1. Of the channels, the half with the least variance over all tokens; each token scaled to length 1.
    2. A token's similarity to a centre (the mean of all tokens, or of its frame's) is the sum over a = 2^-3 .. 2^1 of
       exp(-|x - c|^2 / (2 a)).
    3. A frame's share is keep * (1 + p - mean p), at most 1, with p the softmax at temperature 0.01 of minus its
       tokens' mean similarity to the video. It keeps round(share * its tokens), at least 1.
    4. A frame keeps the tokens with the lowest sum of both similarities; in a tie the earlier ones.
    5. As rounding leaves too many or too few, the kept ones most similar go, or the dropped ones least similar come
       back, over all frames; a frame with one token may lose it.

    Constants and steps 1 to 4 are those of the authors' code (xuyang-liu16/VidCom2, `llava/model/vidcom2.py`), step 5
    that of vLLM, which this is held against.

    Args:
        tokens: of frames of any grids.
        keep: share of all tokens, 0.25 by default (the authors' `base_scale`); never fewer than there are frames.

    Raises:
        UsageError: `keep` is no share.
    """
    video, frame = similarities(tokens)
    similarity = video + frame
    wanted = count_kept(tokens.total, keep, least=len(tokens.counts))
    means = torch.stack([part.mean() for part in video.split(tokens.counts)])
    mask = torch.cat(
        [
            lowest(part, size)
            for part, size in zip(similarity.split(tokens.counts), _sizes(-means, tokens.counts, keep), strict=True)
        ]
    )
    surplus = int(mask.sum()) - wanted
    if surplus > 0:
        mask &= ~lowest(torch.where(mask, -similarity, torch.inf), surplus)
    elif surplus < 0:
        mask |= lowest(torch.where(mask, torch.inf, similarity), -surplus)
    return Reduction.keeping(mask, tokens.counts)


def similarities(tokens: FrameTokens) -> tuple[Tensor, Tensor]:
    """Similarity of each token to the video's centre and to its frame's, float32 [N] each (steps 1 and 2)."""
    features = tokens.scored()
    spread = features.var(dim=0, unbiased=False)
    chosen = torch.argsort(spread, stable=True)[: max(1, int(len(spread) * CHANNELS))]
    scaled = functional.normalize(features[:, chosen], dim=-1)
    frames = [_gaussians(part, part.mean(dim=0)) for part in scaled.split(tokens.counts)]
    return _gaussians(scaled, scaled.mean(dim=0)), torch.cat(frames)


def lowest(scores: Tensor, count: int) -> Tensor:
    """Bool, True at the `count` lowest of scores [N]; in a tie at the earlier one."""
    mask = torch.zeros_like(scores, dtype=torch.bool)
    mask[torch.argsort(scores, stable=True)[:count]] = True
    return mask


def _gaussians(tokens: Tensor, centre: Tensor) -> Tensor:
    squared = (tokens - centre).square().sum(dim=-1)
    return torch.stack([torch.exp(-squared / (2 * width)) for width in WIDTHS]).sum(dim=0)


def _sizes(distinct: Tensor, counts: list[int], keep: float) -> list[int]:
    """Tokens that each frame keeps, before the total is corrected (step 3)."""
    chance = functional.softmax((distinct - distinct.max()) / TEMPERATURE, dim=0)
    shares = (keep * (1 + chance - chance.mean())).clamp(max=1.0)
    sizes = (shares * torch.tensor(counts, device=shares.device)).round().long()
    return [min(max(size, 1), count) for size, count in zip(sizes.tolist(), counts, strict=True)]
