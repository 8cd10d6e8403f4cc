"""Means over boxes, held against a sum over pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from himmel.video.maps.boxes import mean_in_boxes
from himmel.video.maps.raster import cell_areas, grid_shape


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([4, 8, 16]), st.integers(0, 2**32 - 1), st.data())
def test_as_pixel_by_pixel(width: int, height: int, cell: int, seed: int, data: st.DataObject) -> None:
    sums = np.random.default_rng(seed).uniform(0, 9, grid_shape(width, height, cell))
    density = sums / cell_areas(width, height, cell)
    pixels = np.repeat(np.repeat(density, cell, 0), cell, 1)[:height, :width]
    left, right = sorted(data.draw(st.lists(st.integers(0, width), min_size=2, max_size=2, unique=True)))
    top, bottom = sorted(data.draw(st.lists(st.integers(0, height), min_size=2, max_size=2, unique=True)))
    box = np.array([[left / width, top / height, right / width, bottom / height]])
    found = mean_in_boxes(sums, box, width=width, height=height, cell=cell)
    assert found == pytest.approx([pixels[top:bottom, left:right].mean()])


def test_boxes_smaller_than_a_cell_share_it_and_what_is_beside_the_picture_is_nothing() -> None:
    sums = np.array([[8.0, 16.0]])
    boxes = np.array([[0, 0, 0.25, 0.5], [0.25, 0, 0.75, 1], [-1, 0, 0.5, 1], [1, 0, 2, 1], [np.nan] * 4])
    found = mean_in_boxes(sums, boxes, width=16, height=8, cell=8)
    # 8 and 16 over 64 pixels each; a box half beside the picture; one wholly beside it; no box.
    assert found[:4] == pytest.approx([1 / 8, 3 / 16, 1 / 24, 0])
    assert np.isnan(found[4])
