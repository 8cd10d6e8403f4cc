"""Which sample comes when: one array, drawn once from a seed, the same for any number of processes and workers.

The batch of step s is rows `[s * batch_size, (s + 1) * batch_size)` of it, so that training goes on in the middle of a
pass by starting at a later step, and processes share each batch out among themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from himmel.data.samples.sample import Kind

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Group:
    """Samples of one kind and one set.

    Attributes:
        kind: batches hold one kind each, since prompts with and without motion do not mix.
        rows: int64 [n], not empty.
        weight: how often each sample is drawn, relative to those of other groups.
    """

    kind: Kind
    rows: IntArray
    weight: float = 1.0

    @property
    def share(self) -> float:
        """How much of all draws, not normalised."""
        return self.weight * len(self.rows)


def draw_order(
    groups: Sequence[Group],
    *,
    batches: int,
    batch_size: int,
    seed: int,
    sizes: IntArray | None = None,
    window: int = 64,
) -> IntArray:
    """Rows of `batches` batches, int64 [batches * batch_size].

    Every group is gone through in passes, each in a new order, before anything of it is repeated; groups alternate in
    the ratio of their shares. Without `sizes`, two draws of one row are at least a batch apart where its group has two
    batches or more; with them, both hold but for the order within a window.

    Args:
        groups: what there is; those with weight 0 are left out.
        batches: how many.
        batch_size: over all processes and micro-steps.
        seed: of every draw.
        sizes: int64, an estimate of each row's length in tokens; rows of similar size then share a batch, see `window`.
        window: of so many batches of a kind, in the order drawn, rows are sorted by size and the batches shuffled.
    """
    rng = np.random.default_rng(seed)
    groups = [one for one in groups if one.share > 0]
    kinds = list(dict.fromkeys(one.kind for one in groups))
    shares = np.array([sum(one.share for one in groups if one.kind == kind) for kind in kinds])
    schedule = alternate(shares, batches)
    order = np.empty((batches, batch_size), np.int64)
    for number, kind in enumerate(kinds):
        places = np.flatnonzero(schedule == number)
        count = len(places) * batch_size
        own = [one for one in groups if one.kind == kind]
        drawn = np.empty(count, np.int64)
        turns = alternate(np.array([one.share for one in own]), count)
        for index, group in enumerate(own):
            mine = np.flatnonzero(turns == index)
            drawn[mine] = _passes(group.rows, len(mine), apart=batch_size, rng=rng)
        order[places] = _by_size(drawn.reshape(-1, batch_size), sizes, window=window, rng=rng)
    return order.reshape(-1)


def alternate(shares: npt.NDArray[np.float64], count: int) -> IntArray:
    """A schedule int64 [count] of indices into `shares`, each spread evenly and as often as its share says."""
    shares = shares / shares.sum()
    # Each index is due at evenly spaced moments; they are served in the order in which they are due.
    numbers = [np.arange(int(np.ceil(count * share)) + 1) for share in shares]
    due = np.concatenate([(number + 0.5) / share for number, share in zip(numbers, shares, strict=True)])
    index = np.concatenate([np.full(len(number), place) for place, number in enumerate(numbers)])
    return index[np.argsort(due, kind="stable")][:count]


def _passes(rows: IntArray, count: int, *, apart: int, rng: np.random.Generator) -> IntArray:
    """`count` rows, pass after pass, each in a new order."""
    made: list[IntArray] = []
    for _ in range(-(-count // len(rows))):
        new = rng.permutation(rows)
        if made and len(rows) >= 2 * apart:
            _part(made[-1], new, apart)
        made.append(new)
    return np.concatenate(made)[:count] if made else np.empty(0, np.int64)


def _part(before: IntArray, after: IntArray, apart: int) -> None:
    """Move what the end of one pass has away from the beginning of the next, in place."""
    clash = np.flatnonzero(np.isin(after[:apart], before[-apart:]))
    free = np.flatnonzero(~np.isin(after[apart:], before[-apart:]))[: len(clash)] + apart
    after[clash], after[free] = after[free], after[clash]


def _by_size(batches: IntArray, sizes: IntArray | None, *, window: int, rng: np.random.Generator) -> IntArray:
    if sizes is None:
        return batches
    parts = []
    for start in range(0, len(batches), window):
        part = batches[start : start + window]
        rows = part.reshape(-1)
        part = rows[np.argsort(sizes[rows], kind="stable")].reshape(part.shape)
        parts.append(rng.permutation(part))
    return np.concatenate(parts) if parts else batches
