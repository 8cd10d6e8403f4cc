"""A video's part of a prompt as vLLM takes it: placeholders, which of them are motion, positions; without vLLM."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from himmel.adapter.tensors import ShowsShapes
from himmel.model import HimmelProcessor, PreparedSample


@dataclass(frozen=True, kw_only=True, repr=False)
class VisualPart(ShowsShapes):
    """The L tokens of one video in a prompt, E of which are placeholders.

    Attributes:
        ids: int64 [L], markers and placeholders, in the place of the video's own placeholder.
        positions: int64 [3, L], time, row and column, counted from the part's first position.
        is_motion: bool [E], which placeholders are motion; the others are image.
        index: int64 [P], which of the video's motion tokens each of the P motion placeholders takes.
    """

    ids: Tensor
    positions: Tensor
    is_motion: Tensor
    index: Tensor


def lay_out_visual(processor: HimmelProcessor, sample: PreparedSample, *, motion: bool = True) -> VisualPart:
    """Lay out a video as `HimmelProcessor.encode` does.

    Args:
        processor: of the checkpoint.
        sample: one video.
        motion: whether the prompt holds motion tokens.
    """
    host = processor.host
    placed = processor.place_sample(sample, motion=motion, anchors=True)
    ids = torch.tensor([number for run in placed.runs for number in run.ids], dtype=torch.long)
    held = (ids == host.image_token_id) | (ids == host.motion_token_id)
    return VisualPart(
        ids=ids,
        positions=host.position_ids(placed.runs, scheme=processor.position_scheme),
        is_motion=ids[held] == host.motion_token_id,
        index=placed.intervals * processor.config.adapter.tokens_per_interval + placed.tokens,
    )


def prompt_positions(length: int, parts: Sequence[tuple[int, Tensor]]) -> tuple[Tensor, int]:
    """Positions of a whole prompt: text counts on one by one around the videos' parts.

    Args:
        length: L, tokens of the prompt.
        parts: where each video's part begins, in the order of the prompt, and its `VisualPart.positions`.

    Returns:
        int64 [3, L]; and how far the next token's position is ahead of its number in the prompt.
    """
    pieces: list[Tensor] = []
    done, start = 0, 0
    for offset, positions in parts:
        text = torch.arange(start, start + offset - done).expand(3, -1)
        start += offset - done
        pieces += [text, positions + start]
        done = offset + positions.shape[1]
        start = int(pieces[-1].max()) + 1
    pieces.append(torch.arange(start, start + length - done).expand(3, -1))
    whole = torch.cat(pieces, dim=1)
    return whole, start - done
