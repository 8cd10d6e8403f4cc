"""Maps as RGB pictures, for encoders that were made for pictures.

The scales are fixed, so that a colour means the same in every step of every video:
    motion: hue tells the direction, strength of colour the speed v (per cent of the picture per frame) as v / (v + 1);
        white is rest, as in the pictures of `himmel streams`.
    residual: red is luma RMS and green chroma RMS, x as tanh x; blue is the intra share. Black is a perfect prediction.
        The signed mean is left out: there are three colours.
    rgb_diff: each channel around middle grey, 0.5 + 0.5 tanh x.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def draw_maps(stream: str, maps: Tensor, size: int) -> Tensor:
    """Draw maps [n, C, S, S] of `stream` as pictures, float32 [n, 3, size, size] in 0..1."""
    pictures = _DRAW[stream](maps.float())
    return F.interpolate(pictures, size=(size, size), mode="bilinear", align_corners=False)


def _draw_motion(velocity: Tensor) -> Tensor:
    right, down = velocity.unbind(dim=1)
    speed = torch.hypot(right, down)
    strength = speed / (speed + 1)
    sextant = torch.atan2(down, right) * (3 / math.pi)
    value = 1 - 0.12 * strength
    # Hue, saturation and value to red, green and blue, branch-free.
    turned = [(offset + sextant) % 6 for offset in (5, 3, 1)]
    return torch.stack([value * (1 - strength * torch.minimum(k, 4 - k).clamp(0, 1)) for k in turned], dim=1)


def _draw_residual(residual: Tensor) -> Tensor:
    luma, _, chroma, intra = residual.unbind(dim=1)
    return torch.stack((luma.tanh(), chroma.tanh(), intra), dim=1)


def _draw_difference(difference: Tensor) -> Tensor:
    return 0.5 + 0.5 * difference.tanh()


_DRAW = {"motion": _draw_motion, "residual": _draw_residual, "rgb_diff": _draw_difference}
