from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from himmel.model.streams import motion_channels, residual_channels, resize_area, small_picture, velocity
from himmel.video import StepMaps
from tiny_hosts import make_maps


def empty_maps(steps: int = 1, grid: tuple[int, int] = (4, 6)) -> StepMaps:
    maps = make_maps(steps, grid)
    zero = np.zeros_like(maps.past_valid)
    return replace(
        maps,
        past=np.zeros_like(maps.past),
        future=np.zeros_like(maps.past),
        past_valid=zero.copy(),
        future_valid=zero.copy(),
        past_distance=np.zeros(steps, np.float32),
        future_distance=np.zeros(steps, np.float32),
        residual=np.zeros_like(maps.residual),
        covered=zero,
    )


def test_displacement_becomes_per_cent_of_the_picture_per_frame() -> None:
    maps = empty_maps()
    maps.past[0, :, 1, 2] = (6, -3)
    maps.past_valid[0, 1, 2] = 1
    maps.past_distance[0] = 3
    speed, valid = velocity(maps, width=200, height=50)
    assert speed[0, :, 1, 2].tolist() == [1.0, -2.0]
    assert speed.sum() == -1.0
    assert valid.sum() == 1


def test_past_and_future_are_averaged_by_validity_after_division() -> None:
    maps = empty_maps()
    maps.past[0, 0], maps.future[0, 0] = 8, 3
    maps.past_valid[:], maps.future_valid[:] = 0.25, 0.75
    maps.past_distance[:], maps.future_distance[:] = 4, 1
    speed, valid = velocity(maps, width=100, height=100)
    np.testing.assert_allclose(speed[0, 0], 0.25 * 2 + 0.75 * 3)
    np.testing.assert_allclose(valid, 0.75)


def test_a_reference_without_distance_is_left_out() -> None:
    maps = empty_maps()
    maps.past[:], maps.past_valid[:] = 5, 1
    speed, valid = velocity(maps, width=100, height=100)
    assert not speed.any()
    assert not valid.any()


def test_wild_vectors_are_bounded() -> None:
    maps = empty_maps()
    maps.past[:], maps.past_valid[:], maps.past_distance[:] = -1e5, 1, 1
    assert velocity(maps, width=10, height=10)[0].min() == -32


def test_uncovered_cells_do_not_dilute() -> None:
    maps = empty_maps(grid=(4, 4))
    maps.past[:, 0], maps.past_distance[:] = 2, 1
    maps.past_valid[0, 0, 0] = 1
    channels = motion_channels(maps, 2, width=100, height=100)
    assert channels.shape == (1, 2, 2, 2)
    assert channels[0, 0].tolist() == [[2, 0], [0, 0]]


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), size=st.integers(1, 8))
def test_area_resize_against_counting_on_a_fine_grid(rows: int, columns: int, size: int) -> None:
    values = np.random.default_rng(rows * 100 + columns).random((1, 1, rows, columns), np.float32)
    fine = np.repeat(np.repeat(values, size, axis=2), size, axis=3)
    expected = fine.reshape(1, 1, size, rows, size, columns).mean((3, 5))
    np.testing.assert_allclose(resize_area(values, size), expected, rtol=1e-5)


def test_residual_channels_in_their_units() -> None:
    maps = empty_maps(grid=(2, 2))
    maps.covered[0, 0] = 1
    maps.residual[0, :, 0, 0] = (32, -16, 8)
    channels = residual_channels(maps, 2)
    assert channels[0, :, 0, 0].tolist() == [2, -1, 0.5, 0]
    assert channels[0, :, 0, 1].tolist() == [0, 0, 0, 0]
    assert channels[0, :, 1, 1].tolist() == [0, 0, 0, 1]
    merged = residual_channels(maps, 1)[0, :, 0, 0]
    # Two covered cells of RMS 32 and 0 have an RMS of 32 / sqrt(2) together.
    np.testing.assert_allclose(merged, [2 / np.sqrt(2), -0.5, 0.5 / np.sqrt(2), 0.5], rtol=1e-6)


def test_no_steps_give_empty_maps() -> None:
    maps = make_maps(0)
    assert motion_channels(maps, 5, width=10, height=10).shape == (0, 2, 5, 5)
    assert residual_channels(maps, 5).shape == (0, 4, 5, 5)


@pytest.mark.parametrize(("value", "expected"), [(0, -1.0), (255, 1.0)])
def test_small_picture_spans_minus_one_to_one(value: int, expected: float) -> None:
    small = small_picture(np.full((30, 40, 3), value, np.uint8), 16)
    assert small.shape == (3, 16, 16)
    assert (small == expected).all()
