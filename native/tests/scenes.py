"""Moving pictures to encode, made from a seed: drifting textures, objects, fades, cuts and grain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]

_TILE = 256


def texture(seed: int, roughness: float = 1.0) -> Plane:
    """A periodic random texture with values in 0..1, float32 [256, 256]; higher `roughness` means finer detail."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.standard_normal((_TILE, _TILE)))
    radius = np.hypot(np.fft.fftfreq(_TILE)[:, None] * _TILE, np.fft.rfftfreq(_TILE)[None, :] * _TILE)
    wave = np.fft.irfft2(spectrum / np.maximum(radius, 2.0) ** (2.0 - roughness), s=(_TILE, _TILE))
    return (0.5 + 0.22 * (wave - wave.mean()) / wave.std()).clip(0, 1).astype(np.float32)


def window(tile: Plane, x: float, y: float, width: int, height: int, scale: float = 1.0) -> Plane:
    """The part of a periodic texture whose top left corner is (x, y), bilinearly sampled, float32 [height, width]."""
    columns, rows = x + scale * np.arange(width), y + scale * np.arange(height)
    x0, y0 = np.floor(columns).astype(int), np.floor(rows).astype(int)
    fx, fy = (columns - x0).astype(np.float32), (rows - y0).astype(np.float32)[:, None]
    wide = tile[:, x0 % _TILE] * (1 - fx) + tile[:, (x0 + 1) % _TILE] * fx
    return wide[y0 % _TILE] * (1 - fy) + wide[(y0 + 1) % _TILE] * fy


@dataclass(frozen=True)
class Scene:
    """What moves.

    Attributes:
        kind: "motion"; with "fade" also from dark to bright and back, with "flash" every fifth picture brighter, with
            "cut" to other textures after half of the pictures, with "noise" each picture with grain of its own, "still"
            a standing background with few small objects, "bars" coarse textures at high speed, "smooth" hardly any
            texture, "grain" a corner of nothing but noise, "fields" lines of the two fields half an interval apart and
            fast objects.
        seed: of textures and paths.
    """

    kind: str = "motion"
    seed: int = 1

    def planes(self, count: int, width: int, height: int) -> Iterator[npt.NDArray[np.float32]]:
        """Pictures as Y, Cb, Cr in 0..1, float32 [3, height, width]."""
        rng = np.random.default_rng(self.seed)
        rough = {"bars": 0.2, "smooth": -2.0}.get(self.kind, 0.9)
        layers = [[texture(97 * self.seed + 10 * k + c, rough) for c in range(3)] for k in range(4)]
        speed = {"bars": 9.0, "fields": 8.0}.get(self.kind, 2.2)
        number = 14
        sizes = rng.integers(4, 34, (number, 2))
        places, paths = rng.uniform(0, 1, (number, 2)) * (width, height), rng.uniform(-1, 1, (number, 2)) * speed
        calm = {"still": 0.0, "fields": 0.3}.get(self.kind, 1.0)
        drift = rng.uniform(-1, 1, 2) * speed * calm
        for k in range(count):
            first = self._picture(layers, k, count, width, height, drift, sizes, places, paths)
            if self.kind == "fields":
                second = self._picture(layers, k + 0.5, count, width, height, drift, sizes, places, paths)
                first[:, 1::2] = second[:, 1::2]
            if self.kind == "grain":
                first[:, :32, :32] = rng.integers(0, 2, (3, 16, 16)).repeat(2, 1).repeat(2, 2)
                first[0, :32, :32] = rng.integers(0, 2, (32, 32))
            if self.kind == "noise":
                first += rng.normal(0, 0.04, first.shape).astype(np.float32)
            yield first.clip(0, 1)

    def _picture(
        self,
        layers: Sequence[Sequence[Plane]],
        time: float,
        count: int,
        width: int,
        height: int,
        drift: npt.NDArray[np.float64],
        sizes: npt.NDArray[np.int64],
        places: npt.NDArray[np.float64],
        paths: npt.NDArray[np.float64],
    ) -> npt.NDArray[np.float32]:
        shot = 2 if self.kind == "cut" and time >= count // 2 else 0
        sway = 0.0 if self.kind == "still" else 1.0
        x, y = drift * time + (3 * sway * np.sin(0.7 * time), sway * np.cos(0.5 * time))
        scale = 1.0 + 0.004 * sway * time
        out = np.stack([window(tile, x, y, width, height, scale) for tile in layers[shot]])
        for k, (w, h) in enumerate(sizes[:4] if self.kind == "still" else sizes):
            left, top = (places[k] + paths[k] * time) % (width, height)
            x0, y0 = int(left), int(top)
            x1, y1 = min(x0 + int(w), width), min(y0 + int(h), height)
            for c, tile in enumerate(layers[shot + 1]):
                out[c, y0:y1, x0:x1] = window(tile, 31.0 * k + x0 - left, 17.0 * k + y0 - top, x1 - x0, y1 - y0)
        if self.kind == "fade":
            out[0] *= 0.15 + 0.85 * abs(1 - 2 * time / count)
            out[1:] = 0.5 + (out[1:] - 0.5) * (1 - 0.6 * time / count)
        if self.kind == "flash" and time % 5 == 2:
            out[0] = 0.4 + 0.6 * out[0]
        return out


def frames(scene: Scene, count: int, width: int, height: int, pix_fmt: str) -> Iterator[av.VideoFrame]:
    """The scene in a planar YUV or grey pixel format of 8 or 10 bits, limited range."""
    subsample = {"420": (2, 2), "422": (2, 1), "444": (1, 1)}
    sx, sy = next((subsample[key] for key in subsample if key in pix_fmt), (1, 1))
    depth = 10 if "10" in pix_fmt else 8
    kind = np.uint16 if depth == 10 else np.uint8
    for number, picture in enumerate(scene.planes(count, width, height)):
        frame = av.VideoFrame(width, height, pix_fmt)
        for index, plane in enumerate(frame.planes):
            values = 16 + 219 * picture[0] if index == 0 else 128 + 200 * (picture[index] - 0.5)
            if index:
                full = values[: height // sy * sy, : width // sx * sx]
                values = full.reshape(height // sy, sy, width // sx, sx).mean((1, 3))
            target = np.frombuffer(plane, kind).reshape(plane.height, -1)
            target[: values.shape[0], : values.shape[1]] = np.rint(values * 2 ** (depth - 8))
        frame.pts = number
        yield frame
