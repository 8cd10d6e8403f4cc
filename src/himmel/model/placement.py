"""Where motion tokens go among the anchors (docs/method.md, section 7; report, O.2).

Every placement is a list of runs and one index that says which motion token each placeholder takes; only those two
differ between placements, so that injection, positions and budgets know nothing of them. In the `grid` scheme each
run of motion tokens is a grid of its own, as near square as possible: a whole interval, or a chunk of tokens of two
neighbouring ones. A repeated token has the place of the token that it repeats, and costs no position.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, get_args

import torch
from torch import Tensor

from himmel.choices import PlacementName
from himmel.hosts.protocol import Run

PLACEMENTS: Final = get_args(PlacementName)

# The report's cost of attention-weighted placement: 12% more motion tokens.
_REPEATED_PERCENT = 12


@dataclass(frozen=True)
class Placement:
    """The visual part of one prompt.

    Attributes:
        runs: of pictures and motion tokens, in the order of the prompt.
        intervals: int64 [P], the interval of the token that each of P placeholders takes, in the order of the prompt.
        tokens: int64 [P], its number among its interval's tokens.
    """

    runs: tuple[Run, ...]
    intervals: Tensor
    tokens: Tensor


@dataclass(frozen=True)
class _Chunk:
    """Neighbouring motion tokens: (interval, token) of each, their places in the grid, and its rows and columns."""

    members: tuple[tuple[int, int], ...]
    cells: tuple[int, ...]
    grid: tuple[int, int]


def place(
    anchors: Sequence[Sequence[Run]],
    num_intervals: int,
    *,
    placement: str,
    tokens: int,
    token_id: int,
    salience: Sequence[float] | None = None,
    times: Sequence[float] | None = None,
    tell: Callable[[float], list[Run]] = lambda _: [],
) -> Placement:
    """Put the motion tokens of N intervals among the pictures of N anchors.

    - `per_anchor`: each interval's tokens after its anchor.
    - `prefix`, `suffix`: all tokens before the first picture, or after the last.
    - `chunked`: in the order of time, but cut in the middle of intervals: the second half of one and the first half of
      the next come together between two anchors, half an interval early, so that no chunk belongs to one interval.
    - `attention`: as `per_anchor`, and the first tokens of salient intervals once more, see `repeats`.

    Args:
        anchors: for each anchor the runs of its picture; none for a prompt without pictures.
        num_intervals: N; 0 for a prompt without motion.
        placement: one of `PLACEMENTS`.
        tokens: K, motion tokens of an interval.
        token_id: of the motion placeholder.
        salience: of each interval, not negative; wanted by `attention`.
        times: of the middle of each interval, in seconds; None where none is to be told.
        tell: makes of a time the text that stands before the tokens that it is about. A chunk of several intervals has
            the mean of its tokens' times.
    """
    if placement == "chunked":
        chunks = _straddling_chunks(num_intervals, tokens)
    else:
        extra = repeats(salience or (), tokens) if placement == "attention" else [0] * num_intervals
        chunks = [_whole_interval(interval, tokens, more) for interval, more in enumerate(extra)]
    pictures = [list(runs) for runs in anchors]
    motion = [[*(tell(_time(chunk, times)) if times is not None else []), *_run(chunk, token_id)] for chunk in chunks]
    if placement == "prefix":
        groups = [*motion, *pictures]
    elif placement == "suffix":
        groups = [*pictures, *motion]
    elif placement == "chunked":
        groups = _alternate(motion, pictures)
    else:
        groups = _alternate(pictures, motion)
    members = torch.tensor([pair for chunk in chunks for pair in chunk.members], dtype=torch.long).reshape(-1, 2)
    return Placement(tuple(run for group in groups for run in group), *members.unbind(1))


def motion_grid(tokens: int) -> tuple[int, int]:
    """Rows and columns of a grid of so many tokens, as near square as possible; its last row may be short."""
    columns = math.isqrt(tokens - 1) + 1
    return -(-tokens // columns), columns


def repeated_tokens(num_intervals: int, tokens: int, *, placement: str) -> int:
    """Placeholders beyond K for each interval: 12% more with `attention`, rounded up; none otherwise."""
    return -(-_REPEATED_PERCENT * num_intervals * tokens // 100) if placement == "attention" else 0


def repeats(salience: Sequence[float], tokens: int) -> list[int]:
    """How many tokens of each interval are repeated: all `repeated_tokens`, in proportion to salience, at most K each.

    They are dealt one by one, each to the interval with the largest quotient of salience and what it would then have
    (D'Hondt's method; the earlier one in a tie), so that more salience never means fewer tokens.
    """
    weights = list(salience) if any(salience) else [1.0] * len(salience)
    given = [0] * len(weights)
    for _ in range(repeated_tokens(len(weights), tokens, placement="attention")):
        open_to_more = [interval for interval, count in enumerate(given) if count < tokens]
        given[max(open_to_more, key=lambda interval: (weights[interval] / (given[interval] + 1), -interval))] += 1
    return given


def _whole_interval(interval: int, tokens: int, more: int) -> _Chunk:
    cells = (*range(tokens), *range(more))
    return _Chunk(tuple((interval, token) for token in cells), cells, motion_grid(tokens))


def _straddling_chunks(num_intervals: int, tokens: int) -> list[_Chunk]:
    """N + 1 chunks of N * K tokens in a row, the borders between them in the middle of intervals."""
    members = [(interval, token) for interval in range(num_intervals) for token in range(tokens)]
    cuts = [0, *range((tokens + 1) // 2, len(members), tokens), len(members)]
    parts = [members[begin:end] for begin, end in pairwise(cuts) if begin < end]
    return [_Chunk(tuple(part), tuple(range(len(part))), motion_grid(len(part))) for part in parts]


def _time(chunk: _Chunk, times: Sequence[float]) -> float:
    return sum(times[interval] for interval, _ in chunk.members) / len(chunk.members)


def _run(chunk: _Chunk, token_id: int) -> list[Run]:
    return [Run("motion", (token_id,) * len(chunk.members), grid=chunk.grid, cells=chunk.cells)]


def _alternate(first: Sequence[list[Run]], second: Sequence[list[Run]]) -> list[list[Run]]:
    groups: list[list[Run]] = []
    for index in range(max(len(first), len(second))):
        groups += [*first[index : index + 1], *second[index : index + 1]]
    return groups
