"""What happens in a rendered clip: a specification drawn from a seed, and the exact truth about it.

A clip is a few things over a photograph, in intervals that each open with an intra-coded picture, the anchor. By
default everything is back in its place at every anchor, so that the anchors alone show no motion; what moves lives in
the vectors between them.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from himmel.nano.catalogue import CAMERA_MOTIONS, DIRECTIONS, PLACES, Split

SIZE: Final = 160
"""Width and height of a clip in pixels."""
NUM_INTERVALS: Final = 8
FIRST_EVAL_SEED: Final = 10_000_000

Kind = Literal["direction", "camera", "count", "mover", "order", "when", "place", "object", "colour", "number"]
MOTION_KINDS: Final[tuple[Kind, ...]] = ("direction", "camera", "count", "mover", "order", "when", "place")
STATIC_KINDS: Final[tuple[Kind, ...]] = ("object", "colour", "number")
KINDS: Final = MOTION_KINDS + STATIC_KINDS

Scenario = Literal["moves", "period", "two ways", "two things", "camera"]
Style = Literal["named", "mover", "place"]


@dataclass(frozen=True)
class Thing:
    """Something drawn over the background.

    Attributes:
        name: how questions call it, without article: "dog" or "red square".
        emoji: whether `name` is a key of the catalogue's emoji; else it is a shape.
        shape: of a shape, else "".
        colour: of a shape, else "".
        size: longer side, pixels.
        x: home of its centre, pixels from the left.
        y: home of its centre, pixels from the top.
        place: index into the catalogue's `PLACES`, None for the small shapes that never move.
    """

    name: str
    emoji: bool
    shape: str
    colour: str
    size: int
    x: float
    y: float
    place: int | None


@dataclass(frozen=True)
class Move:
    """A thing's movement within one interval.

    Attributes:
        thing: index into the clip's things.
        direction: key of the catalogue's `DIRECTIONS`.
        dx: pixels a picture, positive to the right.
        dy: pixels a picture, positive down.
        start: pictures after the anchor until it starts; the first displaced picture is `start + 1`.
        steps: how many pictures it moves for.
    """

    thing: int
    direction: str
    dx: float
    dy: float
    start: int
    steps: int


@dataclass(frozen=True)
class CameraMove:
    """The camera's movement within one interval, as what it does to the picture's content.

    Attributes:
        dx: pixels a picture that the content moves to the right; negative where the camera pans right.
        dy: pixels a picture that the content moves down.
        growth: natural logarithm of the content's magnification a picture; positive where the camera zooms in.
        start: see `Move.start`.
        steps: how many pictures it moves for.
    """

    dx: float
    dy: float
    growth: float
    start: int
    steps: int


@dataclass(frozen=True)
class Background:
    """A square cut out of a photograph.

    Attributes:
        photograph: file name in the catalogue.
        x: place of the cut, 0 (left) to 1 (right).
        y: place of the cut, 0 (top) to 1 (bottom).
        scale: side of the cut as a share of the photograph's shorter side, 0 to 1.
        flip: mirrored left to right.
        gains: of red, green and blue.
    """

    photograph: str
    x: float
    y: float
    scale: float
    flip: bool
    gains: tuple[float, float, float]


@dataclass(frozen=True)
class Encoding:
    """How x264 is set.

    Attributes:
        preset: x264's own name.
        level: constant rate factor, or quantiser; see `constant_qp`.
        bframes: consecutive B-pictures at most.
        refs: reference pictures.
        b_pyramid: whether B-pictures are references themselves.
        cabac: CABAC, or CAVLC.
        dct8x8: 8x8 transforms allowed.
        constant_qp: `level` is the quantiser of every P-picture (I and B at fixed distances), not a constant rate
            factor. With the latter, x264 chooses an I-picture's quantiser by what the pictures before it needed, and
            its blocks' by how those after it use them: the anchors' coarseness gives away the motion around them.
        rate: pictures a second.
        noise: standard deviation of the sensor's noise, code values.
    """

    preset: str
    level: int
    bframes: int
    refs: int
    b_pyramid: bool
    cabac: bool
    dct8x8: bool
    constant_qp: bool
    rate: int
    noise: float


@dataclass(frozen=True)
class ClipSpec:
    """Everything about a clip; drawn by `draw_spec`.

    Attributes:
        seed: what it was drawn from.
        split: whose photographs and emoji it uses.
        kind: the kind of question that it was drawn for.
        scenario: what happens.
        style: how questions speak of what moves: by its name, as "the moving thing" with its name among the
            answers, or with its place among the answers. Never two of these, as each gives the others away.
        asked: kinds of its questions, in the order asked.
        lengths: pictures in each interval, the anchor included.
        things: those with a place first, then the small ones.
        moves: one per interval, None where nothing of its own moves.
        camera: one per interval, None where the camera rests.
        camera_motion: key of the catalogue's `CAMERA_MOTIONS`.
        returns: whether all is back in its place at each anchor; else movements add up.
        background: what is behind.
        encoding: how it is coded.
    """

    seed: int
    split: Split
    kind: Kind
    scenario: Scenario
    style: Style
    asked: tuple[Kind, ...]
    lengths: tuple[int, ...]
    things: tuple[Thing, ...] = field(repr=False)
    moves: tuple[Move | None, ...] = field(repr=False)
    camera: tuple[CameraMove | None, ...] = field(repr=False)
    camera_motion: str
    returns: bool
    background: Background = field(repr=False)
    encoding: Encoding = field(repr=False)

    @property
    def num_pictures(self) -> int:
        """Pictures in the clip."""
        return sum(self.lengths)

    @property
    def anchors(self) -> tuple[int, ...]:
        """Index of each interval's first picture."""
        return tuple(int(start) for start in np.cumsum((0, *self.lengths[:-1])))


VALUE_COLUMNS: Final = (
    "object_dx", "object_dy", "object_share", "camera_dx", "camera_dy", "camera_growth", "camera_share",
)  # fmt: skip
CLASS_COLUMNS: Final = ("activity", "direction", "place", "camera")
CLASS_SIZES: Final = (3, len(DIRECTIONS), len(PLACES), len(CAMERA_MOTIONS))


@dataclass(frozen=True, repr=False)
class GroundTruth:
    """What moves in each of a clip's N intervals.

    Attributes:
        values: float32 [N, 7], columns as in `VALUE_COLUMNS`: displacement of the moving thing and of the content
            under the moving camera in percent of the picture's side per picture while it moves (x right, y down),
            growth in percent per picture, and the share (0 to 1) of the interval's picture-to-picture steps in which it
            moves. 0 where nothing moves.
        classes: int64 [N, 4], columns as in `CLASS_COLUMNS`: 0 nothing moves, 1 a thing, 2 the camera; the thing's
            direction (order of `DIRECTIONS`) and home (`PLACES`), -1 without one; the camera (`CAMERA_MOTIONS`).
        things: index of the moving thing, or None.
    """

    values: NDArray[np.float32]
    classes: NDArray[np.int64]
    things: tuple[int | None, ...]

    def __repr__(self) -> str:
        return f"GroundTruth(values={self.values.shape}, classes={self.classes.shape})"


def ground_truth(spec: ClipSpec) -> GroundTruth:
    """The exact motion of each interval; targets of stage 1's probes."""
    count = len(spec.lengths)
    values = np.zeros((count, len(VALUE_COLUMNS)), np.float32)
    classes = np.tile(np.array([0, -1, -1, len(CAMERA_MOTIONS) - 1], np.int64), (count, 1))
    for index, (length, move, camera) in enumerate(zip(spec.lengths, spec.moves, spec.camera, strict=True)):
        percent = 100 / SIZE
        if move is not None:
            values[index, :3] = move.dx * percent, move.dy * percent, move.steps / (length - 1)
            place = spec.things[move.thing].place
            classes[index, :3] = 1, tuple(DIRECTIONS).index(move.direction), -1 if place is None else place
        if camera is not None:
            share = camera.steps / (length - 1)
            values[index, 3:] = camera.dx * percent, camera.dy * percent, camera.growth * 100, share
            classes[index, 0] = 2
            classes[index, 3] = tuple(CAMERA_MOTIONS).index(spec.camera_motion)
    return GroundTruth(values, classes, tuple(None if move is None else move.thing for move in spec.moves))
