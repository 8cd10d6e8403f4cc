"""Texts and pictures as the content of a chat message, and the most tokens that they can be."""

import base64
import math
from collections.abc import Sequence
from typing import Any, Final

import cv2

from himmel.errors import HimmelError
from himmel.methods.parts import Image, Part

_QUALITY: Final = 92
# The smallest patch that any known model's tower cuts pictures into, in pixels; and what small pictures are counted as
# by models that enlarge them.
_PATCH: Final = 14
_LEAST_PER_PICTURE: Final = 2048
_ROLE_TOKENS: Final = 64


def as_content(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """The parts in their order, as the chat completions API takes them; pictures as `data:` URLs of JPEG files."""
    return [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{_jpeg(part)}"}}
        for part in parts
    ]


def most_prompt_tokens(parts: Sequence[Part]) -> int:
    """More tokens than any known model counts for these parts: a bound for what they may cost.

    A text has no more tokens than bytes; a picture is taken as patches of 14 x 14 pixels, and as at least 2,048.
    """
    tokens = _ROLE_TOKENS
    for part in parts:
        if isinstance(part, str):
            tokens += len(part.encode())
        else:
            height, width = part.shape[:2]
            tokens += max(_LEAST_PER_PICTURE, math.ceil(width / _PATCH) * math.ceil(height / _PATCH))
    return tokens


def _jpeg(picture: Image) -> str:
    # Colours at full resolution: a motion map says everything by colour.
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY, *sampling]
    fine, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    if not fine:
        raise HimmelError(f"A picture of {picture.shape} cannot be written as JPEG; ask about another video.")
    return base64.b64encode(data.tobytes()).decode("ascii")
