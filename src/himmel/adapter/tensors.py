"""What goes into the adapter; the representations show shapes, never contents."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from himmel.choices import SOUND_SHAPE


def _show(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_show(item)}" for key, item in value.items()) + "}"
    return repr(value)


class ShowsShapes:
    """Base of the dataclasses that hold tensors: the representation names types and shapes."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={_show(value)}" for name, value in vars(self).items())
        return f"{type(self).__name__}({shown})"


@dataclass(frozen=True, kw_only=True, repr=False)
class StreamInputs(ShowsShapes):
    """The streams of M intervals, from all samples of a batch, one after another.

    Attributes:
        motion: float [M, F, 2, S, S], velocity right and down in per cent of the picture's width and height
            per frame interval; or, with the stream `rgb_diff`, [M, F, 3, S, S], RGB minus that of the picture before,
            in units of 16 code values.
        residual: float [M, F, 4, S, S], luma RMS / 16, signed luma mean / 16, chroma RMS / 16, intra share 0..1.
            With encoder="shared_vit", this and `motion` are [M, F, D, 1, 1]: what the host's tower made of them.
        context: float [M, C, s, s], the anchor as a small picture or as the host tower's feature map.
        step_mask: bool [M, F], True for the steps that exist; these come first in each row. Values of other steps
            are never read.
        sound: float [M, 4, 32], see `himmel.model.streams.sound_channels`; None where the adapter does not read it.

    Raises:
        ValueError: the shapes do not belong together, or there is no interval or no place for a step.
    """

    motion: Tensor
    residual: Tensor
    context: Tensor
    step_mask: Tensor
    sound: Tensor | None = None

    def __post_init__(self) -> None:
        steps = tuple(self.step_mask.shape)
        shapes = (self.motion.ndim, self.residual.ndim, self.context.ndim, len(steps))
        if shapes != (5, 5, 4, 2) or self.step_mask.dtype != torch.bool:
            raise ValueError(f"Expected motion 5-d, residual 5-d, context 4-d and a bool step_mask 2-d, got {self!r}.")
        if not (steps == self.motion.shape[:2] == self.residual.shape[:2] and steps[0] == self.context.shape[0]):
            raise ValueError(f"The streams differ in intervals or steps: {self!r}.")
        if self.sound is not None and tuple(self.sound.shape) != (steps[0], *SOUND_SHAPE):
            raise ValueError(f"Expected sound of {SOUND_SHAPE} for each of {steps[0]} intervals, got {self!r}.")
        if 0 in steps:
            raise ValueError(f"At least one interval and one step (masked or not) are needed, got {self!r}.")

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """Copy to a device, and the streams (not the mask) to a floating-point type."""
        return type(self)(
            motion=self.motion.to(device=device, dtype=dtype),
            residual=self.residual.to(device=device, dtype=dtype),
            context=self.context.to(device=device, dtype=dtype),
            step_mask=self.step_mask.to(device=device),
            sound=None if self.sound is None else self.sound.to(device=device, dtype=dtype),
        )
