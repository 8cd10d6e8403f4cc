"""Blocks on a grid, held against a loop over pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from himmel.video.file.orientation import Orientation
from himmel.video.maps.raster import Blocks, cell_areas, covered_share, dense_moves, grid_shape, raster_blocks

SIZES = st.tuples(st.integers(1, 50), st.integers(1, 50))
ORIENTATIONS = st.builds(Orientation, st.integers(0, 3), st.booleans())


@st.composite
def block_lists(draw: st.DrawFn) -> Blocks:
    """Blocks of all shapes, some partly or wholly outside."""
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(-3, 6).map(lambda k: 8 * k),
                st.integers(-3, 6).map(lambda k: 8 * k),
                st.sampled_from([8, 16]),
                st.sampled_from([8, 16]),
                st.integers(-60, 60).map(lambda q: q / 4),
                st.integers(-60, 60).map(lambda q: q / 4),
                st.booleans(),
            ),
            max_size=25,
        )
    )
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h, *_ in rows], np.int64).reshape(-1, 4)
    dx, dy = np.array([r[4] for r in rows], float), np.array([r[5] for r in rows], float)
    return Blocks(boxes, dx, dy, np.array([r[6] for r in rows], bool))


def painted(blocks: Blocks, orientation: Orientation, crop: tuple[int, int], width: int, height: int) -> np.ndarray:
    """Pixel by pixel in the displayed picture: [3, H, W] of how often covered, and sums of (dx, dy)."""
    total = np.zeros((3, height, width))
    for (x0, y0, x1, y1), dx, dy in zip(blocks.boxes, blocks.dx, blocks.dy, strict=True):
        for y in range(max(y0 - crop[1], 0), min(y1 - crop[1], height)):
            for x in range(max(x0 - crop[0], 0), min(x1 - crop[0], width)):
                total[:, y, x] += (1, dx, dy)
    turned = np.stack([orientation.picture(plane) for plane in total])
    for _ in range(orientation.quarter_turns):
        turned[1:] = -turned[2].copy(), turned[1].copy()
    if orientation.mirrored:
        turned[1] *= -1
    return turned


@given(block_lists(), ORIENTATIONS, SIZES, st.tuples(st.integers(0, 9), st.integers(0, 9)), st.sampled_from([4, 8, 16]))
def test_raster_equals_a_loop_over_pixels(
    blocks: Blocks, orientation: Orientation, size: tuple[int, int], crop: tuple[int, int], cell: int
) -> None:
    pixels = painted(blocks, orientation, crop, *size)
    width, height = orientation.size(*size)
    displacement, share = raster_blocks(blocks, orientation, crop, width, height, cell)
    covered = covered_share(blocks, orientation, crop, width, height, cell)
    rows, columns = grid_shape(width, height, cell)
    assert displacement.shape == (2, rows, columns)
    for r in range(rows):
        for c in range(columns):
            inside = pixels[:, r * cell : (r + 1) * cell, c * cell : (c + 1) * cell]
            area = inside.shape[1] * inside.shape[2]
            assert share[r, c] == pytest.approx(min(inside[0].sum() / area, 1))
            mean = inside[1:].sum(axis=(1, 2)) / max(inside[0].sum(), 1)
            assert displacement[:, r, c] == pytest.approx(mean, abs=1e-5)
            assert covered[r, c] <= share[r, c] + 1e-6


@given(st.data(), SIZES)
def test_a_share_counts_doubly_predicted_blocks_once(data: st.DataObject, size: tuple[int, int]) -> None:
    blocks = data.draw(block_lists())
    twice = Blocks(*(np.concatenate((column, column)) for column in blocks.__dict__.values()))
    place = Orientation(), (0, 0), *size, 8
    assert np.array_equal(covered_share(twice, *place), covered_share(blocks, *place))


@given(block_lists(), SIZES, st.tuples(st.integers(0, 6).map(lambda k: 2 * k), st.integers(0, 6).map(lambda k: 2 * k)))
def test_dense_moves_paint_the_last_block(blocks: Blocks, size: tuple[int, int], crop: tuple[int, int]) -> None:
    width, height = size
    luma, chroma = dense_moves(blocks, crop, width, height)
    expected = np.zeros((3, height, width), np.float32)
    for (x0, y0, x1, y1), dx, dy in zip(blocks.boxes - np.array([*crop, *crop]), blocks.dx, blocks.dy, strict=True):
        expected[:, max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = np.array([1, dx, dy])[:, None, None]
    assert np.array_equal(luma.known, expected[0])
    if not _overlapping(blocks):
        assert np.array_equal(luma.dx, expected[1])
        assert np.array_equal(luma.dy, expected[2])
        assert np.array_equal(chroma.dx, luma.dx[::2, ::2] / 2)
        assert np.array_equal(chroma.known, luma.known[::2, ::2])


def _overlapping(blocks: Blocks) -> bool:
    count = np.zeros((100, 100), int)
    for x0, y0, x1, y1 in blocks.boxes + 24:
        count[y0:y1, x0:x1] += 1
    return bool((count > 1).any())


@given(SIZES, st.sampled_from([4, 8, 16, 32]))
def test_cell_areas_add_up_to_the_picture(size: tuple[int, int], cell: int) -> None:
    areas = cell_areas(*size, cell)
    assert areas.sum() == size[0] * size[1]
    assert areas.shape == grid_shape(*size, cell)
    assert (areas > 0).all()


def test_vectors_keep_their_fraction_and_their_number_is_bounded() -> None:
    names = ["source", "w", "h", "src_x", "src_y", "dst_x", "dst_y", "flags", "motion_x", "motion_y", "motion_scale"]
    kinds = ["i4", "u1", "u1", "i2", "i2", "i2", "i2", "u8", "i4", "i4", "u2"]
    records = np.zeros(5, list(zip(names, kinds, strict=True)))
    records[0] = (-1, 16, 8, 10, 9, 8, 4, 0, 9, -6, 4)
    records[1] = (1, 8, 8, 10, 9, 20, 12, 0, -1, 3, 2)
    blocks = Blocks.from_side_data(records, limit=2)
    assert blocks.boxes.tolist() == [[0, 0, 16, 8], [16, 8, 24, 16]]
    assert blocks.dx.tolist() == [2.25, -0.5]
    assert blocks.dy.tolist() == [-1.5, 1.5]
    assert blocks.past.tolist() == [True, False]


@given(ORIENTATIONS, SIZES)
def test_boxes_turn_with_the_picture(orientation: Orientation, size: tuple[int, int]) -> None:
    width, height = size
    box = np.array([[width // 3, height // 4, width // 3 + 1, height // 4 + 1]])
    picture = np.zeros((height, width))
    picture[box[0, 1], box[0, 0]] = 1
    (x0, y0, x1, y1) = orientation.boxes(box, width, height)[0]
    assert (x1 - x0, y1 - y0) == (1, 1)
    assert orientation.picture(picture)[y0, x0] == 1
