"""Linear probes: the supervised warm start of stage 1, for clips whose motion is known because they were rendered."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class ProbeTargets:
    """What really moved in each of M intervals.

    Attributes:
        values: float [M, V], amounts scaled to the order of one (signed displacements and zoom).
        classes: int64 [M, C], class indices; -1 where the class has no meaning (nothing moves there).
    """

    values: Tensor
    classes: Tensor


class MotionProbes(nn.Module):
    """Reads rendered motion off the mean motion token by one linear layer, so that the tokens must hold it plainly.

    Without such a start the language model hardly learns to read the tokens at this scale; the probes are thrown away
    after stage 1.

    Args:
        width: size of a motion token, D.
        num_values: amounts to predict, V.
        class_sizes: number of classes of each of the C questions.
    """

    def __init__(self, *, width: int, num_values: int, class_sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.values = nn.Linear(width, num_values)
        self.classes = nn.ModuleList(nn.Linear(width, size) for size in class_sizes)

    def forward(self, tokens: Tensor, targets: ProbeTargets) -> dict[str, Tensor]:
        """Losses of the probes.

        Args:
            tokens: [M, K, D] motion tokens.
            targets: what moved in these M intervals.

        Returns:
            `values` (mean smooth L1), `classes` (mean cross-entropy over the classes that have a meaning).
        """
        read = self.norm(tokens.mean(1))
        losses = {"values": functional.smooth_l1_loss(self.values(read), targets.values, beta=0.5)}
        entropies = []
        for head, wanted in zip(self.classes, targets.classes.unbind(1), strict=True):
            if bool((wanted >= 0).any()):
                entropies.append(functional.cross_entropy(head(read), wanted, ignore_index=-1))
        losses["classes"] = torch.stack(entropies).mean() if entropies else read.new_zeros(())
        return losses
