"""DyCoke's first stage, temporal token merging (CVPR 2025, section 3.2): windows of four frames lose what repeats."""

from typing import Final

import torch
from torch.nn import functional

from himmel.errors import UsageError
from himmel.methods.reduction.budget import count_kept, share_out
from himmel.methods.reduction.evs import highest
from himmel.methods.reduction.tokens import FrameTokens, Reduction

WINDOW: Final = 4
KEEP: Final = 0.475
"""Of a window of four, one frame whole and 30 % of three: the paper's merging rate of 0.7."""
# Place in its window -> place of the frame that it is compared with.
_COMPARED: Final = {1: 0, 2: 0, 3: 2}


def dycoke(tokens: FrameTokens, *, keep: float = KEEP) -> Reduction:
    """Keep the first of four frames whole, and of the others what is least like a frame before them.

    The second frame is compared with the first, the fourth with the third, and then the third with the first.
    Similarity is the cosine of tokens at the same place, of the frames as they came, before anything is dropped. In a
    tie the earlier token stays. What the paper calls merging drops tokens: nothing is averaged.

    The released code (KD-TAO/DyCoke, `llava/model/llava_arch.py`) leaves the last frame out altogether if there is
    an odd number of them, and never reduces the third frame of the last window. Here the window's rule holds for all
    frames: a last window of fewer than four has its first frame kept and the others reduced.

    The second stage, which drops entries of the key-value cache while the answer is written, is not part of this.

    Args:
        tokens: of frames with equal grids.
        keep: share of all tokens. The frames that are reduced share equally what the whole ones leave of it; the
            default of 0.475 leaves each the paper's 30 %.

    Raises:
        HostError: the grids of the frames differ.
        UsageError: `keep` is no share, or less than the frames hold that are always kept.
    """
    frames = tokens.alike("dycoke")
    count, size = frames.shape[:2]
    reduced = [number for number in range(count) if number % WINDOW]
    whole = (count - len(reduced)) * size
    budget = count_kept(tokens.total, keep)
    if budget < whole:
        raise UsageError(
            f"keep={keep} of {tokens.total} tokens is {budget}, and dycoke keeps every fourth frame whole, here "
            f"{whole} tokens; give keep={-(-1000 * whole // tokens.total) / 1000} or more, or choose evs or vidcom2."
        )
    sizes = share_out(budget - whole, [1.0] * len(reduced), [size] * len(reduced))
    mask = torch.ones(count, size, dtype=torch.bool, device=frames.device)
    for number, left in zip(reduced, sizes, strict=True):
        before = frames[number - number % WINDOW + _COMPARED[number % WINDOW]]
        mask[number] = highest(-functional.cosine_similarity(frames[number], before, dim=-1), left)
    return Reduction.keeping(mask.flatten(), tokens.counts)
