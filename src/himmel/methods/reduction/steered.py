"""`metom`: token reduction steered by what the codec spent, which is read from the file and not from the features."""

import time
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from himmel._checks import check_whole
from himmel.errors import UsageError
from himmel.hosts.boxes import Boxes
from himmel.methods.frames import FrameReading
from himmel.methods.protocol import Read, Reading, Shown
from himmel.methods.reduction.metom import metom
from himmel.methods.reduction.reducing import ReducingMethod
from himmel.methods.reduction.tokens import FrameTokens, Reduction
from himmel.model import HimmelConfig
from himmel.model.encoder import PromptEncoder
from himmel.video import Spending, Video
from himmel.video.maps.boxes import mean_in_boxes
from himmel.video.maps.raster import cell_areas

MOST_STEPS = 128


@dataclass(frozen=True)
class SpendingReading(FrameReading):
    """The same frames, and what the codec spent on them."""

    steps_per_frame: int

    def read(self, video: Video, *, threads: int | None = None) -> Read:
        """Decode the frames, and parse a few pictures before each."""
        read = super().read(video, threads=threads)
        begin = time.perf_counter()
        frames = [one.frame for one in read.frames]
        spending = video.spending(frames, steps=self.steps_per_frame, decode=True, threads=threads)
        seconds = {**(read.seconds or {}), "spending": time.perf_counter() - begin}
        return replace(read, spending=spending, notes=(*read.notes, *spending.notes), seconds=seconds)


@dataclass(frozen=True, eq=False)
class Steered(Shown):
    """Frames, and what the codec spent on their tokens.

    Attributes:
        cost: for each frame, float32 [n_i], see `token_costs`.
        places: for each frame, float32 [n_i, 2], the middle of each token's box, in the picture's own proportions; NaN
            for a token that shows no part of the picture.
        packets: for each frame, mean bits of a picture of its group of pictures.
    """

    cost: tuple[Tensor, ...] = ()
    places: tuple[Tensor, ...] = ()
    packets: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Metom(ReducingMethod):
    """`metom`: tokens merged where the codec spent little (MeToM, CVPR 2026; our own formulation); see `metom`.

    The cost of a place is the mean of its residual energy and its bits since the last frame, each over its mean in the
    picture: what is intra-coded has no residual, but it has bits. Of a file that can't be parsed the pictures are
    decoded for this, and the answer's notes say so.

    Args:
        num_frames, frame_mode, keep: see `ReducingMethod`; every frame keeps a token.
        steps_per_frame: pictures that are looked at before each frame, 0 to 128.
    """

    name: ClassVar[str] = "metom"

    steps_per_frame: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("steps_per_frame", self.steps_per_frame, 0, MOST_STEPS)

    def reading(self, config: HimmelConfig | None) -> Reading:
        """See `Method.reading`."""
        del config
        return SpendingReading(self.num_frames, self.frame_mode, self.steps_per_frame)

    def prepare(self, read: Read, processor: PromptEncoder) -> Shown:
        """The frames, each with the cost of its tokens."""
        spending = read.spending
        if spending is None:
            raise UsageError("metom goes by what a codec spent, and a single picture has no codec; give a video.")
        sample = super().prepare(read, processor).sample
        boxes = [
            processor.host.token_boxes(grid, spending.width, spending.height)
            for grid in processor.host.image_grids(sample.images)
        ]
        return Steered(
            sample,
            cost=tuple(torch.from_numpy(token_costs(spending, k, where)) for k, where in enumerate(boxes)),
            places=tuple(torch.from_numpy(middles(where, spending.width, spending.height)) for where in boxes),
            packets=tuple(spending.group_bits.tolist()),
        )

    def reduce(self, tokens: FrameTokens, shown: Shown) -> Reduction:
        """See `ReducingMethod.reduce`."""
        assert isinstance(shown, Steered)
        return metom(tokens, cost=shown.cost, places=shown.places, packets=shown.packets, keep=self.keep)


def token_costs(spending: Spending, frame: int, boxes: Boxes) -> npt.NDArray[np.float32]:
    """What the codec spent on each token's box of one frame: residual energy and bits, each over its mean.

    Args:
        spending: of the video's frames.
        frame: which of them.
        boxes: float64 [T, 4], of the tokens, see `Host.token_boxes`.

    Returns:
        float32 [T], not negative, 1 for a place that costs as much as the average of what is known; NaN for a token
        without a box; 0 beside the picture.
    """
    size = {"width": spending.width, "height": spending.height, "cell": spending.cell}
    area = cell_areas(**size)
    costs = [
        mean_in_boxes(sums, boxes, **size) / (sums.sum() / area.sum())
        for sums in (spending.energy[frame] * area, spending.place_bits[frame].astype(np.float64))
        if sums.any()
    ]
    alike = np.where(np.isnan(boxes[:, 0]), np.nan, 1.0)
    return (np.mean(costs, axis=0) if costs else alike).astype(np.float32)


def middles(boxes: Boxes, width: int, height: int) -> npt.NDArray[np.float32]:
    """The middle of each box, in heights of the picture: float32 [T, 2]."""
    across, down = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    return np.stack([across * width / height, down], axis=1).astype(np.float32)
