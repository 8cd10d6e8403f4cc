"""The camera's motion from vectors: fields made from a camera that really turns, zooms and rolls, by finite steps."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from himmel.video.backends.protocol import Step
from himmel.video.describe import CameraMotion
from himmel.video.describe.camera import camera_motion, fit_camera, read_field

SIZE, CELL, RATE = (640, 368), 16, 25.0
GRID = (23, 40)
# The picture's middle and those of cells, in pixels.
X, Y = np.meshgrid(np.arange(40) * 16 + 8 - 320.0, np.arange(23) * 16 + 8 - 184.0)

Map = npt.NDArray[np.float64]


def moved_content(motion: CameraMotion, intervals: float, x: Map, y: Map) -> tuple[Map, Map]:
    """Where content at (x, y) is so many frame intervals later, by the definition of `CameraMotion` alone.

    Content is turned the other way than the camera, and shifted the other way; shifted at half the zoom and turn.
    """
    seconds = intervals / RATE
    grown = math.exp(motion.zoom / 100 * seconds)
    # Clockwise on the screen, where y points down, is from x to y.
    turned = math.radians(-motion.roll) * seconds
    c, s = grown * math.cos(turned), grown * math.sin(turned)
    right, down = -motion.pan / 100 * SIZE[0] * seconds, motion.tilt / 100 * SIZE[1] * seconds
    return c * x - s * y + right, s * x + c * y + down


def step_of(motion: CameraMotion, *, past: int = 0, future: int = 0) -> Step:
    """Maps of a picture whose content moves by that camera alone."""
    none, zero, one = np.zeros((2, *GRID), np.float32), np.zeros(GRID, np.float32), np.ones(GRID, np.float32)

    def displacement(intervals: int) -> npt.NDArray[np.float32]:
        x, y = moved_content(motion, intervals, X, Y)
        # Back in time, the content comes from the place to which the motion of that time leads.
        return np.stack((x - X, y - Y)).astype(np.float32)

    return Step(
        past=-displacement(-past) if past else none,
        future=displacement(future) if future else none,
        past_valid=one if past else zero,
        future_valid=one if future else zero,
        past_distance=float(past),
        future_distance=float(future),
        residual=np.ones((3, *GRID), np.float32),
        covered=one,
        num_vectors=GRID[0] * GRID[1],
    )


def measured(step: Step) -> CameraMotion:
    field = read_field(step, SIZE, CELL, "exact")
    return camera_motion(fit_camera(field), field, SIZE, RATE)


speeds = st.floats(-50, 50)
directions = st.sampled_from([(1, 0), (4, 0), (0, 2), (2, 1), (3, 3)])


@settings(max_examples=40)
@given(pan=speeds, tilt=speeds, zoom=speeds, roll=speeds, distances=directions)
def test_any_camera_motion_is_found_whatever_its_vectors_lead_to(
    pan: float, tilt: float, zoom: float, roll: float, distances: tuple[int, int]
) -> None:
    true = CameraMotion(pan, tilt, zoom, roll)
    found = measured(step_of(true, past=distances[0], future=distances[1]))
    # Zoom and roll are exact; the shift of a finite step differs by half of what the zoom adds to it.
    assert found.zoom == pytest.approx(zoom, abs=0.05)
    assert found.roll == pytest.approx(roll, abs=0.05)
    assert found.pan == pytest.approx(pan, abs=0.1 + 0.1 * math.hypot(pan, tilt))
    assert found.tilt == pytest.approx(tilt, abs=0.1 + 0.2 * math.hypot(pan, tilt))


@pytest.mark.parametrize(
    ("corner", "motion"),
    [
        ((-1, 0), {"pan": 30.0}),
        ((1, 0), {"pan": -30.0}),
        ((0, 1), {"tilt": 30.0}),
        ((0, -1), {"tilt": -30.0}),
    ],
)
def test_the_camera_goes_against_its_pictures_content(corner: tuple[int, int], motion: dict[str, float]) -> None:
    """Content that goes left is a pan to the right; content that goes down, a tilt upwards."""
    x, y = moved_content(CameraMotion(**motion), 1, X, Y)
    assert (np.sign((x - X).mean().round(6)), np.sign((y - Y).mean().round(6))) == corner
    (name, value) = next(iter(motion.items()))
    assert getattr(measured(step_of(CameraMotion(**motion), past=1)), name) == pytest.approx(value, abs=0.1)


def test_content_that_turns_anticlockwise_is_a_clockwise_roll() -> None:
    """What lies to the right of the middle goes up."""
    _, y = moved_content(CameraMotion(roll=20), 1, np.array([100.0]), np.array([0.0]))
    assert y[0] < 0
    assert measured(step_of(CameraMotion(roll=20), past=1)).roll == pytest.approx(20, abs=0.1)


@settings(max_examples=20)
@given(share=st.floats(0.0, 0.4), seed=st.integers(0, 20))
def test_other_motion_in_up_to_two_fifths_of_the_picture_changes_little(share: float, seed: int) -> None:
    true = CameraMotion(pan=12, tilt=-4, zoom=6, roll=3)
    step = step_of(true, past=2)
    rng = np.random.default_rng(seed)
    others = rng.random(GRID) < share
    # Half of them one object, half without any order.
    step.past[:, others] += np.array([[14.0], [-9.0]], np.float32)
    wild = others & (rng.random(GRID) < 0.5)
    step.past[:, wild] += rng.normal(0, 30, (2, int(wild.sum()))).astype(np.float32)
    found = measured(step)
    assert found.pan == pytest.approx(12, abs=0.5)
    assert found.tilt == pytest.approx(-4, abs=0.9)
    assert found.zoom == pytest.approx(6, abs=1.0)
    assert found.roll == pytest.approx(3, abs=0.6)


def test_a_block_that_covers_a_third_is_not_the_camera() -> None:
    step = step_of(CameraMotion(), past=1)
    step.past[:, 4:20, 2:21] = np.array([6.0, 0.0], np.float32)[:, None, None]
    found = measured(step)
    assert max(abs(found.pan), abs(found.tilt), abs(found.zoom), abs(found.roll)) < 0.1


def test_quarter_pixel_vectors_give_a_hundredth_of_the_width() -> None:
    """Rounding to quarter pixels, as codecs do, averages out over the picture."""
    true = CameraMotion(pan=3.3, tilt=2.2, zoom=4.0, roll=1.5)
    step = step_of(true, past=1)
    np.copyto(step.past, np.round(step.past * 4) / 4)
    found = measured(step)
    for name in ("pan", "tilt", "zoom", "roll"):
        assert getattr(found, name) == pytest.approx(getattr(true, name), abs=0.3)


def test_nothing_known_is_not_certain() -> None:
    step = Step.empty(GRID)
    fit = fit_camera(read_field(step, SIZE, CELL, "exact"))
    assert not fit.certain
    assert fit.known == 0


def test_vectors_without_any_order_are_not_certain() -> None:
    step = step_of(CameraMotion(), past=1)
    step.past[:] = np.random.default_rng(0).normal(0, 20, step.past.shape)
    assert not fit_camera(read_field(step, SIZE, CELL, "exact")).certain


def test_flat_cells_without_vectors_worth_the_name_do_not_stop_a_moving_camera() -> None:
    """Sky above the land: three fifths of the picture at zero, without residual."""
    true = CameraMotion(pan=20)
    step = step_of(true, past=1)
    step.past[:, :14] = 0
    step.residual[:, :14] = 0
    assert measured(step).pan == pytest.approx(20, abs=0.3)


def test_where_a_guessed_reference_does_not_predict_a_cell_its_vector_is_left_out() -> None:
    step = step_of(CameraMotion(pan=10), past=1)
    step.past[:, :, :24] *= 3
    step.residual[0, :, :24] = 40
    field = read_field(step, SIZE, CELL, "approximate")
    assert camera_motion(fit_camera(field), field, SIZE, RATE).pan == pytest.approx(10, abs=0.1)
