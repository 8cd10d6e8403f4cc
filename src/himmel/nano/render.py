"""From a specification to pictures and to an H.264 file whose anchors carry no trace of the motion between them."""

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.frame import PictureType
from numpy.typing import NDArray

from himmel._files import atomic_path
from himmel._x264 import repeatable_x264
from himmel.nano.clips import SIZE, Act, Change, ClipSpec, Encoding
from himmel.nano.pictures import Picture, background_picture, thing_picture

# How far the background reaches beyond the picture on each side; a camera that drifts on goes further.
_MARGIN = 44
_DRIFT_MARGIN = 72
_NOISE_TILE = 256


@dataclass(frozen=True)
class Pose:
    """Where and how a thing is, against its home.

    Attributes:
        x: pixels to the right.
        y: pixels down.
        growth: natural logarithm of its magnification.
        angle: degrees, clockwise.
        shown: whether it is there.
        turned: whether it has the colour that it turns into.
    """

    x: float = 0.0
    y: float = 0.0
    growth: float = 0.0
    angle: float = 0.0
    shown: bool = True
    turned: bool = False


@dataclass(frozen=True)
class _State:
    """Where all is in one picture: the content's displacement (pixels), log magnification, and what acts or changes."""

    x: float = 0.0
    y: float = 0.0
    growth: float = 0.0
    poses: tuple[tuple[int, Pose], ...] = ()


def render_clip(spec: ClipSpec) -> Picture:
    """Draw all pictures of a clip, without sensor noise.

    Returns:
        uint8 [T, 160, 160, 3], RGB.

    Raises:
        HimmelError: emoji or photographs are not in the cache and cannot be fetched.
    """
    stage = _Stage(spec)
    drawn: dict[_State, Picture] = {}
    pictures = np.empty((spec.num_pictures, SIZE, SIZE, 3), np.uint8)
    for index, state in enumerate(_states(spec)):
        if state not in drawn:
            drawn[state] = stage.draw(state)
        pictures[index] = drawn[state]
    return pictures


def encode_clip_file(spec: ClipSpec, path: str | os.PathLike[str]) -> None:
    """Render a clip and write it as an H.264 file, whole or not at all; the same bytes each time.

    Args:
        spec: the clip.
        path: ends in a container's suffix, such as `.mp4`.

    Raises:
        HimmelError: emoji or photographs are missing and cannot be fetched, or the file cannot be written.
    """
    pictures = _with_noise(render_clip(spec), spec)
    anchors = set(spec.anchors)
    with atomic_path(path) as temporary, av.open(str(temporary), "w") as container:
        stream = container.add_stream("libx264", rate=spec.encoding.rate, options=_x264_options(spec.encoding))
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pict_type = PictureType.I if index in anchors else PictureType.NONE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@contextmanager
def clip_file(spec: ClipSpec) -> Iterator[Path]:
    """Yield the clip as a temporary `.mp4` file, removed afterwards.

    Raises:
        HimmelError: see `encode_clip_file`.
    """
    with tempfile.TemporaryDirectory(prefix="himmel-clip-") as scratch:
        path = Path(scratch) / f"{spec.seed}.mp4"
        encode_clip_file(spec, path)
        yield path


def first_picture(spec: ClipSpec) -> Picture:
    """The first picture alone, as `render_clip` draws it: uint8 [160, 160, 3], RGB."""
    return _Stage(spec).draw(next(_states(spec)))


def pose_of(act: Act, done: int) -> Pose:
    """How a thing is after `done` of an act's steps, 0 to all of them, against how it was before the act."""
    share = done / act.steps
    match act.action:
        case "moves":
            return Pose(x=done * act.dx, y=done * act.dy)
        case "shakes":
            return Pose(x=act.extent * math.sin(2 * math.pi * act.cycles * share))
        case "jumps":
            return Pose(y=-act.extent * abs(math.sin(math.pi * act.cycles * share)))
        case "spins":
            return Pose(angle=act.extent * share)
        case "grows":
            return Pose(growth=act.extent * share)
        case _:
            return Pose(shown=not 0 < done < act.steps)


def _states(spec: ClipSpec) -> Iterator[_State]:
    """One state per picture; the design of the clips allows one thing that acts, or the camera, in an interval."""
    rest = _rest(spec)
    for index, (length, act, camera) in enumerate(zip(spec.lengths, spec.acts, spec.camera, strict=True)):
        state = rest
        for picture in range(length):
            state = _changed(rest, spec.change, index, picture)
            if act is not None:
                pose = pose_of(act, _progress(picture, act.start, act.steps))
                poses = tuple(
                    (thing, _moved(home, pose) if thing == act.thing else home) for thing, home in state.poses
                )
                state = replace(state, poses=poses)
            elif camera is not None:
                done = _progress(picture, camera.start, camera.steps)
                x, y = rest.x + done * camera.dx, rest.y + done * camera.dy
                state = replace(state, x=x, y=y, growth=rest.growth + done * camera.growth)
            yield state
        if not spec.returns:
            rest = state


def _changed(state: _State, change: Change | None, interval: int, picture: int) -> _State:
    """The state with the clip's lasting change, if it has one and it has happened by then."""
    if change is None:
        return state
    done = (interval, picture) > (change.interval, change.start)
    pose = Pose(
        shown=done if change.kind == "appears" else not (done and change.kind == "disappears"),
        turned=done and change.kind == "turns",
    )
    return replace(state, poses=tuple((thing, pose if thing == change.thing else old) for thing, old in state.poses))


def _moved(home: Pose, pose: Pose) -> Pose:
    return replace(pose, x=home.x + pose.x, y=home.y + pose.y)


def _rest(spec: ClipSpec) -> _State:
    """The state at the first anchor: what drifts starts half its way back."""
    dynamic = {act.thing for act in spec.acts if act is not None}
    if spec.change is not None:
        dynamic.add(spec.change.thing)
    poses = tuple((thing, Pose()) for thing in sorted(dynamic))
    if spec.returns:
        return _State(poses=poses)
    done = [camera for camera in spec.camera if camera is not None]
    x, y = -sum(c.steps * c.dx for c in done) / 2, -sum(c.steps * c.dy for c in done) / 2
    return _State(x, y, -sum(c.steps * c.growth for c in done) / 2, poses)


def _progress(picture: int, start: int, steps: int) -> int:
    return min(max(picture - start, 0), steps)


class _Stage:
    """The background with all that never acts or changes painted on, and the others to be put over it."""

    def __init__(self, spec: ClipSpec) -> None:
        dynamic = {thing for thing, _ in _rest(spec).poses}
        self._margin = _MARGIN if spec.returns else _DRIFT_MARGIN
        self._side = SIZE + 2 * self._margin
        self._canvas = background_picture(spec.background, self._side)
        for index, thing in enumerate(spec.things):
            if index not in dynamic:
                x, y = thing.x + self._margin, thing.y + self._margin
                _overlay(self._canvas, thing_picture(thing), x, y)
        self._things = {index: spec.things[index] for index in dynamic}
        self._turned = {}
        if spec.change is not None and spec.change.kind == "turns":
            self._turned[spec.change.thing] = replace(spec.things[spec.change.thing], colour=spec.change.colour)
        self._plates: dict[tuple[float, float, float], Picture] = {}

    def draw(self, state: _State) -> Picture:
        """One picture, uint8 [160, 160, 3]."""
        scale = float(np.exp(state.growth))
        picture = self._plate(state, scale).copy()
        for index, pose in state.poses:
            if not pose.shown:
                continue
            thing = self._turned[index] if pose.turned else self._things[index]
            # Home, in a picture magnified about its centre, plus the content's shift.
            x = (1 - scale) * SIZE / 2 + scale * (thing.x + pose.x) + state.x
            y = (1 - scale) * SIZE / 2 + scale * (thing.y + pose.y) + state.y
            magnified = scale * float(np.exp(pose.growth))
            _overlay(picture, thing_picture(thing), x, y, scale=magnified, angle=pose.angle)
        return picture

    def _plate(self, state: _State, scale: float) -> Picture:
        key = (state.x, state.y, state.growth)
        if key not in self._plates:
            centre = self._side / 2
            x, y = SIZE / 2 + state.x - scale * centre, SIZE / 2 + state.y - scale * centre
            matrix = np.array([[scale, 0, _pixel(x, scale)], [0, scale, _pixel(y, scale)]], np.float32)
            self._plates[key] = np.asarray(
                cv2.warpAffine(
                    self._canvas, matrix, (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
                ),
                np.uint8,
            )
        return self._plates[key]


def _pixel(shift: float, scale: float) -> float:
    """A shift between pictures' edges as OpenCV wants it, between the centres of their first pixels."""
    return shift + (scale - 1) / 2


def _overlay(
    picture: Picture, sprite: NDArray[np.float32], x: float, y: float, *, scale: float = 1.0, angle: float = 0.0
) -> None:
    """Blend a premultiplied sprite over `picture` in place; its centre goes to (x, y), magnified and turned."""
    height, width = sprite.shape[:2]
    cos, sin = scale * math.cos(math.radians(angle)), scale * math.sin(math.radians(angle))
    reach_x = (abs(cos) * width + abs(sin) * height) / 2
    reach_y = (abs(sin) * width + abs(cos) * height) / 2
    x0, y0 = max(int(np.floor(x - reach_x)) - 1, 0), max(int(np.floor(y - reach_y)) - 1, 0)
    x1 = min(int(np.ceil(x + reach_x)) + 1, picture.shape[1])
    y1 = min(int(np.ceil(y + reach_y)) + 1, picture.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    # OpenCV counts from the centres of first pixels, this file from pictures' edges.
    across, down = width / 2 - 0.5, height / 2 - 0.5
    matrix = np.array(
        [[cos, -sin, x - x0 - 0.5 - cos * across + sin * down], [sin, cos, y - y0 - 0.5 - sin * across - cos * down]],
        np.float32,
    )
    patch = cv2.warpAffine(sprite, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
    region = picture[y0:y1, x0:x1]
    region[:] = np.clip(region * (1 - patch[..., 3:]) + patch[..., :3] + 0.5, 0, 255).astype(np.uint8)


def _with_noise(pictures: Picture, spec: ClipSpec) -> Picture:
    """Sensor noise, a tile of it laid at another place in each picture."""
    if spec.encoding.noise == 0:
        return pictures
    rng = np.random.default_rng([spec.seed, 1])
    tile = np.rint(rng.normal(0, spec.encoding.noise, (_NOISE_TILE, _NOISE_TILE, 1))).astype(np.int16)
    offsets = rng.integers(0, _NOISE_TILE - SIZE, (len(pictures), 2))
    noisy = np.empty_like(pictures)
    for index, (y, x) in enumerate(offsets):
        noisy[index] = np.clip(pictures[index] + tile[y : y + SIZE, x : x + SIZE], 0, 255)
    return noisy


def _x264_options(encoding: Encoding) -> dict[str, str]:
    parameters = {
        "keyint": "infinite",
        "scenecut": 0,
        "bframes": encoding.bframes,
        "b-pyramid": "normal" if encoding.b_pyramid else "none",
        "ref": encoding.refs,
        "cabac": int(encoding.cabac),
        "8x8dct": int(encoding.dct8x8),
        **repeatable_x264(),
    }
    return {
        "preset": encoding.preset,
        "qp" if encoding.constant_qp else "crf": str(encoding.level),
        "forced-idr": "1",
        "x264-params": ":".join(f"{name}={value}" for name, value in parameters.items()),
    }
