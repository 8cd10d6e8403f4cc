"""What happens in a rendered clip: a specification drawn from a seed, and the exact truth about it.

A clip is a few things over a photograph, in intervals that each open with an intra-coded picture, the anchor. By
default everything is back in its place at every anchor, so that the anchors alone show no motion; what moves lives in
the vectors between them. In each interval one thing acts, or the camera moves, or nothing happens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from himmel.errors import UsageError
from himmel.nano.catalogue import ACTIONS, CAMERA_MOTIONS, CHANGES, DIRECTIONS, MOVES, PACES, PLACES, ChangeKind, Split
from himmel.nano.kinds import Kind

SIZE: Final = 160
"""Width and height of a clip in pixels."""
NUM_INTERVALS: Final = 8
FIRST_EVAL_SEED: Final = 10_000_000

Scenario = Literal[
    "moves", "period", "two ways", "two things", "camera", "speeds", "several", "acts", "repeats", "action pair",
    "change",
]  # fmt: skip
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
class Act:
    """What a thing does within one interval.

    Attributes:
        thing: index into the clip's things.
        action: key of the catalogue's `ACTIONS`.
        direction: of what moves, key of the catalogue's `DIRECTIONS`; else "".
        dx: of what moves, pixels a picture, positive to the right; else 0.
        dy: of what moves, pixels a picture, positive down; else 0.
        extent: how far it goes: pixels to each side (shakes), pixels up (jumps), degrees clockwise in all (spins),
            natural logarithm of the final magnification (grows); 0 for what moves or vanishes.
        cycles: how often it swings (shakes) or leaves the ground (jumps); else 1.
        start: pictures after the anchor until it starts; the first changed picture is `start + 1`.
        steps: how many pictures it goes on for.
    """

    thing: int
    action: str
    direction: str
    dx: float
    dy: float
    extent: float
    cycles: int
    start: int
    steps: int


@dataclass(frozen=True)
class Change:
    """A lasting change of a thing, within one interval.

    Attributes:
        thing: index into the clip's things.
        kind: "appears", "disappears", or "turns" into another colour.
        colour: after it has turned; else "".
        interval: in which it happens.
        start: pictures after that interval's anchor; from the next one on all pictures show it.
    """

    thing: int
    kind: ChangeKind
    colour: str
    interval: int
    start: int


@dataclass(frozen=True)
class CameraMove:
    """The camera's movement within one interval, as what it does to the picture's content.

    Attributes:
        dx: pixels a picture that the content moves to the right; negative where the camera pans right.
        dy: pixels a picture that the content moves down.
        growth: natural logarithm of the content's magnification a picture; positive where the camera zooms in.
        start: see `Act.start`.
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
        acts: one per interval, None where no thing does anything.
        camera: one per interval, None where the camera rests.
        camera_motion: key of the catalogue's `CAMERA_MOTIONS`.
        counted: the action that is counted, where the same thing does another one beside; else "".
        change: what changes for good; None where nothing does.
        returns: whether all is back in its place at each anchor, but for `change`; else movements add up.
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
    acts: tuple[Act | None, ...] = field(repr=False)
    camera: tuple[CameraMove | None, ...] = field(repr=False)
    camera_motion: str
    counted: str
    change: Change | None
    returns: bool
    background: Background = field(repr=False)
    encoding: Encoding = field(repr=False)

    @property
    def num_pictures(self) -> int:
        """Pictures in the clip."""
        return sum(self.lengths)

    @property
    def seconds(self) -> float:
        """How long the clip lasts."""
        return self.num_pictures / self.encoding.rate

    @property
    def anchors(self) -> tuple[int, ...]:
        """Index of each interval's first picture."""
        return tuple(int(start) for start in np.cumsum((0, *self.lengths[:-1])))


VALUE_COLUMNS: Final = (
    "object_dx", "object_dy", "object_share", "camera_dx", "camera_dy", "camera_growth", "camera_share",
)  # fmt: skip
CLASS_COLUMNS: Final = ("activity", "direction", "place", "camera", "action", "pace")
CLASS_SIZES: Final = (4, len(DIRECTIONS), len(PLACES), len(CAMERA_MOTIONS), len(ACTIONS) + len(CHANGES), len(PACES))
_SHARES: Final = [VALUE_COLUMNS.index("object_share"), VALUE_COLUMNS.index("camera_share")]
_NOTHING: Final = np.array([0, -1, -1, len(CAMERA_MOTIONS) - 1, -1, -1], np.int64)
_PACE_BOUNDS: Final = (0.25, 0.6, 1.3, 2.6)
"""Between the catalogue's `PACES`, pixels a picture."""


@dataclass(frozen=True, repr=False)
class GroundTruth:
    """What moves in each of a clip's N intervals.

    Attributes:
        values: float32 [N, 7], columns as in `VALUE_COLUMNS`: displacement of the moving thing and of the content
            under the moving camera in percent of the picture's side per picture while it moves (x right, y down),
            growth in percent per picture, and the share (0 to 1) of the interval's picture-to-picture steps in which it
            moves. 0 where nothing moves; what acts without going anywhere has a share alone.
        classes: int64 [N, 6], columns as in `CLASS_COLUMNS`: 0 nothing happens, 1 a thing acts, 2 the camera moves, 3
            a thing changes for good; the thing's direction (order of `DIRECTIONS`, -1 if it doesn't move along) and
            home (`PLACES`, -1 without one); the camera (`CAMERA_MOTIONS`); what the thing does (`ACTIONS`, then
            `CHANGES`, -1 if nothing); how fast it or the camera moves along (`PACES`, -1 where nothing does).
        things: index of the thing that acts, or None.
    """

    values: NDArray[np.float32]
    classes: NDArray[np.int64]
    things: tuple[int | None, ...]

    def __repr__(self) -> str:
        return f"GroundTruth(values={self.values.shape}, classes={self.classes.shape})"


def ground_truth(spec: ClipSpec, anchors: Sequence[int] | None = None) -> GroundTruth:
    """The exact motion of each interval; targets of stage 1's probes.

    Args:
        spec: the clip.
        anchors: indices of the N pictures at which intervals begin, increasing; None: the clip's own. An interval that
            holds several of the clip's own tells of the one that changes most of its pictures.

    Returns:
        What moves in each of the N intervals, which last until the next anchor or the clip's end.

    Raises:
        UsageError: there is no anchor, or they are not pictures of the clip in increasing order.
    """
    own = _own_truth(spec)
    if anchors is None:
        return own
    starts = [*anchors, spec.num_pictures]
    if len(starts) < 2 or starts[0] < 0 or any(a >= b for a, b in pairwise(starts)):
        last = spec.num_pictures - 1
        raise UsageError(f"anchors={tuple(anchors)} are not pictures in order; give some of 0 to {last}, each once.")
    changing = _changing(spec)
    values = np.zeros((len(anchors), len(VALUE_COLUMNS)), np.float32)
    classes = np.tile(_NOTHING, (len(anchors), 1))
    things: list[int | None] = [None] * len(anchors)
    for index, (start, end) in enumerate(pairwise(starts)):
        counts = np.bincount(changing[start + 1 : end] + 1, minlength=len(spec.lengths) + 1)[1:]
        most = int(counts.argmax())
        if counts[most]:
            values[index], classes[index], things[index] = own.values[most], own.classes[most], own.things[most]
            shares = values[index, _SHARES]
            values[index, _SHARES] = np.where(shares > 0, counts[most] / (end - start - 1), 0)
    return GroundTruth(values, classes, tuple(things))


def _changing(spec: ClipSpec) -> NDArray[np.int64]:
    """In which of the clip's own intervals each picture differs from the one before; -1: it does not."""
    owners = np.full(spec.num_pictures, -1)
    for index, (anchor, act, camera) in enumerate(zip(spec.anchors, spec.acts, spec.camera, strict=True)):
        for one in (act, camera):
            if one is not None:
                owners[anchor + one.start + 1 : anchor + one.start + one.steps + 1] = index
    if spec.change is not None:
        owners[spec.anchors[spec.change.interval] + spec.change.start + 1] = spec.change.interval
    return owners


def _own_truth(spec: ClipSpec) -> GroundTruth:
    count = len(spec.lengths)
    values = np.zeros((count, len(VALUE_COLUMNS)), np.float32)
    classes = np.tile(_NOTHING, (count, 1))
    percent = 100 / SIZE
    for index, (length, act, camera) in enumerate(zip(spec.lengths, spec.acts, spec.camera, strict=True)):
        if act is not None:
            values[index, :3] = act.dx * percent, act.dy * percent, act.steps / (length - 1)
            moves = act.action == MOVES
            direction = tuple(DIRECTIONS).index(act.direction) if moves else -1
            classes[index, :3] = 1, direction, _place(spec, act.thing)
            classes[index, 4] = tuple(ACTIONS).index(act.action)
            classes[index, 5] = _pace(act_speed(act)) if moves else -1
        if camera is not None:
            share = camera.steps / (length - 1)
            values[index, 3:] = camera.dx * percent, camera.dy * percent, camera.growth * 100, share
            classes[index, 0] = 2
            classes[index, 3] = tuple(CAMERA_MOTIONS).index(spec.camera_motion)
            if camera.growth == 0:
                classes[index, 5] = _pace(float(np.hypot(camera.dx, camera.dy)))
    if spec.change is not None:
        kind = len(ACTIONS) + CHANGES.index(spec.change.kind)
        classes[spec.change.interval, [0, 2, 4]] = 3, _place(spec, spec.change.thing), kind
    return GroundTruth(values, classes, tuple(None if act is None else act.thing for act in spec.acts))


def act_speed(act: Act) -> float:
    """Pixels a picture that a thing moves; 0 where it acts without going anywhere."""
    return float(np.hypot(act.dx, act.dy))


def _place(spec: ClipSpec, thing: int) -> int:
    place = spec.things[thing].place
    return -1 if place is None else place


def _pace(speed: float) -> int:
    return int(np.searchsorted(_PACE_BOUNDS, speed))
