"""LLaVA-OneVision, and LLaVA-Video converted to its form: pictures in one of three styles, plain positions."""

import math
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Final, Literal, cast

import cv2
import numpy as np
import torch
from torch import Tensor
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessorPil,
    LlavaOnevisionModel,
    PreTrainedModel,
)
from transformers.image_processing_utils import select_best_resolution
from transformers.modeling_outputs import BaseModelOutputWithPooling

from himmel.errors import UsageError
from himmel.hosts.boxes import NOWHERE, Boxes, grid_boxes, with_new_lines
from himmel.hosts.protocol import Picture, Run
from himmel.hosts.published import PublishedHost

Style = Literal["frame", "whole", "tiles"]
# Of a picture that is padded to a square; the tower sees a few hundred pixels.
_MOST_SIDE: Final = 4096


class LlavaOnevisionHost(PublishedHost):
    """LLaVA-OneVision of any size, in transformers' own form (`-hf`).

    The family itself shows a picture in three ways, and the budget of an anchor chooses among them:

    - `frame`, from 197 tokens on: as a video of one frame. 27 x 27 features of 384 x 384 pixels, pooled to 14 x 14, and
      the token for a new line.
    - `whole`, from 730 on: as one of several images. Padded to a square, 27 x 27 tokens and a new line.
    - `tiles`, from 1,485 on: as a single image ("anyres"). 27 x 27 tokens of the whole, then those of the tiles without
      the padding, with a new line after each row; of the configuration's `image_grid_pinpoints` those that never
      cost more than the budget are left.

    A sample keeps its pictures as `pixel_values` and their `image_sizes`.
    """

    name = "llava_onevision"
    family = "LLaVA-OneVision (-hf)"
    config_class = LlavaOnevisionConfig
    network_class = LlavaOnevisionForConditionalGeneration
    image_processor_class = LlavaOnevisionImageProcessorPil
    idle_tokens = ("<video>",)
    image_inputs = ("pixel_values", "image_sizes")

    def _set_budget(self, max_anchor_tokens: int) -> None:
        vision = self.config.vision_config
        self._size = int(vision.image_size)
        self._side = self._size // int(vision.patch_size)
        frame, whole = math.ceil(self._side / 2) ** 2 + 1, self._side**2 + 1
        if max_anchor_tokens < frame:
            raise UsageError(
                f"max_anchor_tokens={max_anchor_tokens} is less than any picture takes on this host; "
                f"give at least {frame}."
            )
        fitting = [list(point) for point in self.config.image_grid_pinpoints if self._most(point) <= max_anchor_tokens]
        self._style: Style = "tiles" if fitting else "whole" if max_anchor_tokens >= whole else "frame"
        self._fixed = whole if self._style == "whole" else frame
        self._pinpoints = fitting or [[self._size, self._size]]

    def tokens_per_anchor(self, width: int, height: int) -> int:
        """At most `max_anchor_tokens`; depends on the size in the style `tiles` alone."""
        if self._style != "tiles":
            return self._fixed
        rows, columns = self._tile_grid(width, height)
        return self._side**2 + rows * (columns + 1)

    def _tile_grid(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of the map of a picture's tiles."""
        best = select_best_resolution((height, width), self._pinpoints)
        rows, columns = (self._side * (length // self._size) for length in best)
        # As in the model: what was padded is cut off again, the same on both sides.
        if width / height > columns / rows:
            rows -= (rows - int(round(height * (columns / width), 7))) // 2 * 2
        else:
            columns -= (columns - int(round(width * (rows / height), 7))) // 2 * 2
        return self._shrunk(rows, columns)

    def _shrunk(self, rows: int, columns: int) -> tuple[int, int]:
        """A map of tiles as the model takes it: smaller if it is too large."""
        most = int(self.config.vision_aspect_ratio.removeprefix("anyres_max_"))
        ratio = math.sqrt(rows * columns / (most * self._side**2))
        if ratio > 1.1:
            rows, columns = int(rows // ratio), int(columns // ratio)
        return rows, columns

    def _most(self, resolution: Sequence[int]) -> int:
        """Most tokens of any picture for which these tiles are chosen: one side of the map is always whole."""
        rows, columns = (self._side * (length // self._size) for length in resolution)
        maps = [(row, columns) for row in range(1, rows + 1)] + [(rows, column) for column in range(1, columns + 1)]
        return self._side**2 + max(rows * (columns + 1) for rows, columns in (self._shrunk(*shape) for shape in maps))

    def prepare_images(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """Squares float32 [P, 3, 384, 384], one of each picture or all its tiles, and `image_sizes` int64 [I, 2]."""
        sizes = torch.tensor([picture.shape[:2] for picture in pictures])
        if self._style == "tiles":
            made = [self._process([picture])["pixel_values"][0] for picture in pictures]
            return {"pixel_values": torch.cat(made), "image_sizes": sizes}
        shown = [self._pad(picture) for picture in pictures] if self._style == "whole" else pictures
        # The processor puts the picture as a whole before its tiles.
        return {"pixel_values": self._process(shown)["pixel_values"][:, 0], "image_sizes": sizes}

    def _process(self, pictures: Sequence[Picture], **options: Any) -> Mapping[str, Any]:
        return super()._process(pictures, image_grid_pinpoints=self._pinpoints, **options)

    def _pad(self, picture: Picture) -> Picture:
        longest = max(picture.shape[:2])
        if longest > _MOST_SIDE:
            # As a square, a line of 100,000 pixels would take 30 GB.
            height, width = (max(1, side * _MOST_SIDE // longest) for side in picture.shape[:2])
            picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        colour = tuple(int(value * 255) for value in self._image_processor.image_mean)
        square = self._image_processor.pad_to_square(picture.transpose(2, 0, 1), colour)
        return np.ascontiguousarray(square.transpose(1, 2, 0))

    def image_grids(self, images: Mapping[str, Tensor]) -> list[tuple[int, int]]:
        """All tokens of a picture in one row: with new lines among them they are no grid."""
        return [(1, self.tokens_per_anchor(width, height)) for height, width in images["image_sizes"].tolist()]

    def token_boxes(self, grid: tuple[int, int], width: int, height: int) -> Boxes:
        """In the style `whole` the grid fills the padded square, so some tokens lie beside the picture."""
        del grid
        if self._style == "frame":
            side = math.ceil(self._side / 2)
            return np.concatenate([grid_boxes(side, side), [NOWHERE]])
        if self._style == "whole":
            wide, high = max(width, height) / width, max(width, height) / height
            square = ((1 - wide) / 2, (1 - high) / 2, (1 + wide) / 2, (1 + high) / 2)
            return np.concatenate([grid_boxes(self._side, self._side, within=square), [NOWHERE]])
        rows, columns = self._tile_grid(width, height)
        return np.concatenate([grid_boxes(self._side, self._side), with_new_lines(grid_boxes(rows, columns), rows)])

    def anchor_runs(self, grid: tuple[int, int]) -> list[Run]:
        """The placeholders and, as in the family's template, a new line."""
        return [
            Run("image", (self.image_token_id,) * (grid[0] * grid[1]), grid=grid),
            Run("text", tuple(self.encode_text("\n"))),
        ]

    def time_before(self, seconds: float) -> str:
        """Nothing: the family tells all times at once."""
        del seconds
        return ""

    def time_after(self, times: Sequence[float], duration: float) -> str:
        """The sentences that LLaVA-Video was trained with (LLaVA-NeXT, `llava/train/train.py`), word for word."""
        if not times:
            return ""
        listed = ",".join(f"{time:.2f}s" for time in times)
        return (
            f"The video lasts for {duration:.2f} seconds, and {len(times)} frames are uniformly sampled from it. "
            f"These frames are located at {listed}.Please answer the following questions related to this video.\n"
        )

    def image_features(self, network: PreTrainedModel, images: Mapping[str, Tensor]) -> BaseModelOutputWithPooling:
        """Tokens of each picture, in the language model's space."""
        family = cast(LlavaOnevisionForConditionalGeneration, network)
        if self._style == "frame":
            vision = family.get_video_features(images["pixel_values"][:, None], return_dict=True)
        elif self._style == "whole":
            # Any number but one has the model take them as several images of one square each.
            several = torch.tensor([max(2, len(images["image_sizes"]))])
            vision = family.get_image_features(**images, batch_num_images=several, return_dict=True)
        else:
            vision = _with_pinpoints(family, self._pinpoints).get_image_features(**images, return_dict=True)
        vision.pooler_output = list(vision.pooler_output)
        return cast(BaseModelOutputWithPooling, vision)


def _with_pinpoints(network: LlavaOnevisionForConditionalGeneration, allowed: list[list[int]]) -> LlavaOnevisionModel:
    """The same weights under a configuration that tells tiles by these resolutions alone.

    The class takes no argument for them, and changing the configuration of a network would show in other threads.
    """
    config = copy(network.config)
    config.image_grid_pinpoints = allowed
    view = copy(network.model)
    view.config = config
    return view
