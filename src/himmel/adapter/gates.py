"""What the fusion stages preferred: kept for analysis, of every stream at every step (report, O.3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from himmel.adapter.tensors import ShowsShapes


@dataclass(frozen=True, kw_only=True, repr=False)
class GateStatistics(ShowsShapes):
    """The gates of one forward pass; without gradient.

    The report defines two sigmoid gates (section 3.2) and reads them as one softmax over three branches (O.3). Both are
    the same thing: `shares` multiplies the gates out, and these three shares are the softmax of a tree with two forks,
    ln(motion / residual) = logit g and ln((motion + residual) / context) = logit g'. As a gate has one value for each
    component of the width, and the first stage's result is mixed before the second, the mean over the width is taken
    first. A stream that the adapter does not read keeps its weight: it weighs zeros.

    Attributes:
        streams: names of the operands: motion (or rgb_diff), residual, context and, if the adapter reads it, sound.
        motion_gate: float [M, F] in 0..1, g: weight of the motion operand against the residual, averaged over the
            width; 0 at steps that do not exist.
        context_gate: float [M, F] in 0..1, g': weight of the fused motion against the context, likewise.
        step_mask: bool [M, F], the steps that exist.
        sound_gate: float [M, F] in 0..1, g'': weight of all that against the sound, likewise; None without sound.
    """

    streams: tuple[str, ...]
    motion_gate: Tensor
    context_gate: Tensor
    step_mask: Tensor
    sound_gate: Tensor | None = None

    @property
    def shares(self) -> Tensor:
        """[M, F, 3]: g g', (1 - g) g' and 1 - g', which add up to 1; 0 at steps that do not exist.

        With sound [M, F, 4]: these times g'', and 1 - g''.
        """
        moved, kept = self.motion_gate * self.context_gate, (1 - self.motion_gate) * self.context_gate
        shares = torch.stack((moved, kept, 1 - self.context_gate), dim=-1)
        if self.sound_gate is not None:
            gate = self.sound_gate[:, :, None]
            shares = torch.cat((shares * gate, 1 - gate), dim=-1)
        return shares * self.step_mask[:, :, None]

    def mean_shares(self, intervals_per_sample: Sequence[int] | None = None) -> Tensor:
        """Mean of `shares` over the steps that exist: float32 [B, 3] (with sound 4), NaN for a sample without any.

        Args:
            intervals_per_sample: how the M intervals belong to B samples; None: to one.
        """
        counts = (
            [len(self.step_mask)] if intervals_per_sample is None else [int(count) for count in intervals_per_sample]
        )
        parts = zip(self.shares.float().split(counts), self.step_mask.split(counts), strict=True)
        return torch.stack([shares.sum((0, 1)) / mask.sum() for shares, mask in parts])
