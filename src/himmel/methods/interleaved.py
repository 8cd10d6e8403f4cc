"""Texts and pictures in turn, as a host's prompt: captions stand before the pictures that they are about."""

from collections.abc import Sequence
from dataclasses import dataclass

from himmel.errors import UsageError
from himmel.hosts import Host, Run
from himmel.hosts.protocol import Picture
from himmel.model.encoder import PromptEncoder
from himmel.model.placement import Placement
from himmel.model.sample import PreparedSample


@dataclass(frozen=True, kw_only=True, repr=False)
class InterleavedSample(PreparedSample):
    """Pictures with texts around them, and no intervals.

    Attributes:
        captions: the text before each of n pictures, and last the text after them; n + 1, any of them may be empty.
    """

    captions: tuple[str, ...]


def interleave(host: Host, parts: Sequence[str | Picture]) -> InterleavedSample:
    """Prepare texts and pictures (uint8 [H, W, 3], RGB) for a host, in their order; texts in a row are joined.

    Raises:
        UsageError: there is no picture.
        HostError: the host does not take pictures of this shape.
    """
    captions, pictures = [""], []
    for part in parts:
        if isinstance(part, str):
            captions[-1] += part
        else:
            pictures.append(part)
            captions.append("")
    if not pictures:
        raise UsageError("The prompt has no picture; give at least one.")
    plain = PreparedSample.of_pictures(host.prepare_images(pictures))
    return InterleavedSample(
        motion=plain.motion,
        residual=plain.residual,
        step_mask=plain.step_mask,
        images=plain.images,
        captions=tuple(captions),
    )


class InterleavedEncoder(PromptEncoder):
    """Prompts of `InterleavedSample`s, in which each caption stands before its picture; others as `PromptEncoder`.

    A caption is user's text: what looks like a special token in it stays ordinary text.
    """

    def place_sample(self, sample: PreparedSample, *, motion: bool, anchors: bool) -> Placement:
        """See `PromptEncoder.place_sample`."""
        placed = super().place_sample(sample, motion=motion, anchors=anchors)
        if not anchors or not isinstance(sample, InterleavedSample):
            return placed
        *before, after = sample.captions
        runs: list[Run] = []
        for caption, grid in zip(before, self.host.image_grids(sample.images), strict=True):
            runs += [*self._text(caption), *self.host.anchor_runs(grid)]
        return Placement((*runs, *self._text(after)), placed.intervals, placed.tokens)

    def _text(self, caption: str) -> list[Run]:
        return [Run("text", tuple(self.host.encode_text(caption)))] if caption else []
