"""Prompts as trees: a visual prefix that is read once, and branches that see it but not each other.

A conversation of several turns is one branchless prefix. Independent questions about one video, and the options of a
question, are branches: one forward pass reads them all, and each gets what it would get alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from himmel.adapter.tensors import ShowsShapes
from himmel.hosts.protocol import Host, PositionScheme, Run

IGNORED = -100


@dataclass(frozen=True)
class Branch:
    """A continuation of the prefix (`parent` -1) or of an earlier branch (its index)."""

    runs: tuple[Run, ...]
    parent: int = -1


@dataclass(frozen=True)
class PromptTree:
    """A prefix and its branches, in an order in which parents come first."""

    prefix: tuple[Run, ...]
    branches: tuple[Branch, ...] = ()


@dataclass(frozen=True, repr=False)
class LaidOut(ShowsShapes):
    """A tree as one sequence of L tokens.

    Attributes:
        ids: int64 [L].
        positions: int64 [A, L], on the host's axes; a branch continues where its parent ends.
        order: int64 [L], how many tokens each one sees before itself.
        labels: int64 [L], the ids of target tokens, else -100.
        owner: int64 [L], branch of each token, -1 for the prefix.
        parents: of each branch, see `Branch`.
    """

    ids: Tensor
    positions: Tensor
    order: Tensor
    labels: Tensor
    owner: Tensor
    parents: tuple[int, ...]

    @property
    def branched(self) -> bool:
        """Whether a token doesn't see all that come before it; where none does so, no mask says more than the order."""
        return any(parent != index - 1 for index, parent in enumerate(self.parents))

    def visible(self) -> Tensor:
        """Bool [L, L], whether the row's token sees the column's; made when it is asked for, as it is large."""
        count = len(self.parents) + 1
        sees = torch.eye(count, dtype=torch.bool)
        for index, parent in enumerate(self.parents, start=1):
            sees[index] |= sees[parent + 1]
        segment = self.owner + 1
        return sees[segment][:, segment].tril_()


def lay_out(tree: PromptTree, host: Host, *, scheme: PositionScheme) -> LaidOut:
    """Put a tree into one sequence, prefix first."""
    segments = [(tree.prefix, -1), *((branch.runs, branch.parent) for branch in tree.branches)]
    positions: list[Tensor] = []
    orders: list[Tensor] = []
    # Of each segment, the position and the number of tokens that what follows it begins with.
    ends: list[tuple[int, int]] = []
    for index, (runs, parent) in enumerate(segments):
        start, before = ends[parent + 1] if index else (0, 0)
        part = host.position_ids(runs, scheme=scheme, start=start)
        length = _length(runs)
        positions.append(part)
        orders.append(torch.arange(before, before + length))
        ends.append((int(part.max()) + 1 if part.numel() else start, before + length))
    ids, labels = _tokens([run for runs, _ in segments for run in runs])
    lengths = torch.tensor([len(order) for order in orders])
    return LaidOut(
        ids=ids,
        positions=torch.cat(positions, dim=1),
        order=torch.cat(orders),
        labels=labels,
        owner=torch.repeat_interleave(torch.arange(-1, len(segments) - 1), lengths),
        parents=tuple(branch.parent for branch in tree.branches),
    )


def count_positions(tree: PromptTree, host: Host, *, scheme: PositionScheme) -> int:
    """How many positions a tree takes on its longest way, found without laying it out."""
    ends: list[int] = []
    for index, (runs, parent) in enumerate([(tree.prefix, -1), *((one.runs, one.parent) for one in tree.branches)]):
        start = ends[parent + 1] if index else 0
        part = host.position_ids(runs, scheme=scheme, start=start)
        ends.append(int(part.max()) + 1 if part.numel() else start)
    return max(ends)


def _length(runs: Sequence[Run]) -> int:
    return sum(len(run.ids) for run in runs)


def _tokens(runs: Sequence[Run]) -> tuple[Tensor, Tensor]:
    ids = [number for run in runs for number in run.ids]
    labels = [number if run.target else IGNORED for run in runs for number in run.ids]
    return torch.tensor(ids, dtype=torch.long), torch.tensor(labels, dtype=torch.long)
