"""A norm that keeps how large its input is: batch statistics are gathered once, early, and fixed from then on."""

from typing import Final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

CALIBRATION_BATCHES: Final = 100
"""Training batches whose statistics are gathered; later ones, in stage 2 too, are normalised by what was gathered."""


class StoredNorm2d(nn.BatchNorm2d):
    """A batch norm that divides by stored statistics in training too, so that training and inference compute the same.

    Speed is the size of a motion map. A norm over the batch, the channel or a group of channels divides that size away:
    of a clip that is alone in its batch nothing is left of it. Here the first `CALIBRATION_BATCHES` training batches
    give the mean and the variance of each channel, every batch with the same weight and the rows of all processes
    together; after that the layer is a fixed scale and shift with a learned one. No gradient flows into statistics.

    Names and shapes of weights and buffers are those of `nn.BatchNorm2d`, of which checkpoints give the same outputs.
    While statistics are gathered, every process of a distributed training has to call the layer equally often; a batch
    without any row counts where others have some.
    """

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__(num_features, eps)
        self._fixed = False

    def forward(self, input: Tensor) -> Tensor:
        """[n, C, H, W] -> the same; n may be 0."""
        assert self.running_mean is not None
        assert self.running_var is not None
        if self.training and not self._fixed:
            self._gather(input.detach())
        # In float32, whatever the weights' type: rounded statistics would shift whole channels.
        wide = torch.promote_types(input.dtype, torch.float32)
        normed = functional.batch_norm(
            input.to(wide),
            self.running_mean.to(wide),
            self.running_var.to(wide),
            self.weight.to(wide),
            self.bias.to(wide),
            eps=self.eps,
        )
        return normed.to(input.dtype)

    @torch.no_grad()
    def _gather(self, rows: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self._fixed = int(self.num_batches_tracked) >= CALIBRATION_BATCHES
        if self._fixed:
            return
        # Sums over many cells lose too much in half precision.
        values = rows.to(torch.promote_types(rows.dtype, torch.float32))
        number = values.new_full((1,), values.numel() / values.shape[1])
        total, number = _sum(torch.cat([values.sum((0, 2, 3)), number])).split([values.shape[1], 1])
        if not float(number):
            return
        mean = total / number
        variance = _sum((values - mean[:, None, None]).square().sum((0, 2, 3))) / number
        self.num_batches_tracked.add_(1)
        share = 1 / int(self.num_batches_tracked)
        # Variance of all batches as one: within them, and of their means.
        apart = mean.to(self.running_mean.dtype) - self.running_mean
        within = self.running_var.lerp(variance.to(self.running_var.dtype), share)
        self.running_var.copy_(within + share * (1 - share) * apart.square())
        self.running_mean.add_(share * apart)


def _sum(values: Tensor) -> Tensor:
    """Over all processes that train together."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(values)
    return values


def store_statistics(module: nn.Module) -> None:
    """Exchange every batch norm within `module`, which is as it was made, for a `StoredNorm2d`."""
    for name, child in list(module.named_modules()):
        if isinstance(child, nn.BatchNorm2d):
            with torch.device(child.weight.device):
                module.set_submodule(name, StoredNorm2d(child.num_features, child.eps))
