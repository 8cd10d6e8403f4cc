"""One video, prepared: everything the model needs of it, small enough to keep on disk, nothing left to decode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from himmel.adapter.tensors import ShowsShapes
from himmel.errors import HostError

_IMAGES = "images."
_FAR = "far_images."


@dataclass(frozen=True, kw_only=True, repr=False)
class PreparedSample(ShowsShapes):
    """The streams and the anchors of one video with N intervals (and N anchors), or pictures without any interval.

    Attributes:
        motion: float16 [N, F, 2, S, S], or in its place the RGB difference [N, F, 3, S, S], see `StreamInputs`; F is
            the largest number of steps in an interval, or 1.
        residual: float16 [N, F, 4, S, S].
        step_mask: bool [N, F].
        context: float16 [N, C, s, s], or None where the host's tower makes it of the anchors.
        images: the anchors as the host wants them (`Host.prepare_images`).
        far_images: the far anchor of the last interval in the same form (docs/method.md, equation 5), or empty.
        times: float64 [N, 2], when each interval begins (at its anchor) and ends, in seconds since the first shown
            picture; None where they are not known.
        sound: float16 [N, 4, 32], see `himmel.model.streams.sound_channels`; None where the adapter does not read it.
    """

    motion: Tensor
    residual: Tensor
    step_mask: Tensor
    context: Tensor | None = None
    images: Mapping[str, Tensor]
    far_images: Mapping[str, Tensor] = field(default_factory=dict)
    times: Tensor | None = None
    sound: Tensor | None = None

    @classmethod
    def of_pictures(cls, images: Mapping[str, Tensor]) -> Self:
        """Pictures alone (`Host.prepare_images`), without any interval."""
        nothing = torch.zeros(0, 1, 2, 1, 1, dtype=torch.float16)
        residual = torch.zeros(0, 1, 4, 1, 1, dtype=torch.float16)
        return cls(motion=nothing, residual=residual, step_mask=torch.zeros(0, 1, dtype=torch.bool), images=images)

    @property
    def num_intervals(self) -> int:
        """N."""
        return len(self.step_mask)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name, for one safetensors file."""
        plain = {"motion": self.motion, "residual": self.residual, "step_mask": self.step_mask}
        if self.context is not None:
            plain["context"] = self.context
        if self.times is not None:
            plain["times"] = self.times
        if self.sound is not None:
            plain["sound"] = self.sound
        plain |= {_IMAGES + name: value for name, value in self.images.items()}
        plain |= {_FAR + name: value for name, value in self.far_images.items()}
        # Some image processors give pictures whose channels come last in memory, which the format does not take.
        return {name: value.contiguous() for name, value in plain.items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The sample that `tensors()` was taken from."""
        groups: dict[str, dict[str, Tensor]] = {_IMAGES: {}, _FAR: {}}
        plain: dict[str, Tensor] = {}
        for name, value in tensors.items():
            group = next((prefix for prefix in groups if name.startswith(prefix)), None)
            if group is None:
                plain[name] = value
            else:
                groups[group][name.removeprefix(group)] = value
        return cls(
            motion=plain["motion"],
            residual=plain["residual"],
            step_mask=plain["step_mask"],
            context=plain.get("context"),
            times=plain.get("times"),
            sound=plain.get("sound"),
            images=groups[_IMAGES],
            far_images=groups[_FAR],
        )

    def with_streams_of(self, other: "PreparedSample") -> Self:
        """These anchors with another video's motion tokens: the control of shuffled tokens.

        Raises:
            HostError: the two differ in intervals, or the other's context is not there yet (see `keep_features`).
        """
        if self.num_intervals != other.num_intervals:
            raise HostError(
                f"A video of {self.num_intervals} intervals cannot take the motion of one with {other.num_intervals}; "
                "decompose both into as many anchors."
            )
        context = other.context if other.context is not None else other.images.get("tower_features")
        if context is None:
            raise HostError("The other sample has no context stream yet; call keep_features on it first.")
        return replace(
            self,
            motion=other.motion,
            residual=other.residual,
            step_mask=other.step_mask,
            context=context,
            sound=other.sound,
        )


def join_sound(samples: Sequence[PreparedSample]) -> Tensor | None:
    """The sound of all intervals of a batch, float32 [M, 4, 32]; None where the adapter does not read it.

    Raises:
        HostError: some of the samples have sound, and others have intervals without it.
    """
    given = [sample.sound for sample in samples if sample.sound is not None]
    if not given:
        return None
    if sum(map(len, given)) != sum(sample.num_intervals for sample in samples):
        raise HostError("Some samples of a batch were prepared without sound; prepare them all in the same way.")
    return torch.cat(given).float()


def pad_steps(streams: Sequence[Tensor]) -> Tensor:
    """Join [N_i, F_i, ...] tensors along N, with zeros (or False) up to the largest F."""
    steps = max(stream.shape[1] for stream in streams)
    padded = []
    for stream in streams:
        missing = stream.new_zeros(len(stream), steps - stream.shape[1], *stream.shape[2:])
        padded.append(torch.cat([stream, missing], dim=1))
    return torch.cat(padded)
