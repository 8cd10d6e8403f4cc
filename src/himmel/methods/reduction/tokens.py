"""What token reduction takes and gives: the vision tokens of a video's frames, and which of them go where."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from himmel.adapter.tensors import ShowsShapes
from himmel.errors import HostError

DROPPED = -1


@dataclass(frozen=True, kw_only=True, repr=False)
class FrameTokens(ShowsShapes):
    """The vision tokens of n frames of one video, in time order.

    Attributes:
        features: float [N, D], all frames one after another, each row by row.
        grids: rows and columns of each frame's tokens.
    """

    features: Tensor
    grids: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, frames: Sequence[Tensor], grids: Sequence[tuple[int, int]]) -> Self:
        """From one [n_i, D] tensor for each frame.

        Raises:
            HostError: there is no frame, or the grids don't say how many tokens there are.
        """
        counts, told = [len(frame) for frame in frames], [rows * columns for rows, columns in grids]
        if not frames or counts != told:
            raise HostError(f"The frames hold {counts} tokens and their grids {told}; take both from one host.")
        return cls(features=torch.cat(list(frames)), grids=tuple(grids))

    @property
    def counts(self) -> list[int]:
        """Tokens of each frame, N in sum."""
        return [rows * columns for rows, columns in self.grids]

    @property
    def total(self) -> int:
        """N."""
        return len(self.features)

    def scored(self) -> Tensor:
        """The features as similarities are computed on them: float32 [N, D]."""
        return self.features.float()

    def alike(self, method: str) -> Tensor:
        """Float32 [n, T, D], for methods that compare the same place in two frames.

        Raises:
            HostError: the grids of two frames differ.
        """
        for number, grid in enumerate(self.grids):
            if grid != self.grids[0]:
                first, other = ("{} x {}".format(*one) for one in (self.grids[0], grid))
                raise HostError(
                    f"Frame {number} has {other} tokens and frame 0 has {first}; {method} compares the same place in "
                    "two frames, so give frames of one size, or choose vidcom2, tome or uniform_drop."
                )
        return self.scored().unflatten(0, (len(self.grids), -1))


@dataclass(frozen=True, kw_only=True, repr=False)
class Reduction(ShowsShapes):
    """Which tokens stay, and what becomes of the others.

    Kept tokens stay in their order and keep the positions that they had.

    Attributes:
        into: int64 [N], the token that each one ends up in, counted through the video: itself if it is kept, another
            kept one if it is merged into that, -1 if it is dropped.
        counts: tokens of each frame before, N in sum.
        weights: float32 [N], above 0: how much each token counts in what it is merged into; None counts all alike.
    """

    into: Tensor
    counts: tuple[int, ...]
    weights: Tensor | None = None

    @classmethod
    def keeping(cls, mask: Tensor, counts: Sequence[int]) -> Self:
        """Keep the tokens where a bool [N] is True, and drop the others."""
        numbers = torch.arange(len(mask), device=mask.device)
        return cls(into=torch.where(mask, numbers, DROPPED), counts=tuple(counts))

    @property
    def mask(self) -> Tensor:
        """Bool [N], True for the K tokens that are kept."""
        return self.into == torch.arange(len(self.into), device=self.into.device)

    @property
    def kept(self) -> list[Tensor]:
        """For each frame the kept tokens, int64 [k_i], counted in the frame and increasing; K in sum."""
        return [part.nonzero()[:, 0] for part in self.mask.split(list(self.counts))]

    @property
    def num_kept(self) -> int:
        """K."""
        return int(self.mask.sum())

    @property
    def num_merged(self) -> int:
        """How many tokens live on in another one."""
        return int((self.into != DROPPED).sum()) - self.num_kept

    def apply(self, features: Tensor) -> Tensor:
        """What becomes of features [N, ...] of the tokens: [K, ...], of the same type.

        A kept token that others are merged into becomes the weighted mean of all of them, computed in float32.
        """
        into = self.into.to(features.device)
        kept = into == torch.arange(len(into), device=into.device)
        if not self.num_merged:
            return features[kept]
        lives = into != DROPPED
        target = (kept.cumsum(0) - 1)[into[lives]]
        weights = torch.ones(len(into)) if self.weights is None else self.weights
        weights = weights.to(features.device)[lives].unflatten(0, (-1, *[1] * (features.ndim - 1)))
        summed = features.new_zeros((self.num_kept, *features.shape[1:]), dtype=torch.float32)
        size = summed.new_zeros((self.num_kept, *weights.shape[1:]))
        summed.index_add_(0, target, features[lives].float() * weights)
        return (summed / size.index_add_(0, target, weights)).to(features.dtype)
