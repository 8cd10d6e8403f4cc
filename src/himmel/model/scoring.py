"""Options scored by their likelihood: a video is read once for all questions asked about it."""

from typing import Literal, cast

import torch
from torch import Tensor
from torch.nn import functional

from himmel.model.inputs import ChoiceInputs
from himmel.model.prompt import IGNORED

Normalise = Literal["none", "tokens"]


def score_logits(logits: Tensor, asked: ChoiceInputs, *, normalise: Normalise = "none") -> list[list[Tensor]]:
    """Log-likelihood of each option of each question.

    Args:
        logits: [T, V], what the model predicts for the T labelled tokens of `asked.inputs`, in batch order.
        asked: the questions with their options.
        normalise: `none`, log-likelihood of the whole option with its end of turn; `tokens`, its mean per token.

    Returns:
        For each sample and question, float32 [C] on the CPU, in the options' order.
    """
    labels = cast(Tensor, asked.inputs.labels)[:, 1:]
    labelled = labels != IGNORED
    log_likelihood = -functional.cross_entropy(logits.float(), labels[labelled].to(logits.device), reduction="none")
    owner = asked.index[:, 1:][labelled].to(logits.device)
    total = torch.zeros(int(asked.index.max()) + 1, device=logits.device).index_add_(0, owner, log_likelihood)
    if normalise == "tokens":
        total /= torch.bincount(owner)
    parts = iter(total.cpu().split([count for sample in asked.counts for count in sample]))
    return [[next(parts) for _ in sample] for sample in asked.counts]
