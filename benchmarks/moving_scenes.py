"""Rendered clips whose camera and objects move in known ways: photographs under a virtual camera, patches over them.

A clip has one or two scenes, with a cut between them, each with two phases of one camera motion each, and up to two
objects, pieces of another photograph, which move evenly against the scene for some of the time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from himmel._x264 import repeatable_x264
from himmel.nano.assets import get_photographs
from himmel.video.describe import CameraMotion

Picture = NDArray[np.uint8]

WIDTH, HEIGHT = 640, 360
# Those with detail nearly everywhere, as most footage has; flat.. ones would have vectors that mean nothing.
PHOTOGRAPHS = ("china.jpg", "coffee.png", "chelsea.png", "astronaut.png", "motorcycle_left.png", "flower.jpg")
ENCODINGS: dict[str, dict[str, str]] = {
    "medium crf 23": {"preset": "medium", "crf": "23"},
    "veryfast crf 28": {"preset": "veryfast", "crf": "28"},
    "slow crf 20, 4 references": {"preset": "slow", "crf": "20", "refs": "4"},
    "fast crf 30, no B": {"preset": "fast", "crf": "30", "bf": "0"},
    "baseline crf 26": {"preset": "veryfast", "crf": "26", "profile": "baseline"},
}


@dataclass(frozen=True)
class Phase:
    """A stretch of pictures `range(start, stop)` with one camera motion."""

    start: int
    stop: int
    motion: CameraMotion


@dataclass(frozen=True)
class Thing:
    """An object: a round piece of a photograph.

    Attributes:
        start, stop: it moves in pictures `range(start, stop)`; it is seen in the whole scene.
        middle: (right, down) in pixels from the picture's middle, where it is in the picture between these two.
        velocity: against the scene, (right, down) in pixels a second.
        radius: in pixels.
    """

    start: int
    stop: int
    middle: tuple[float, float]
    velocity: tuple[float, float]
    radius: int
    photograph: str


@dataclass(frozen=True)
class Scene:
    """What lies between cuts: phases that follow each other, and objects."""

    photograph: str
    phases: tuple[Phase, ...]
    things: tuple[Thing, ...]


@dataclass(frozen=True)
class Clip:
    """A clip and all that is true of it."""

    seed: int
    rate: int
    encoding: str
    scenes: tuple[Scene, ...]

    @property
    def cuts(self) -> list[float]:
        """Seconds."""
        return [scene.phases[0].start / self.rate for scene in self.scenes[1:]]


def draw_clip(seed: int) -> Clip:
    """A clip of about six seconds, drawn at random."""
    rng = np.random.default_rng(seed)
    rate = int(rng.choice([24, 25, 30, 50]))
    names = rng.permutation(len(PHOTOGRAPHS))
    scenes = []
    begin = 0
    for k in range(1 + int(rng.random() < 0.4)):
        lengths = [int(rate * rng.uniform(1.2, 2.6)) for _ in range(2)]
        middle, end = begin + lengths[0], begin + sum(lengths)
        motions = _draw_motions(rng)
        phases = Phase(begin, middle, motions[0]), Phase(middle, end, motions[1])
        things = tuple(_draw_thing(rng, begin, end, rate, side) for side in range(int(rng.integers(0, 3))))
        scenes.append(Scene(PHOTOGRAPHS[names[k]], phases, things))
        begin = end
    return Clip(seed, rate, list(ENCODINGS)[seed % len(ENCODINGS)], tuple(scenes))


def still_clip(seed: int) -> Clip:
    """A clip in which nothing moves."""
    phase = Phase(0, 100, CameraMotion())
    photograph = PHOTOGRAPHS[seed % len(PHOTOGRAPHS)]
    return Clip(seed, 25, list(ENCODINGS)[seed % len(ENCODINGS)], (Scene(photograph, (phase,), ()),))


def write_clip(clip: Clip, path: Path) -> Path:
    """Render and encode a clip; with a little sensor noise, other than that by its encoding."""
    rng = np.random.default_rng(clip.seed)
    options = dict(ENCODINGS[clip.encoding])
    options["x264-params"] = ":".join(f"{name}={value}" for name, value in repeatable_x264().items())
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=clip.rate, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        for number, picture in enumerate(picture for scene in clip.scenes for picture in _render(scene, clip.rate)):
            noisy = np.clip(picture + rng.normal(0, 1.5, picture.shape), 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(noisy, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, clip.rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _draw_motions(rng: np.random.Generator) -> list[CameraMotion]:
    """Two that differ, the second often rest."""
    kinds = rng.permutation(["pan", "tilt", "zoom", "roll", "still", "pan and tilt", "pan and zoom"])[:2]
    return [_draw_motion(rng, str(kind)) for kind in kinds]


def _draw_motion(rng: np.random.Generator, kind: str) -> CameraMotion:
    def speed(least: float, most: float) -> float:
        return float(np.exp(rng.uniform(np.log(least), np.log(most))) * rng.choice([-1, 1]))

    drawn = {"pan": speed(4, 50), "tilt": speed(5, 60), "zoom": speed(5, 40), "roll": speed(5, 45)}
    return CameraMotion(**{name: value for name, value in drawn.items() if name in kind})


def _draw_thing(rng: np.random.Generator, begin: int, end: int, rate: int, side: int) -> Thing:
    """One in the left or right half of the picture."""
    seconds = rng.uniform(0.8, 1.6)
    start = int(rng.integers(begin, max(begin + 1, end - int(seconds * rate))))
    angle, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.35) * WIDTH
    middle = (rng.uniform(0.12, 0.3) * WIDTH * (1 if side else -1), rng.uniform(-0.2, 0.2) * HEIGHT)
    velocity = float(speed * np.cos(angle)), float(speed * np.sin(angle))
    photograph = str(rng.choice(PHOTOGRAPHS))
    return Thing(start, min(end, start + int(seconds * rate)), middle, velocity, int(rng.integers(28, 60)), photograph)


@dataclass(frozen=True)
class _View:
    """Where the camera looks: a scene point q is shown at e^growth e^(i turn) (q - point), from the middle."""

    point: complex = 0j
    growth: float = 0.0
    turn: float = 0.0

    @property
    def factor(self) -> complex:
        return complex(np.exp(self.growth + 1j * self.turn))


def views(phases: Sequence[Phase], rate: int) -> list[_View]:
    """The camera at each picture of a scene."""
    view = _View()
    found = []
    for phase in phases:
        motion = phase.motion
        shift = complex(-motion.pan * WIDTH, motion.tilt * HEIGHT) / 100 / rate
        for _ in range(phase.start, phase.stop):
            found.append(view)
            # By the middle of the step, which is exact to the second order.
            growth, turn = motion.zoom / 100 / rate, -np.radians(motion.roll) / rate
            half = _View(0j, view.growth + growth / 2, view.turn + turn / 2).factor
            view = _View(view.point - shift / half, view.growth + growth, view.turn + turn)
    return found


def _paths(scene: Scene, seen: Sequence[_View], rate: int) -> list[list[complex]]:
    """Scene point of each object's middle at each picture."""
    begin = scene.phases[0].start
    paths = []
    for thing in scene.things:
        centre = (thing.start + thing.stop) // 2 - begin
        view = seen[min(centre, len(seen) - 1)]
        points = [0j] * len(seen)
        points[centre] = view.point + complex(*thing.middle) / view.factor
        step = complex(*thing.velocity) / rate
        for k in range(centre + 1, len(seen)):
            moves = k - 1 + begin < thing.stop
            points[k] = points[k - 1] + (step / seen[k - 1].factor if moves else 0)
        for k in range(centre - 1, -1, -1):
            moves = k + begin >= thing.start
            points[k] = points[k + 1] - (step / seen[k].factor if moves else 0)
        paths.append(points)
    return paths


def boxes(scene: Scene, rate: int) -> list[NDArray[np.float64]]:
    """Each object's place at each picture of its scene: (left, top, right, bottom) in per cent of the picture."""
    seen = views(scene.phases, rate)
    found = []
    for thing, points in zip(scene.things, _paths(scene, seen, rate), strict=True):
        middles = np.array([(q - view.point) * view.factor for q, view in zip(points, seen, strict=True)])
        radii = np.array([thing.radius * abs(view.factor) for view in seen])
        across = 50 + 100 * np.stack((middles.real - radii, middles.real + radii)) / WIDTH
        down = 50 + 100 * np.stack((middles.imag - radii, middles.imag + radii)) / HEIGHT
        found.append(np.stack((across[0], down[0], across[1], down[1]), axis=1))
    return found


def _render(scene: Scene, rate: int) -> Iterator[Picture]:
    background = _photograph(scene.photograph, 900)
    patches = [_patch(thing) for thing in scene.things]
    seen = views(scene.phases, rate)
    paths = _paths(scene, seen, rate)
    flags = cv2.INTER_CUBIC
    for k, view in enumerate(seen):
        matrix = _matrix(view.factor, view.point, background.shape)
        picture = cv2.warpAffine(background, matrix, (WIDTH, HEIGHT), flags=flags, borderMode=cv2.BORDER_REFLECT)
        for patch, path in zip(patches, paths, strict=True):
            # The patch's middle lies at the object's place.
            onto = _matrix(view.factor, view.point - path[k], patch.shape)
            layer = cv2.warpAffine(patch, onto, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
            alpha = layer[..., 3:].astype(np.float32) / 255
            picture = (picture * (1 - alpha) + layer[..., :3] * alpha).astype(np.uint8)
        yield picture.astype(np.uint8)


def _matrix(factor: complex, point: complex, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """From pixels of an image, whose middle is the origin of the scene, to those of the picture."""
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    middle = np.array([shape[1] / 2 + point.real, shape[0] / 2 + point.imag])
    shift = np.array([WIDTH / 2, HEIGHT / 2]) - linear @ middle
    return np.column_stack((linear, shift))


def _photograph(name: str, width: int) -> Picture:
    picture = np.asarray(Image.open(get_photographs() / name).convert("RGB"))
    height = round(picture.shape[0] * width / picture.shape[1])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def _patch(thing: Thing) -> Picture:
    """A round cut-out, uint8 [2 r, 2 r, 4] with its alpha."""
    side = 2 * thing.radius
    photograph = _photograph(thing.photograph, 500)
    top, left = (photograph.shape[0] - side) // 2, (photograph.shape[1] - side) // 2
    mask = np.zeros((side, side), np.uint8)
    cv2.circle(mask, (thing.radius, thing.radius), thing.radius - 2, 255, -1, cv2.LINE_AA)
    # Darker or brighter than where it comes from, so that it is no part of the same photograph.
    piece = 255 - photograph[top : top + side, left : left + side]
    return np.dstack((piece, mask)).astype(np.uint8)
