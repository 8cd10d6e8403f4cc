"""Options scored by their likelihood: a video is read once for all questions asked about it."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from himmel.model.prompt import IGNORED

Normalise = Literal["none", "tokens"]


def score_logits(
    logits: Tensor, labels: Tensor, index: Tensor, counts: Sequence[Sequence[int]], *, normalise: Normalise
) -> list[list[Tensor]]:
    """Log-likelihood of each option of each question.

    Args:
        logits: [T, V], predictions of the T labelled tokens, in batch order.
        labels: int64 [B, L], the options' token ids, else -100.
        index: int64 [B, L], number of the option that a labelled token belongs to, counted through the batch.
        counts: for each sample and question, how many options it has.
        normalise: `none`, log-likelihood of the whole option with its end of turn; `tokens`, its mean per token.

    Returns:
        For each sample and question, float32 [C] on the CPU, in the options' order.
    """
    labelled = labels[:, 1:] != IGNORED
    targets = labels[:, 1:][labelled].to(logits.device)
    log_likelihood = -functional.cross_entropy(logits.float(), targets, reduction="none")
    owner = index[:, 1:][labelled].to(logits.device)
    total = torch.zeros(int(index.max()) + 1, device=logits.device).index_add_(0, owner, log_likelihood)
    if normalise == "tokens":
        total /= torch.bincount(owner)
    parts = iter(total.cpu().split([count for sample in counts for count in sample]))
    return [[next(parts) for _ in sample] for sample in counts]
