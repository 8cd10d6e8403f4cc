"""Golden positions: a change here changes what every trained adapter means."""

import pytest
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from himmel.hosts import Run, load_host
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


@pytest.mark.parametrize("grids", [[(2, 3)], [(4, 2), (1, 5), (2, 2)]])
def test_without_motion_ours_are_qwens_own(qwen_folder: str, grids: list[tuple[int, int]]) -> None:
    host = load_host(qwen_folder)
    network = Qwen2_5_VLForConditionalGeneration.from_pretrained(qwen_folder)
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
