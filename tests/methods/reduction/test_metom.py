"""MeToM's choice against its definition, written as loops."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from himmel.methods.reduction.metom import metom
from himmel.methods.reduction.tokens import FrameTokens, Reduction
from vision_tokens import random_tokens, rows


def centres(grid: tuple[int, int]) -> Tensor:
    return torch.tensor([[row + 0.5, column + 0.5] for row in range(grid[0]) for column in range(grid[1])])


def run(tokens: FrameTokens, cost: list[Tensor], packets: list[float], keep: float) -> Reduction:
    places = [centres(grid) for grid in tokens.grids]
    return metom(tokens, cost=cost, places=places, packets=packets, keep=keep)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=4),
    st.sampled_from([0.1, 0.25, 0.5, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_the_dearest_places_are_kept_and_the_others_merged_into_the_nearest(
    grids: list[tuple[int, int]], keep: float, seed: int
) -> None:
    tokens = random_tokens(*grids, seed=seed)
    chance = torch.Generator().manual_seed(seed)
    # Whole numbers, so that ties occur.
    cost = [torch.randint(0, 4, (count,), generator=chance).float() for count in tokens.counts]
    reduction = run(tokens, cost, [1.0 + number for number in range(len(grids))], keep)
    assert reduction.num_kept == max(len(grids), int(tokens.total * keep + 1e-9))
    assert reduction.num_merged == tokens.total - reduction.num_kept
    values = iter(reduction.apply(tokens.features).tolist())
    for frame, grid, spent, kept in zip(rows(tokens), grids, cost, reduction.kept, strict=True):
        costs = spent.tolist()
        golden = (math.sqrt(5) - 1) / 2
        dearest = sorted(sorted(range(len(costs)), key=lambda k: (-costs[k], k * golden % 1))[: len(kept)])
        assert kept.tolist() == dearest
        where = centres(grid).tolist()
        nearest = [
            own if own in dearest else min(dearest, key=lambda k: (math.dist(where[k], where[own]), k))
            for own in range(len(costs))
        ]
        mean = sum(costs) / len(costs)
        for place in dearest:
            members = [k for k, target in enumerate(nearest) if target == place]
            weights = [costs[k] + 0.1 * mean if mean else 1.0 for k in members]
            merged = [
                sum(weight * frame[k][c] for weight, k in zip(weights, members, strict=True)) / sum(weights)
                for c in range(len(frame[0]))
            ]
            torch.testing.assert_close(torch.tensor(next(values)), torch.tensor(merged), rtol=1e-4, atol=1e-5)


def test_a_frame_of_a_dear_group_keeps_more() -> None:
    tokens = random_tokens((4, 4), (4, 4), (4, 4))
    reduction = run(tokens, [torch.ones(16)] * 3, [1000.0, 3000.0, 2000.0], 0.25)
    assert [len(part) for part in reduction.kept] == [2, 6, 4]


def test_packets_of_one_size_share_alike() -> None:
    reduction = run(random_tokens((4, 4), (4, 4)), [torch.ones(16)] * 2, [7.0, 7.0], 0.25)
    assert [len(part) for part in reduction.kept] == [4, 4]


def test_tokens_at_one_place_are_not_taken_for_each_other() -> None:
    tokens = random_tokens((1, 3))
    places = torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
    reduction = metom(tokens, cost=[torch.tensor([1.0, 3.0, 2.0])], places=[places], packets=[1.0], keep=0.7)
    assert reduction.into.tolist() == [1, 1, 2]


def test_places_that_cost_the_same_are_kept_all_over_the_frame() -> None:
    kept = run(random_tokens((8, 8)), [torch.ones(64)], [1.0], 0.25).kept[0]
    halves = kept.reshape(-1, 1) // 8 // 4, kept.reshape(-1, 1) % 8 // 4
    counts = torch.bincount((2 * halves[0] + halves[1]).flatten(), minlength=4)
    # Sixteen tokens: about four in each quarter, never all in the first rows.
    assert counts.min() >= 2


def test_a_token_that_shows_nothing_is_dropped() -> None:
    tokens = random_tokens((1, 4), (1, 4))
    cost = [torch.tensor([1.0, torch.nan, 2.0, 3.0]), torch.tensor([torch.nan, 1.0, 1.0, 1.0])]
    reduction = run(tokens, cost, [1.0, 1.0], 1.0)
    assert reduction.into.tolist() == [0, -1, 2, 3, -1, 5, 6, 7]
    assert (reduction.num_kept, reduction.num_merged) == (6, 0)
    reduction = run(tokens, cost, [1.0, 1.0], 0.25)
    assert reduction.into.tolist() == [3, -1, 3, 3, -1, 5, 5, 5]
