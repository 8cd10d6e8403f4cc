"""Pictures of things and backgrounds, ready to be put into a clip."""

from functools import cache, lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from himmel.nano.assets import get_photographs, get_sprites
from himmel.nano.catalogue import COLOURS, EMOJI, HELD_OUT_EMOJI
from himmel.nano.clips import Background, Thing

Picture = NDArray[np.uint8]

# Emoji are drawn large and reduced by area, which is smoother than the font's own small sizes.
_FONT_SIZE = 192
_OVERSAMPLING = 4
_OUTLINE = (60, 60, 60, 255)


def thing_picture(thing: Thing) -> NDArray[np.float32]:
    """A thing at its size, float32 [h, w, 4]: RGB times alpha, 0 to 255, and alpha, 0 to 1; longer side `thing.size`.

    Raises:
        HimmelError: the emoji font is not in the cache and cannot be fetched.
    """
    if thing.emoji:
        return _reduced(thing.name, thing.size)
    return _shape(thing.shape, thing.colour, thing.size)


def background_picture(background: Background, side: int) -> Picture:
    """A background, uint8 [side, side, 3].

    Raises:
        HimmelError: the photographs are not in the cache and cannot be fetched.
    """
    photograph = _photograph(background.photograph)
    height, width = photograph.shape[:2]
    cut = int(background.scale * min(height, width))
    x, y = int(background.x * (width - cut)), int(background.y * (height - cut))
    square = photograph[y : y + cut, x : x + cut]
    method = cv2.INTER_AREA if cut > side else cv2.INTER_CUBIC
    resized = cv2.resize(square, (side, side), interpolation=method)
    if background.flip:
        resized = resized[:, ::-1]
    return np.clip(resized * np.array(background.gains, np.float32), 0, 255).astype(np.uint8)


@cache
def _font(path: Path) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), _FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)


@cache
def _emoji(name: str) -> NDArray[np.float32]:
    """An emoji as large as the font draws it, cut to what is drawn; premultiplied."""
    character = EMOJI.get(name) or HELD_OUT_EMOJI[name]
    side = 2 * _FONT_SIZE
    canvas = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    font = _font(get_sprites() / "openmoji.ttf")
    ImageDraw.Draw(canvas).text((side / 2, side / 2), character, font=font, embedded_color=True, anchor="mm")
    return _premultiplied(canvas.crop(canvas.getbbox()))


@lru_cache(maxsize=2048)
def _reduced(name: str, size: int) -> NDArray[np.float32]:
    large = _emoji(name)
    height, width = large.shape[:2]
    scale = size / max(height, width)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(large, shape, interpolation=cv2.INTER_AREA), np.float32)


@lru_cache(maxsize=2048)
def _shape(shape: str, colour: str, size: int) -> NDArray[np.float32]:
    side = size * _OVERSAMPLING
    canvas = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(canvas)
    fill, line = (*COLOURS[colour], 255), _OVERSAMPLING
    edge = side - 1
    if shape == "circle":
        draw.ellipse((0, 0, edge, edge), fill=fill, outline=_OUTLINE, width=line)
    elif shape == "square":
        draw.rectangle((0, 0, edge, edge), fill=fill, outline=_OUTLINE, width=line)
    else:
        draw.polygon(_corners(shape, edge), fill=fill, outline=_OUTLINE, width=line)
    large = _premultiplied(canvas)
    return np.asarray(cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA), np.float32)


def _corners(shape: str, edge: int) -> list[tuple[float, float]]:
    if shape == "triangle":
        return [(edge / 2, 0), (edge, edge), (0, edge)]
    angles = np.arange(10) * np.pi / 5
    radii = np.where(np.arange(10) % 2, 0.22, 0.5) * edge
    return [
        (edge / 2 + float(r * np.sin(a)), edge / 2 - float(r * np.cos(a))) for a, r in zip(angles, radii, strict=True)
    ]


def _premultiplied(image: Image.Image) -> NDArray[np.float32]:
    pixels = np.asarray(image, np.float32)
    alpha = pixels[..., 3:] / 255
    return np.concatenate([pixels[..., :3] * alpha, alpha], axis=-1)


@cache
def _photograph(name: str) -> Picture:
    return np.asarray(Image.open(get_photographs() / name).convert("RGB"))
