"""What the model takes: one batch of prompts with their pictures and their motion, the same for every host."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from himmel.adapter.tensors import ShowsShapes


@dataclass(frozen=True, kw_only=True, repr=False)
class MotionInputs(ShowsShapes):
    """The streams of the M intervals of a batch, one sample after another, and where their tokens go.

    Attributes:
        motion: float32 [M, F, 2, S, S] (or [M, F, 3, S, S] with the RGB difference), see `StreamInputs`.
        residual: float32 [M, F, 4, S, S].
        step_mask: bool [M, F].
        context: float32 [M, C, s, s]; None where the model makes it of the pictures in the prompt.
        intervals_per_sample: int64 [B], M in sum.
        index: int64 [P], which of the M * K tokens that the adapter makes, interval by interval, each placeholder of
            the batch takes.
        sound: float32 [M, 4, 32]; None where the adapter does not read it.
    """

    motion: Tensor
    residual: Tensor
    step_mask: Tensor
    context: Tensor | None
    intervals_per_sample: Tensor
    index: Tensor
    sound: Tensor | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class ModelInputs(ShowsShapes):
    """A batch of B prompts of L tokens, padded on the left; `HimmelProcessor.encode` makes it.

    Attributes:
        input_ids: int64 [B, L].
        attention_mask: int64 [B, L]; or bool [B, 1, L, L] where a prompt has several independent turns.
        position_ids: int64, in the shape that the host takes (`Host.batch_positions`).
        labels: int64 [B, L], the ids of answers and their end-of-turn tokens, else -100; None without answers.
        images: the pictures as keyword arguments of `Host.image_features`; empty without pictures.
        motion: None without motion tokens.
    """

    input_ids: Tensor
    attention_mask: Tensor
    position_ids: Tensor
    labels: Tensor | None = None
    images: Mapping[str, Tensor] = field(default_factory=dict)
    motion: MotionInputs | None = None

    @property
    def independent(self) -> bool:
        """Whether a prompt has several turns that see the video alone, not each other."""
        return self.attention_mask.ndim == 4

    @property
    def real(self) -> Tensor:
        """Bool [B, L], False for padding."""
        mask = self.attention_mask
        if not self.independent:
            return mask.bool()
        # A row of padding sees one token, itself, as does the first token after it.
        first = (mask[:, 0].sum(-1) > 1).int().argmax(-1) - 1
        return torch.arange(mask.shape[-1], device=mask.device) >= first[:, None]

    def after(self, lengths: Sequence[int]) -> Self:
        """The same prompts without their beginnings, for a cache that holds those, padded on the left.

        Args:
            lengths: of the B beginnings, in tokens; each shorter than its prompt, and with all of its pictures and
                motion tokens. What is left of a prompt of independent turns must see all of it.

        Returns:
            What is left of the prompts, padded on the left, without pictures and motion. The mask is over the cache's
            columns and these.
        """
        begins = self._begins(lengths)
        return replace(
            self,
            input_ids=_cut(self.input_ids, begins),
            attention_mask=self._mask_after(begins, lengths),
            position_ids=_cut(self.position_ids, begins),
            labels=None if self.labels is None else _cut(self.labels, begins),
            images={},
            motion=None,
        )

    def _begins(self, lengths: Sequence[int]) -> list[int]:
        """Of each prompt, the column where what comes after its first so many tokens begins."""
        return [int(first) + length for first, length in zip(self.real.int().argmax(-1), lengths, strict=True)]

    def _mask_after(self, begins: Sequence[int], lengths: Sequence[int]) -> Tensor:
        rows, most, rest = [], max(lengths), self.input_ids.shape[1] - min(begins)
        for row, (begin, length) in enumerate(zip(begins, lengths, strict=True)):
            left = self.input_ids.shape[1] - begin
            seen = torch.zeros(most + rest, dtype=torch.bool)
            seen[most - length : most] = True
            seen[most + rest - left :] = True
            if self.independent:
                among = torch.zeros(rest, rest, dtype=torch.bool)
                among[rest - left :, rest - left :] = self.attention_mask[row, 0, begin:, begin:]
                seen = torch.cat([seen[:most].expand(rest, -1), among], dim=1)[None]
            rows.append(seen.to(self.attention_mask.dtype))
        return torch.stack(rows)

    def without_labels(self) -> Self:
        """The same prompts, of which every token is predicted."""
        return replace(self, labels=None)


@dataclass(frozen=True, kw_only=True, repr=False)
class ChoiceInputs(ShowsShapes):
    """Questions with their options, all in one batch; `HimmelProcessor.encode_choices` makes it.

    Attributes:
        inputs: the batch; its labels are the options' tokens.
        index: int64 [B, L], which option a labelled token belongs to, counted through the batch; else -1.
        sizes: for each sample and each of its questions, the length of each option in bytes of UTF-8.
    """

    inputs: ModelInputs
    index: Tensor
    sizes: tuple[tuple[tuple[int, ...], ...], ...]

    @property
    def counts(self) -> tuple[tuple[int, ...], ...]:
        """For each sample, how many options each of its questions has."""
        return tuple(tuple(len(question) for question in sample) for sample in self.sizes)

    def after(self, lengths: Sequence[int]) -> Self:
        """The same without the beginnings of the prompts, see `ModelInputs.after`; they hold no option's token."""
        begins = self.inputs._begins(lengths)
        return replace(self, inputs=self.inputs.after(lengths), index=_cut(self.index, begins))


def _cut(values: Tensor, begins: Sequence[int]) -> Tensor:
    """[..., B, L] from a column of each row on, padded on the left with what a row then begins with."""
    rest = values.shape[-1] - min(begins)
    rows = [values[..., row, begin:] for row, begin in enumerate(begins)]
    padded = [torch.cat([one[..., :1].expand(*one.shape[:-1], rest - one.shape[-1]), one], dim=-1) for one in rows]
    return torch.stack(padded, dim=-2)
