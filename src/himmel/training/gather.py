"""Training on several devices as if on one: one batch of all their embeddings, one norm of all their statistics.

The gradients are those of one process with the whole batch once they have been averaged over the processes, as
DistributedDataParallel does it: what is computed of the gathered rows is the same in every process, so that summing
over the processes in the backward pass and averaging afterwards gives each its own share, once.
"""

from dataclasses import replace
from typing import Any, cast

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as differentiable
from torch import Tensor, nn

from himmel.adapter import AdapterOutput


def num_processes() -> int:
    """How many processes train together; 1 where nothing is distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _GatherRows(torch.autograd.Function):
    """Rows [n_r, ...] of each process r to rows [n_1 + n_2 + ..., ...] in each; the numbers n_r may differ."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        # Collectives want one shape; what is added is cut off again.
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        received = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(received, padded)
        return torch.cat([part[:count] for part, count in zip(received, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient = gradients[0].contiguous()
        dist.all_reduce(gradient)
        return gradient.split(ctx.counts)[dist.get_rank()], None


def gather_alignment(output: AdapterOutput, targets: Tensor, valid: Tensor) -> tuple[AdapterOutput, Tensor, Tensor]:
    """What the loss of stage 1 reads, from all processes, in the order of their ranks.

    Args:
        output: of this process, for M_r intervals; M_r may differ between processes, and be 0.
        targets: [M_r, D].
        valid: bool [M_r].

    Returns:
        The output with `embedding` and `branches` [M, D] of all processes, targets [M, D] and valid [M]; the arguments
        themselves where there is one process.
    """
    if num_processes() == 1:
        return output, targets, valid
    counts = _gather_counts(len(targets), targets.device)

    def gather(rows: Tensor) -> Tensor:
        return cast(Tensor, _GatherRows.apply(rows, counts))

    branches = {name: gather(rows) for name, rows in output.branches.items()}
    gathered = replace(output, embedding=gather(output.embedding), branches=branches)
    return gathered, gather(targets), gather(valid.to(torch.uint8)).bool()


def weight_of_mean(count: int, device: torch.device) -> float:
    """The factor for a mean over this process's `count` rows, so that the mean over processes is that over all rows."""
    if num_processes() == 1:
        return 1.0
    counts = _gather_counts(count, device)
    return count * len(counts) / max(1, sum(counts))


def _gather_counts(count: int, device: torch.device) -> list[int]:
    counts = torch.zeros(num_processes(), dtype=torch.int64, device=device)
    counts[dist.get_rank()] = count
    dist.all_reduce(counts)
    return [int(value) for value in counts]


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """A batch norm whose statistics are those of all processes' rows together, on any backend.

    Every process takes part with at least one row; the numbers may differ.

    torch's own `SyncBatchNorm` does this on GPUs alone.
    """

    def forward(self, input: Tensor) -> Tensor:
        """[n_r, C, H, W] -> the same."""
        if not self.training or num_processes() == 1:
            return super().forward(input)
        # Sums over many cells lose too much in half precision.
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        count = values.new_full((1,), values.numel() / values.shape[1])
        sums = torch.cat([values.sum((0, 2, 3)), count])
        total, number = _sum_over_processes(sums).split([values.shape[1], 1])
        mean = total / number
        centred = values - mean[:, None, None]
        variance = _sum_over_processes(centred.square().sum((0, 2, 3))) / number
        self._track(mean.detach(), variance.detach(), number.detach())
        scaled = centred * torch.rsqrt(variance + self.eps)[:, None, None]
        if self.affine:
            scaled = scaled * self.weight[:, None, None] + self.bias[:, None, None]
        return scaled.to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, number: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_((variance * number / (number - 1)).to(self.running_var.dtype), share)


def _sum_over_processes(values: Tensor) -> Tensor:
    return cast(Tensor, differentiable.all_reduce(values))


def synchronise_batch_norms(module: nn.Module) -> None:
    """Exchange every batch norm within `module` for one of all processes; parameters and buffers stay the same."""
    for name, child in list(module.named_modules()):
        if type(child) is nn.BatchNorm2d:
            module.set_submodule(name, _synced(child))


def _synced(norm: nn.BatchNorm2d) -> SyncedBatchNorm2d:
    synced = SyncedBatchNorm2d(
        norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats, device="meta"
    )
    synced.weight, synced.bias = norm.weight, norm.bias
    synced.running_mean, synced.running_var = norm.running_mean, norm.running_var
    synced.num_batches_tracked = norm.num_batches_tracked
    return synced.train(norm.training)
