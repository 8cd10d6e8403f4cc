"""Decoded frames as they are: `dense`, what users of a video language model do today, and `panel`, one picture of them.

`FrameReading` and `FramesMethod` are also what methods build on that do more with the same frames.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import cv2
import numpy as np
import numpy.typing as npt

from himmel._checks import check_choice, check_whole
from himmel.methods.answer import describe_frames
from himmel.methods.asking import Asking, ask_batch
from himmel.methods.decoding import Decoding
from himmel.methods.protocol import Read, Reading, Reply, Shown, show_frames
from himmel.methods.question import Question
from himmel.model import HimmelConfig
from himmel.model.encoder import PromptEncoder
from himmel.model.host_model import HostModel
from himmel.model.sample import PreparedSample
from himmel.video import Video

MOST_FRAMES = 4096
FrameMode = Literal["exact", "keyframe"]


@dataclass(frozen=True)
class FrameReading:
    """Evenly spaced frames, see `Video.frames`."""

    num_frames: int
    frame_mode: FrameMode

    def read(self, video: Video, *, threads: int | None = None) -> Read:
        """Decode them."""
        found = video.frames(num_frames=self.num_frames, mode=self.frame_mode, threads=threads)
        return Read(found.frames, describe_frames(video, found), notes=found.notes, seconds=dict(found.seconds))


@dataclass(frozen=True, kw_only=True)
class FramesMethod:
    """What methods share that show evenly spaced frames to the host alone.

    Args:
        num_frames: how many, 1 to 4096; at most one per picture of the video.
        frame_mode: `exact`: the pictures nearest to even times, each decoded from its keyframe; `keyframe`: the nearest
            keyframe within half a spacing.

    Raises:
        UsageError: an option is out of its range.
    """

    name: ClassVar[str]
    needs_adapter: ClassVar[bool] = False

    num_frames: int = 32
    frame_mode: FrameMode = "exact"

    def __post_init__(self) -> None:
        check_whole("num_frames", self.num_frames, 1, MOST_FRAMES)
        check_choice("frame_mode", self.frame_mode, ("exact", "keyframe"))

    def reading(self, config: HimmelConfig | None) -> Reading:
        """See `Method.reading`."""
        del config
        return FrameReading(self.num_frames, self.frame_mode)

    def processor(self, model: HostModel) -> PromptEncoder:
        """See `Method.processor`."""
        return PromptEncoder(model.host)

    def prepare(self, read: Read, processor: PromptEncoder) -> Shown:
        """The frames, each a picture of its own."""
        return Shown(show_frames(read, processor.host))

    def asking(self, model: HostModel, processor: PromptEncoder) -> Asking | None:
        """See `Method.asking`."""
        return Asking(model, processor)

    def answer(
        self,
        model: HostModel,
        processor: PromptEncoder,
        shown: Sequence[Shown],
        questions: Sequence[Question],
        *,
        decodings: Sequence[Decoding],
    ) -> list[Reply]:
        """See `Method.answer`."""
        return ask_batch(Asking(model, processor), shown, questions, decodings=decodings)


@dataclass(frozen=True, kw_only=True)
class Dense(FramesMethod):
    """`dense`: evenly spaced frames, each a picture in the prompt (the report's main baseline, section 5: 32 frames).

    Options: see `FramesMethod`.
    """

    name: ClassVar[str] = "dense"

    @classmethod
    def beneath(cls, method: FramesMethod) -> "Dense":
        """What asks as a method does that shows the same frames, without removing anything."""
        return cls(num_frames=method.num_frames, frame_mode=method.frame_mode)


@dataclass(frozen=True)
class PanelReading(FrameReading):
    """The same frames, of which one picture is made."""

    tile_pixels: int


@dataclass(frozen=True, kw_only=True)
class Panel(FramesMethod):
    """`panel`: one picture with a grid of frames (report, appendix R; IG-VLM, Kim et al. 2024, section 3).

    Columns are the rounded square root of the number of frames; frames follow each other row by row, and what is left
    of the last row is white. Every tile has the size of the video's picture, shrunk to `tile_pixels`; the host's own
    rule for pictures then sees the whole grid.

    Args:
        num_frames: 9 by default, a grid of 3 x 3 as in the report (IG-VLM: 6).
        frame_mode: see `FramesMethod`.
        tile_pixels: most pixels of one tile, 1024 to 2**24; 336 x 336 by default.

    Raises:
        UsageError: an option is out of its range.
    """

    name: ClassVar[str] = "panel"

    num_frames: int = 9
    tile_pixels: int = 336 * 336

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("num_frames", self.num_frames, 2, 64)
        check_whole("tile_pixels", self.tile_pixels, 1024, 2**24)

    def reading(self, config: HimmelConfig | None) -> Reading:
        """See `Method.reading`."""
        del config
        return PanelReading(self.num_frames, self.frame_mode, self.tile_pixels)

    def prepare(self, read: Read, processor: PromptEncoder) -> Shown:
        """One picture, and a sentence that says what it is."""
        tiles = [_shrink(one.image, self.tile_pixels) for one in read.frames]
        picture = draw_grid(tiles)
        rows, columns = grid_of(len(tiles))
        preface = (
            f"The picture is a grid of {rows} rows and {columns} columns. It shows {len(tiles)} frames of a video in "
            "the order of time, row by row from the top left."
        )
        return Shown(PreparedSample.of_pictures(processor.host.prepare_images([picture])), preface)


def grid_of(count: int) -> tuple[int, int]:
    """Rows and columns of a panel of `count` frames: as IG-VLM counts, columns are round(sqrt(count))."""
    columns = round(math.sqrt(count))
    return -(-count // columns), columns


def draw_grid(tiles: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Tiles row by row on white.

    Args:
        tiles: uint8 [H_i, W_i, 3]; scaled to the smallest height and width among them.

    Returns:
        uint8 [rows * H, columns * W, 3].
    """
    rows, columns = grid_of(len(tiles))
    height, width = (min(tile.shape[axis] for tile in tiles) for axis in (0, 1))
    canvas = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        scaled = cv2.resize(tile, (width, height), interpolation=cv2.INTER_AREA)
        canvas[row * height : (row + 1) * height, column * width : (column + 1) * width] = scaled
    return canvas


def _shrink(picture: npt.NDArray[np.uint8], most: int) -> npt.NDArray[np.uint8]:
    height, width = picture.shape[:2]
    scale = min(1.0, math.sqrt(most / (height * width)))
    size = max(1, math.floor(width * scale)), max(1, math.floor(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
