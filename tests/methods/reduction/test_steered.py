"""What the codec spent, carried over to the tokens of a frame."""

from typing import Any

import numpy as np
import pytest

from himmel.hosts.boxes import NOWHERE, grid_boxes
from himmel.methods.reduction.steered import middles, token_costs
from himmel.video import Spending


def make_spending(energy: Any, bits: Any) -> Spending:
    """Of one frame of 32 x 16 pixels in 2 x 4 cells of 8."""
    planes = [np.asarray(plane, np.float32).reshape(1, 2, 4) for plane in (energy, np.zeros(8), bits)]
    return Spending(
        frames=np.zeros(1, np.int64),
        bits=np.zeros(1, np.int64),
        stretch_bits=np.zeros(1),
        group_bits=np.zeros(1),
        intra=np.zeros(1, np.float32),
        energy=planes[0],
        motion=planes[1],
        place_bits=planes[2],
        cell=8,
        grid=(2, 4),
        width=32,
        height=16,
        backend="bitstream",
        num_read=1,
        notes=(),
    )


def test_energy_and_bits_count_alike_each_over_its_mean() -> None:
    energy, bits = [8, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 24]
    costs = token_costs(make_spending(energy, bits), 0, grid_boxes(1, 2))
    # Each half has all of one and nothing of the other: twice the mean of one of two.
    assert costs.tolist() == pytest.approx([1, 1])
    costs = token_costs(make_spending(energy, bits), 0, grid_boxes(2, 4))
    assert costs.tolist() == pytest.approx([4, 0, 0, 0, 0, 0, 0, 4])


def test_where_there_is_no_residual_bits_decide_alone() -> None:
    bits = [3, 1, 0, 0, 3, 1, 0, 0]
    costs = token_costs(make_spending(np.zeros(8), bits), 0, grid_boxes(1, 4))
    assert costs.tolist() == pytest.approx([3, 1, 0, 0])


def test_where_nothing_is_known_places_count_alike_but_for_those_that_show_nothing() -> None:
    boxes = np.concatenate([grid_boxes(1, 2), [NOWHERE]])
    costs = token_costs(make_spending(np.zeros(8), np.zeros(8)), 0, boxes)
    assert costs[:2].tolist() == [1, 1]
    assert np.isnan(costs[2])
    assert np.isnan(token_costs(make_spending(np.ones(8), np.ones(8)), 0, boxes)[2])


def test_middles_are_in_heights_of_the_picture() -> None:
    assert middles(grid_boxes(1, 2), 32, 16).tolist() == [[0.5, 0.5], [1.5, 0.5]]
