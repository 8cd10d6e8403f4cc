"""Clips whose motion is known."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

Picture = npt.NDArray[np.uint8]


@pytest.fixture
def sliding(encode_clip: Callable[..., Path], pan: Callable[..., Iterator[Picture]]) -> Callable[..., Path]:
    """`sliding("a.mp4", (3, 0))`: 64 pictures of 320 x 192 that move 3 to the right each, with 8 keyframes."""

    def clip(name: str, velocity: tuple[int, int], num_frames: int = 64) -> Path:
        pictures = list(pan(num_frames, (320, 192), velocity))
        return encode_clip(name, pictures, options={"g": "8", "bf": "0", "crf": "18"})

    return clip
