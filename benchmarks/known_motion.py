"""Rendered clips whose motion is known exactly at every pixel: photographs that move, turn and grow, things over them.

Each layer of a scene is a photograph with an affine place in each picture, so that the way of any pixel between any two
pictures follows from two matrices. Nothing returns, and all speeds are constant.
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

WIDTH, HEIGHT = 480, 272
PICTURES = 50
RATE = 25
_NOISE = 1.5
_EDGE = 8
_BORDER = 16

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """A photograph, or a round piece of one, and how it moves.

    Attributes:
        photograph: its file.
        at: where the photograph's middle is in the picture that is in the middle of the clip, pixels.
        velocity: pixels per picture, right and down.
        turn: degrees per picture, clockwise.
        growth: factor per picture.
        radius: of a round piece out of its middle, pixels; None for all of it, as background.
        scale: of the photograph in the middle of the clip.
    """

    photograph: str
    at: tuple[float, float] = (WIDTH / 2, HEIGHT / 2)
    velocity: tuple[float, float] = (0.0, 0.0)
    turn: float = 0.0
    growth: float = 1.0
    radius: int | None = None
    scale: float = 1.0


@dataclass(frozen=True)
class Scene:
    """Layers, the background first."""

    name: str
    layers: tuple[Layer, ...]


_THINGS = (
    Layer("flower.jpg", (120, 80), (2.6, 0.7), radius=44, scale=0.6),
    Layer("coffee.png", (330, 90), (-1.7, 1.3), radius=36, scale=0.5),
    Layer("chelsea.png", (230, 190), (0.9, -1.6), radius=52, scale=0.6),
    Layer("motorcycle_left.png", (380, 200), (-3.3, -0.4), radius=40, scale=0.4),
)

SCENES = (
    Scene("pan, whole pixels", (Layer("china.jpg", velocity=(3.0, -1.0)),)),
    Scene("pan, fractions", (Layer("china.jpg", velocity=(1.3, -0.45)),)),
    Scene("zoom", (Layer("astronaut.png", growth=1.01, scale=1.25),)),
    Scene("turn", (Layer("motorcycle_left.png", turn=0.4, scale=0.9),)),
    Scene("things, camera at rest", (Layer("china.jpg"), *_THINGS)),
    Scene("things over a pan", (Layer("china.jpg", velocity=(1.3, -0.45)), *_THINGS)),
)


class Rendered:
    """A scene as pictures and as motion.

    Attributes:
        pictures: uint8 [T, H, W, 3], RGB, with sensor noise.
        owners: uint8 [T, H, W], the layer that is seen at each pixel.
    """

    def __init__(self, scene: Scene, pictures: int = PICTURES) -> None:
        self.scene = scene
        self._matrices = [[_matrix(layer, t, pictures) for t in range(pictures)] for layer in scene.layers]
        self.pictures = np.empty((pictures, HEIGHT, WIDTH, 3), np.uint8)
        self.owners = np.zeros((pictures, HEIGHT, WIDTH), np.uint8)
        rng = np.random.default_rng(len(scene.name))
        sources = [_source(layer) for layer in scene.layers]
        for t in range(pictures):
            canvas = np.zeros((HEIGHT, WIDTH, 3), np.float32)
            for number, (colour, mask) in enumerate(sources):
                matrix = self._matrices[number][t]
                shown = _warp(colour, matrix, cv2.INTER_CUBIC)
                share = _warp(mask, matrix, cv2.INTER_LINEAR)[..., None] if number else 1.0
                canvas += share * (shown - canvas)
                if number:
                    self.owners[t][np.asarray(share)[..., 0] > 0.5] = number
            noisy = canvas + rng.normal(0, _NOISE, canvas.shape)
            self.pictures[t] = np.clip(np.rint(noisy), 0, 255)

    def motion(self, reference: int, t: int) -> NDArray[np.float64]:
        """How far what is seen in picture t has moved since `reference`, or moves until it: float64 [2, H, W].

        In pixels, right and down, forward in time: from the earlier to the later picture.
        """
        y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
        here = np.stack((x, y, np.ones_like(x)))
        moved = np.zeros((2, HEIGHT, WIDTH))
        for number, matrices in enumerate(self._matrices):
            there = matrices[reference] @ np.linalg.inv(matrices[t])
            way = here[:2] - np.einsum("ij,jhw->ihw", there[:2], here)
            seen = self.owners[t] == number
            moved[:, seen] = way[:, seen]
        return moved if reference <= t else -moved

    def check(self) -> None:
        """Predict a picture from others by the motion: away from edges, little but the noise must be left.

        Raises:
            SystemExit: the motion is not that of the pictures.
        """
        t = len(self.pictures) // 2
        y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
        inside = ~self.edges(t)
        inside[[*range(_BORDER), *range(-_BORDER, 0)]] = False
        inside[:, [*range(_BORDER), *range(-_BORDER, 0)]] = False
        shown = self.pictures[t].astype(np.float32)
        for reference in (t - 4, t - 1, t + 3):
            other = self.pictures[reference].astype(np.float32)
            dx, dy = self.motion(reference, t).astype(np.float32) * (1 if reference <= t else -1)
            predicted = cv2.remap(other, x - dx, y - dy, cv2.INTER_CUBIC)
            left, rest = (float(np.abs(one - shown)[inside].mean()) for one in (predicted, other))
            # The mean difference of two samples of the noise is 1.13 standard deviations; the rest is interpolation.
            if left > 1.13 * _NOISE + 0.25 * rest:
                raise SystemExit(f"{self.scene.name}: the motion leaves {left:.2f} code values, rest {rest:.2f}.")

    def edges(self, t: int) -> NDArray[np.bool_]:
        """Pixels within 8 of where two layers meet, bool [H, W]."""
        owners = self.owners[t]
        across = np.zeros((HEIGHT, WIDTH), np.uint8)
        across[:, 1:] |= owners[:, 1:] != owners[:, :-1]
        across[1:] |= owners[1:] != owners[:-1]
        side = 2 * _EDGE + 1
        return cv2.dilate(across, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))) > 0


def encode(path: Path, pictures: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], codec: str, **options: str) -> None:
    """Write pictures with an encoder of FFmpeg's; x264 repeats itself."""
    if codec == "libx264":
        options["x264-params"] = ":".join(f"{name}={value}" for name, value in repeatable_x264().items())
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in _frames(pictures):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _frames(pictures: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> Iterator[av.VideoFrame]:
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, RATE)
        yield frame


def _source(layer: Layer) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The photograph, float32 [h, w, 3], and which of it is seen, float32 [h, w]."""
    colour = np.asarray(Image.open(get_photographs() / layer.photograph).convert("RGB"), np.float32)
    height, width = colour.shape[:2]
    mask = np.ones((height, width), np.float32)
    if layer.radius is not None:
        mask[:] = 0
        radius = layer.radius / layer.scale
        middle = round(16 * (width - 1) / 2), round(16 * (height - 1) / 2)
        cv2.circle(mask, middle, round(16 * radius), 1.0, -1, cv2.LINE_AA, shift=4)
    return colour, mask


def _matrix(layer: Layer, t: int, pictures: int) -> Matrix:
    """From the photograph's pixels to those of picture t, 3 x 3."""
    since = t - (pictures - 1) / 2
    with Image.open(get_photographs() / layer.photograph) as photograph:
        width, height = photograph.size
    scale, angle = layer.scale * layer.growth**since, np.radians(layer.turn * since)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    place = np.array(layer.at) - 0.5 + np.array(layer.velocity) * since
    turned = np.array([[cos, -sin], [sin, cos]])
    return np.vstack((np.column_stack((turned, place - turned @ middle)), (0, 0, 1)))


def _warp(picture: NDArray[np.float32], matrix: Matrix, method: int) -> NDArray[np.float32]:
    border = cv2.BORDER_REFLECT_101 if picture.ndim == 3 else cv2.BORDER_CONSTANT
    # OpenCV reduces without averaging: half-size photographs would shimmer.
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 1:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.5 / scale - 0.35 if scale < 0.9 else 0.2), np.float32)
    return np.asarray(cv2.warpAffine(picture, matrix[:2], (WIDTH, HEIGHT), flags=method, borderMode=border), np.float32)
