"""Prompts without the columns of the tokens that a reduction takes away."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from himmel.hosts import Host
from himmel.methods.protocol import Reduced
from himmel.methods.reduction.tokens import Reduction
from himmel.methods.removed import Removed
from himmel.model.inputs import ModelInputs
from himmel.model.prompt import IGNORED


def cut_prompts(
    inputs: ModelInputs, vision: BaseModelOutputWithPooling, reductions: Sequence[Reduction], host: Host
) -> Reduced:
    """Take away the placeholders of all tokens that are not kept, and put what became of the others at theirs.

    What is left keeps its position; only the count by which some hosts mask starts anew. Prompts that are shorter now
    are padded on the left.

    Args:
        inputs: B prompts whose image placeholders are those of their pictures' tokens, in order.
        vision: features of the pictures of the whole batch.
        reductions: of the pictures of each prompt.
        host: what the prompts are for.
    """
    kept = inputs.real.clone()
    for row, (ids, reduction) in enumerate(zip(inputs.input_ids, reductions, strict=True)):
        kept[row, ids == host.image_token_id] = reduction.mask.cpu()
    columns = _columns(kept)
    filled, taken = columns >= 0, columns.clamp(min=0)
    mask = _cut_mask(inputs, taken, filled)
    everywhere = taken.expand(*inputs.position_ids.shape[:-1], -1)
    positions = inputs.position_ids.gather(-1, everywhere).masked_fill(~filled, 0)
    if positions.ndim == 3:
        seen = mask.cumsum(-1) if mask.ndim == 2 else mask[:, 0].sum(-1)
        positions[0] = (seen - 1).clamp(min=0)
    labels = inputs.labels
    cut = replace(
        inputs,
        input_ids=inputs.input_ids.gather(1, taken).masked_fill(~filled, int(host.tokenizer.pad_token_id or 0)),
        attention_mask=mask,
        position_ids=positions,
        labels=None if labels is None else labels.gather(1, taken).masked_fill(~filled, IGNORED),
        images={},
    )
    return Reduced(
        inputs=cut,
        vision=host.exchange_features(vision, lambda pictures: _reduce(pictures, reductions)),
        columns=columns,
        removed=tuple(Removed("tokens", len(one.into), one.num_kept, one.num_merged) for one in reductions),
    )


def split_pictures(pictures: Sequence[Tensor], counts: Sequence[int]) -> list[list[Tensor]]:
    """Pictures of a batch by prompt, of which each has so many."""
    ends = list(accumulate(counts, initial=0))
    return [list(pictures[first:last]) for first, last in pairwise(ends)]


def _reduce(pictures: Sequence[Tensor], reductions: Sequence[Reduction]) -> list[Tensor]:
    parts = split_pictures(pictures, [len(reduction.counts) for reduction in reductions])
    return [reduction.apply(torch.cat(part)) for part, reduction in zip(parts, reductions, strict=True)]


def _columns(kept: Tensor) -> Tensor:
    """Where bool [B, L] is True in each row: int64 [B, L'], -1 before a row's first."""
    length = int(kept.sum(1).max())
    columns = torch.full((len(kept), length), -1)
    for row, mask in zip(columns, kept, strict=True):
        places = mask.nonzero()[:, 0]
        row[length - len(places) :] = places
    return columns


def _cut_mask(inputs: ModelInputs, taken: Tensor, filled: Tensor) -> Tensor:
    mask = inputs.attention_mask
    if not inputs.independent:
        return mask.gather(1, taken).masked_fill(~filled, 0)
    rows = mask.gather(2, taken[:, None, :, None].expand(-1, -1, -1, mask.shape[-1]))
    cut = rows.gather(3, taken[:, None, None].expand(-1, -1, taken.shape[1], -1))
    cut = cut & filled[:, None, None] & filled[:, None, :, None]
    # Padding sees itself: a row of attention without any column would not be a number.
    return cut | torch.diag_embed(~filled)[:, None]
