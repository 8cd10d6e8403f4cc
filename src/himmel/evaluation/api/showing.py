"""What a method shows of a video, for a model behind an API: the same texts and pictures that a local host gets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import cv2
import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from himmel.errors import UsageError
from himmel.hosts import Host
from himmel.hosts.base import BaseHost
from himmel.hosts.protocol import Picture
from himmel.methods.answer import VideoRead
from himmel.methods.interleaved import InterleavedSample
from himmel.methods.parts import Part
from himmel.methods.protocol import Method, Shown
from himmel.methods.question import Question
from himmel.methods.still import read_picture
from himmel.model.encoder import PromptEncoder
from himmel.video import Video
from himmel.video.map_pictures import fit

# What these do is done once the prompt is written; others change what happens inside the model.
ASKABLE: Final[tuple[str, ...]] = ("stream_pictures", "dense", "panel", "codec_frames", "motion_text")

# Fewer than in most texts, so that what fits in a number of tokens does so by any API's count.
_BYTES_PER_TOKEN: Final = 3


@dataclass(frozen=True, eq=False)
class ApiShown:
    """What a method shows of a video.

    Attributes:
        record: what was read.
        notes: sentences about what was unusual.
        shown: what the method made of it; its sample keeps the pictures as they are.
    """

    record: VideoRead
    notes: tuple[str, ...]
    shown: Shown

    @property
    def nbytes(self) -> int:
        """Memory that its pictures take."""
        return sum(picture.nbytes for picture in self.shown.sample.images.values())

    def parts(self, question: Question) -> list[Part]:
        """The whole prompt of a question."""
        sample = self.shown.sample
        pictures = [np.asarray(picture.numpy(), np.uint8) for picture in sample.images.values()]
        parts: list[Part] = list(pictures)
        if isinstance(sample, InterleavedSample):
            *before, after = sample.captions
            parts = [part for pair in zip(before, pictures, strict=True) for part in pair]
            parts.append(after)
        return [*(part for part in parts if not isinstance(part, str) or part), self.shown.ask(question)]


def check_askable(method: Method) -> None:
    """Refuse methods that do more than write a prompt.

    Raises:
        UsageError: the method changes what happens inside a model.
    """
    if method.name not in ASKABLE:
        raise UsageError(
            f"The method {method.name!r} works inside the model, which an API does not let it; choose one of "
            f"{', '.join(ASKABLE)}."
        )


def show_by(method: Method, source: Video | Image, *, longest: int, threads: int | None = None) -> ApiShown:
    """Read a video, or take a picture, and show it as a method does.

    Args:
        method: one of `ASKABLE`.
        source: an open video, or a picture.
        longest: most pixels along the longer side of each picture.
        threads: see `Video.decompose`.

    Raises:
        UsageError, VideoError: as the method's reading.
    """
    read = read_picture(source) if isinstance(source, Image) else method.reading(None).read(source, threads=threads)
    encoder = PromptEncoder(cast(Host, _PicturesAsTheyAre(longest)))
    return ApiShown(read.record, read.notes, method.prepare(read, encoder))


class _PicturesAsTheyAre(BaseHost):
    """As much of a `Host` as preparing a prompt asks for: its pictures stay pictures, uint8 [H, W, 3]."""

    def __init__(self, longest: int) -> None:
        self._longest = longest

    def prepare_images(self, pictures: Sequence[Picture]) -> Mapping[str, Tensor]:
        """Each picture under its number."""
        return {str(number): torch.from_numpy(self._shrink(picture)) for number, picture in enumerate(pictures)}

    def encode_text(self, text: str) -> list[int]:
        """As many ids as an API may count tokens, for methods that keep to a number of them: one for three bytes."""
        return [0] * -(-len(text.encode()) // _BYTES_PER_TOKEN)

    def _shrink(self, picture: Picture) -> Picture:
        height, width = picture.shape[:2]
        size = fit(width, height, self._longest)
        if size == (width, height):
            # A copy: torch takes no array that may not be written to.
            return np.array(picture)
        return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
