"""Training on several devices as if on one: one batch of all their embeddings.

The gradients are those of one process with the whole batch once they have been averaged over the processes, as
DistributedDataParallel does it: what is computed of the gathered rows is the same in every process, so that summing
over the processes in the backward pass and averaging afterwards gives each its own share, once.
"""

import os
from dataclasses import replace
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor

from himmel.adapter import AdapterOutput


def num_processes() -> int:
    """How many processes train together; 1 where nothing is distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the first of the processes that a launcher has started, or the only one there is.

    It is known before they have met each other.
    """
    return os.environ.get("RANK", "0") == "0"


def wait_for_all() -> None:
    """Return when every process that trains has come here."""
    if num_processes() > 1:
        dist.barrier()


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
        # A copy: autograd may have given the same memory to others.
        gradient = gradients[0].clone(memory_format=torch.contiguous_format)
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


def gather_lists(own: list[Any]) -> list[Any]:
    """The lists of all processes, one after another in the order of their ranks; on each of them."""
    if num_processes() == 1:
        return own
    every: list[list[Any]] = [[] for _ in range(num_processes())]
    dist.all_gather_object(every, own)
    return [one for found in every for one in found]


def sum_of_all(values: dict[str, float], device: torch.device) -> dict[str, float]:
    """Each value summed over all processes, which have the same names."""
    if num_processes() == 1 or not values:
        return values
    sums = torch.tensor([values[name] for name in sorted(values)], dtype=torch.float32, device=device)
    dist.all_reduce(sums)
    return dict(zip(sorted(values), sums.tolist(), strict=True))


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
