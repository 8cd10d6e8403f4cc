"""Golden positions: a change here changes what every trained adapter means."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from himmel.hosts import PositionScheme, Run, load_host
from himmel.hosts.positions import plain_positions, time_row_column_positions

TEXT = Run("text", (1, 2))
IMAGE = Run("image", (7,) * 6, grid=(2, 3))
MOTION = Run("motion", (9,) * 4, grid=(2, 2))


def test_plain_positions_of_the_sequential_scheme() -> None:
    positions = plain_positions([TEXT, IMAGE, MOTION, TEXT], scheme="sequential")
    assert positions.tolist() == [list(range(14))]


def test_plain_positions_of_the_grid_scheme() -> None:
    positions = plain_positions([TEXT, IMAGE, MOTION, TEXT], scheme="grid")
    assert positions.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 9, 10, 11]]


def test_m_rope_positions_of_the_grid_scheme() -> None:
    positions = time_row_column_positions([TEXT, IMAGE, MOTION, TEXT], scheme="grid")
    assert positions.tolist() == [
        [0, 1, 2, 2, 2, 2, 2, 2, 5, 5, 5, 5, 7, 8],
        [0, 1, 2, 2, 2, 3, 3, 3, 5, 5, 6, 6, 7, 8],
        [0, 1, 2, 3, 4, 2, 3, 4, 5, 6, 5, 6, 7, 8],
    ]


def test_m_rope_positions_of_the_sequential_scheme() -> None:
    positions = time_row_column_positions([TEXT, IMAGE, MOTION, TEXT], scheme="sequential")
    assert positions.tolist() == [
        [0, 1, 2, 2, 2, 2, 2, 2, 5, 6, 7, 8, 9, 10],
        [0, 1, 2, 2, 2, 3, 3, 3, 5, 6, 7, 8, 9, 10],
        [0, 1, 2, 3, 4, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    ]


def test_an_interval_of_64_tokens_costs_8_positions() -> None:
    interval = Run("motion", (9,) * 64, grid=(8, 8))
    for place in (plain_positions, time_row_column_positions):
        assert int(place([interval] * 8 + [Run("text", (1,))], scheme="grid").max()) == 64
        assert int(place([interval] * 8 + [Run("text", (1,))], scheme="sequential").max()) == 512


def test_a_branch_starts_where_its_parent_ended() -> None:
    whole = time_row_column_positions([TEXT, IMAGE, TEXT], scheme="grid")
    rest = time_row_column_positions([TEXT], scheme="grid", start=5)
    assert torch.equal(whole[:, 8:], rest)


# Two words, a picture of 2 x 3 tokens with its markers, an interval of 2 x 2, one word. Qwen: time, row, column.
QWEN_GRID = [
    [0, 1, 2, 3, 3, 3, 3, 3, 3, 6, 7, 7, 7, 7, 9],
    [0, 1, 2, 3, 3, 3, 4, 4, 4, 6, 7, 7, 8, 8, 9],
    [0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7, 8, 7, 8, 9],
]
QWEN_SEQUENTIAL = [
    [0, 1, 2, 3, 3, 3, 3, 3, 3, 6, 7, 8, 9, 10, 11],
    [0, 1, 2, 3, 3, 3, 4, 4, 4, 6, 7, 8, 9, 10, 11],
    [0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7, 8, 9, 10, 11],
]
GOLDEN = {
    # One marker before and after a picture.
    ("nano", "grid"): [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 11, 11, 12]],
    ("nano", "sequential"): [list(range(15))],
    ("qwen2_5_vl", "grid"): QWEN_GRID,
    ("qwen2_5_vl", "sequential"): QWEN_SEQUENTIAL,
    ("qwen3_vl", "grid"): QWEN_GRID,
    ("qwen3_vl", "sequential"): QWEN_SEQUENTIAL,
    # A marker before, a marker and a new line after.
    ("internvl", "grid"): [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11, 12, 12, 13]],
    ("internvl", "sequential"): [list(range(16))],
    # A new line after.
    ("llava_onevision", "grid"): [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 10, 10, 11]],
    ("llava_onevision", "sequential"): [list(range(14))],
}


@pytest.mark.parametrize("scheme", ["grid", "sequential"])
def test_golden_positions_of_every_host(scheme: PositionScheme, host_kind: str, host_folder: str) -> None:
    host = load_host(host_folder)
    runs = [TEXT, *host.anchor_runs((2, 3)), MOTION, Run("text", (3,))]
    positions = host.position_ids(runs, scheme=scheme)
    assert positions.tolist() == GOLDEN[host_kind, scheme]
    order = torch.arange(positions.shape[1])[None]
    given = host.batch_positions(positions[:, None], order)
    if len(positions) == 3:
        assert given.tolist() == [order.tolist(), *([axis] for axis in GOLDEN[host_kind, scheme])]
    else:
        assert given.tolist() == GOLDEN[host_kind, scheme]


def test_the_scheme_of_a_host_follows_its_axes(host_folder: str) -> None:
    host = load_host(host_folder)
    axes = len(host.position_ids([TEXT], scheme="grid"))
    assert host.position_scheme == {1: "sequential", 3: "grid"}[axes]


@pytest.mark.parametrize("grids", [[(2, 3)], [(4, 2), (1, 5), (2, 2)]])
@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl"])
def test_without_motion_ours_are_qwens_own(
    kind: str, grids: list[tuple[int, int]], tiny_host: Callable[[str], str]
) -> None:
    host = load_host(tiny_host(kind))
    network: Any = host.load_network()
    runs = [Run("text", (30, 31, 32))]
    for grid in grids:
        runs += [*host.anchor_runs(grid), Run("text", (33, 34))]
    ids = torch.tensor([[number for run in runs for number in run.ids]])
    grid_thw = torch.tensor([[1, 2 * rows, 2 * columns] for rows, columns in grids])
    types = (ids == host.image_token_id).int()
    expected, delta = network.model.get_rope_index(ids, mm_token_type_ids=types, image_grid_thw=grid_thw)
    ours = host.position_ids(runs, scheme="grid")
    assert torch.equal(ours, expected[:, 0])
    assert int(ours.max()) + 1 - ids.shape[1] == int(delta)
