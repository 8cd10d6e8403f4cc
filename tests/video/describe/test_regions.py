"""Regions of one picture: blocks of known place and velocity in a field whose scene moves or rests."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from himmel.video.describe.camera import Field, fit_camera
from himmel.video.describe.regions import Blob, find_blobs

SIZE, CELL, RATE = (640, 368), 16, 25.0
ROWS, COLUMNS = 23, 40


def field_of(scene: complex, *, busy: bool = True, guessed: bool = False, spread: complex = 0j) -> Field:
    down, across = np.mgrid[0:ROWS, 0:COLUMNS] * CELL + CELL / 2
    place = (across - SIZE[0] / 2) + 1j * (down - SIZE[1] / 2)
    return Field(
        place=place,
        velocity=scene + spread * place,
        weight=np.ones((ROWS, COLUMNS)),
        busy=np.full((ROWS, COLUMNS), busy),
        past=1.0,
        future=0.0,
        past_weight=1.0,
        guessed=guessed,
    )


def blobs_of(field: Field) -> tuple[Blob, ...]:
    return find_blobs(field, fit_camera(field), SIZE, CELL, RATE)


@settings(max_examples=40)
@given(
    top=st.integers(2, 14),
    left=st.integers(2, 30),
    rows=st.integers(4, 7),
    columns=st.integers(4, 8),
    angle=st.floats(0, 6.28),
    pan=st.sampled_from([0j, 4 + 0j, -2 + 3j]),
)
def test_a_block_is_found_where_it_is_with_the_cameras_motion_taken_off(
    top: int, left: int, rows: int, columns: int, angle: float, pan: complex
) -> None:
    field = field_of(pan)
    own = 6 * complex(np.cos(angle), np.sin(angle))
    field.velocity[top : top + rows, left : left + columns] += own
    (blob,) = blobs_of(field)
    assert blob.against / RATE == pytest.approx(own, abs=0.3)
    assert blob.across / RATE == pytest.approx(own + pan, abs=0.3)
    cell = 100 * CELL / SIZE[0], 100 * CELL / SIZE[1]
    box = blob.box
    # The median over 3 x 3 cells may round off corners, but no side.
    assert (box.left, box.right) == pytest.approx((left * cell[0], (left + columns) * cell[0]))
    assert (box.top, box.bottom) == pytest.approx((top * cell[1], (top + rows) * cell[1]))
    assert blob.area == pytest.approx(rows * columns * cell[0] * cell[1] / 100, rel=0.3)


def test_two_blocks_that_touch_and_move_apart_are_two() -> None:
    field = field_of(0j)
    field.velocity[6:14, 8:16] = -5
    field.velocity[6:14, 16:24] = 5
    left, right = sorted(blobs_of(field), key=lambda blob: blob.box.left)
    assert left.against.real < 0 < right.against.real
    assert left.box.right == pytest.approx(right.box.left)


def test_a_scene_that_moves_as_one_has_no_regions() -> None:
    assert blobs_of(field_of(5 - 2j)) == ()
    assert blobs_of(field_of(1 + 1j, spread=0.02 + 0.01j)) == ()


def test_single_cells_are_errors() -> None:
    field = field_of(3 + 0j)
    field.velocity[::5, ::5] = -20
    assert blobs_of(field) == ()


def test_without_anything_coded_a_lagging_patch_of_a_moving_scene_is_flat() -> None:
    """The same patch counts once something besides its vectors was coded there, or where the scene rests."""
    for scene, busy, found in ((6 + 0j, False, 0), (6 + 0j, True, 1), (0j, False, 1)):
        field = field_of(scene, busy=busy)
        field.velocity[5:12, 10:20] += -3 + 4j
        assert len(blobs_of(field)) == found


def test_vectors_that_point_all_ways_are_no_region() -> None:
    """A wheel that turns: neighbours move alike, but all of it goes nowhere."""
    field = field_of(0j)
    arm = field.place[4:16, 4:16] - field.place[4:16, 4:16].mean()
    field.velocity[4:16, 4:16] = 8j * arm / np.abs(arm)
    assert blobs_of(field) == ()


def test_with_guessed_distances_twice_the_scenes_speed_is_the_scene() -> None:
    for guessed, found in ((True, 0), (False, 1)):
        field = field_of(5 + 0j, guessed=guessed)
        field.velocity[5:12, 10:20] *= 2
        assert len(blobs_of(field)) == found
