"""The camera's motion in one picture: a similarity fitted to its motion vectors, whatever else moves in it.

A camera that turns, zooms or rolls a little moves the content at a place z (a complex number, x + iy in pixels from the
middle of the picture) with the velocity a + b z: a is the motion of the middle, the real part of b the growth, its
imaginary part the turning. Two vectors give such a motion. Many pairs are tried, the one that fits most of the
picture's area is taken (M-estimator sample consensus: Torr and Zisserman, MLESAC, 2000), and refined by iteratively
reweighted least squares with the weights of Geman and McClure.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from himmel.choices import ResidualKind
from himmel.video.backends.protocol import Step
from himmel.video.describe.results import CameraMotion

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
BoolArray = npt.NDArray[np.bool_]

# Cells with less than this share of their area covered by vectors say nothing.
_LEAST_SHARE = 0.25
# Pairs that are tried, and cells on which they are compared.
_PAIRS = 120
_COMPARED = 320
_ROUNDS = 8
# Errors of vectors, in pixels before they are divided by the distance to their reference, and as a share of the speed.
_ERROR = 0.6
_RELATIVE_ERROR = 0.06
# A cell that neither moves nor has a residual may be a flat one whose vector means nothing.
_MUTE_WEIGHT = 0.5
_MUTE_SPEED = 0.06
# Residual (luma RMS) from which on a cell is busy: the stream's own coefficients, or a difference of decoded pictures,
# which have the errors of coding in them.
_BUSY: dict[ResidualKind, float] = {"exact": 0.5, "approximate": 1.5, "estimated": 1.5}
# FFmpeg does not say which picture a vector leads to. Where the nearest one, from another of which it was really taken,
# does not predict a cell at all, its vector was divided by the wrong distance.
_WRONG = 10.0
# What a picture must have for its motion to count: share of its area with vectors, and of those that agree.
_LEAST_KNOWN = 0.15
_LEAST_AGREEING = 0.4


@dataclass(frozen=True, eq=False)
class Field:
    """Velocities of a picture's cells.

    Attributes:
        place: complex [R, C], middles of cells in pixels from the middle of the picture, right + i down.
        velocity: complex [R, C], of the content, in pixels a frame interval.
        weight: float [R, C], 0 to 1: how much of the cell has vectors, and how much they are worth; 0 where unknown.
        busy: bool [R, C]: something was coded there besides the motion, so that its vector was chosen with care.
        past, future: distance in frame intervals to what vectors lead to, 0 where none does.
        past_weight: share of the vectors that lead to the past, 0 to 1.
        guessed: these distances are those to the nearest reference picture, which need not be the one.
    """

    place: ComplexArray
    velocity: ComplexArray
    weight: FloatArray
    busy: BoolArray
    past: float
    future: float
    past_weight: float
    guessed: bool

    @property
    def reach(self) -> float:
        """Frame intervals over which vectors were measured: their error is divided by it."""
        return max(1.0, self.past_weight * self.past + (1 - self.past_weight) * self.future)


@dataclass(frozen=True, eq=False)
class Fit:
    """A motion that fits a field.

    Attributes:
        middle, spread: a and b of the velocity a + b z, in pixels and 1 a frame interval.
        agreeing: share of the weight that follows it, 0 to 1.
        known: share of the picture's area with vectors, 0 to 1.
    """

    middle: complex
    spread: complex
    agreeing: float
    known: float

    @property
    def certain(self) -> bool:
        """Whether enough of the picture follows it for it to be the camera's."""
        return self.known >= _LEAST_KNOWN and self.agreeing >= _LEAST_AGREEING

    def at(self, place: ComplexArray) -> ComplexArray:
        """Velocity of what belongs to the scene."""
        return self.middle + self.spread * place


def read_field(step: Step, size: tuple[int, int], cell: int, kind: ResidualKind) -> Field:
    """The field of one picture's maps; of both directions, by the area that each covers.

    Args:
        size: (width, height) of the displayed picture.
        cell: side of a cell in pixels.
        kind: what the residual was computed from.
    """
    width, height = size
    rows, columns = step.covered.shape
    # The last row and column may be cut off by the picture's edge.
    across = (np.arange(columns) * cell + np.minimum(np.arange(1, columns + 1) * cell, width)) / 2 - width / 2
    down = (np.arange(rows) * cell + np.minimum(np.arange(1, rows + 1) * cell, height)) / 2 - height / 2
    place = across[None, :] + 1j * down[:, None]
    total, share = np.zeros((rows, columns), np.complex128), np.zeros((rows, columns))
    weights = []
    for moved, valid, distance in (
        (step.past, step.past_valid, step.past_distance),
        (step.future, step.future_valid, step.future_distance),
    ):
        if distance > 0:
            total += valid * (moved[0].astype(np.float64) + 1j * moved[1]) / distance
            share += valid
        weights.append(float(valid.sum()) if distance > 0 else 0.0)
    velocity = total / np.where(share > 0, share, 1)
    share = np.minimum(share, 1.0)
    past, future = float(step.past_distance), float(step.future_distance)
    past_weight = weights[0] / sum(weights) if sum(weights) else 1.0
    busy = step.residual[0] >= _BUSY[kind]
    mute = (np.abs(velocity) < _MUTE_SPEED) & ~busy
    weight = np.where(share >= _LEAST_SHARE, share, 0.0) * np.where(mute, _MUTE_WEIGHT, 1.0)
    guessed = kind == "approximate"
    if guessed:
        weight = np.where(step.residual[0] < _WRONG, weight, 0.0)
    return Field(place, velocity, weight, busy, past, future, past_weight, guessed)


def fit_camera(field: Field) -> Fit:
    """The motion that most of a field's weight follows; the same for the same field. At rest where nothing is known."""
    known = field.weight > 0
    area = float(known.mean())
    place, velocity, weight = field.place[known], field.velocity[known], field.weight[known]
    if len(place) < 3:
        return Fit(0j, 0j, 0.0, area)
    error = _ERROR / field.reach
    middle, spread = _best_pair(place, velocity, weight, error, float(np.abs(field.place).max()))
    for _ in range(_ROUNDS):
        scale = _tolerance(middle + spread * place, error)
        deviation = np.abs(velocity - middle - spread * place) / scale
        middle, spread = _least_squares(place, velocity, weight / (1 + deviation**2) ** 2)
    near = np.abs(velocity - middle - spread * place) < 2 * _tolerance(middle + spread * place, error)
    return Fit(complex(middle), complex(spread), float(weight[near].sum() / weight.sum()), area)


def camera_motion(fit: Fit, field: Field, size: tuple[int, int], rate: float) -> CameraMotion:
    """What the camera does, from how the content moves.

    Args:
        size: (width, height) of the picture in pixels.
        rate: frame intervals a second at this picture.
    """
    width, height = size
    spread = _rate_of_change(fit.spread, field)
    return CameraMotion(
        pan=float(-100 * fit.middle.real * rate / width),
        tilt=float(100 * fit.middle.imag * rate / height),
        zoom=float(100 * spread.real * rate),
        roll=float(-np.degrees(spread.imag) * rate),
    )


def _rate_of_change(spread: complex, field: Field) -> complex:
    """Growth and turning in a frame interval, without which a fast roll would look like a zoom.

    Vectors are differences over several intervals: where content grows and turns by e^r in each, those to the past have
    the mean spread (1 - e^(-r past)) / past, those to the future (e^(r future) - 1) / future. Newton's method gives r.
    """
    rate = spread
    for _ in range(4):
        value, slope = -spread, 0j
        for weight, reach in ((field.past_weight, -field.past), (1 - field.past_weight, field.future)):
            if weight and reach:
                grown = np.exp(rate * reach)
                value += weight * (grown - 1) / reach
                slope += weight * grown
        rate -= value / slope
    return rate


def _tolerance(velocity: ComplexArray, error: float) -> FloatArray:
    """How far a vector may be from the velocity that a motion has there."""
    return error + _RELATIVE_ERROR * np.abs(velocity)


def _best_pair(
    place: ComplexArray, velocity: ComplexArray, weight: FloatArray, error: float, reach: float
) -> tuple[complex, complex]:
    """The motion through two cells that fits best; rest and the median shift are tried as well."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, len(place), (2, _PAIRS))
    apart = np.abs(place[first] - place[second]) > 0.2 * reach
    first, second = first[apart], second[apart]
    spread = (velocity[first] - velocity[second]) / (place[first] - place[second])
    middle = velocity[first] - spread * place[first]
    shift = np.median(velocity.real) + 1j * np.median(velocity.imag)
    spread, middle = np.append(spread, [0, 0]), np.append(middle, [0, shift])
    chosen = rng.permutation(len(place))[:_COMPARED]
    model = middle[:, None] + spread[:, None] * place[chosen]
    deviation = np.abs(velocity[chosen] - model) / _tolerance(model, error)
    cost = np.minimum(deviation**2, 4.0) @ weight[chosen]
    best = int(np.argmin(cost))
    return complex(middle[best]), complex(spread[best])


def _least_squares(place: ComplexArray, velocity: ComplexArray, weight: FloatArray) -> tuple[complex, complex]:
    """a and b that minimise the weighted sum of |velocity - a - b place| squared."""
    total = weight.sum()
    if total <= 0:
        return 0j, 0j
    centre, mean = (weight @ place) / total, (weight @ velocity) / total
    arm = place - centre
    size = weight @ (np.abs(arm) ** 2)
    spread = (weight * arm.conj()) @ (velocity - mean) / size if size > 0 else 0j
    return complex(mean - spread * centre), complex(spread)
