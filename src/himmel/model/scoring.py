"""Options scored by their likelihood: a video is read once for all questions asked about it."""

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.nn import functional
from transformers import BatchFeature

from himmel.model.prompt import IGNORED

if TYPE_CHECKING:
    from himmel.model.modeling import HimmelForConditionalGeneration

Normalise = Literal["none", "tokens"]


@torch.no_grad()
def score_choices(
    model: "HimmelForConditionalGeneration", inputs: BatchFeature, *, normalise: Normalise
) -> list[list[Tensor]]:
    """See `HimmelForConditionalGeneration.score_choices`."""
    given = dict(inputs)
    index, counts = given.pop("choice_index"), given.pop("choice_counts")
    logits = model(**given).logits
    # The same tokens, in the same order, as those whose predictions `forward` returns with labels.
    labelled = given["labels"][:, 1:] != IGNORED
    targets = given["labels"][:, 1:][labelled].to(logits.device)
    log_likelihood = -functional.cross_entropy(logits.float(), targets, reduction="none")
    owner = index[:, 1:][labelled].to(logits.device)
    total = torch.zeros(int(index.max()) + 1, device=logits.device).index_add_(0, owner, log_likelihood)
    if normalise == "tokens":
        total /= torch.bincount(owner)
    parts = iter(total.cpu().split([count for sample in counts for count in sample]))
    return [[next(parts) for _ in sample] for sample in counts]
