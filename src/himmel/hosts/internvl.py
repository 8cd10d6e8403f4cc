"""InternVL (the checkpoints with `-hf` in their name): pictures as square tiles, plain positions."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers import (
    GotOcr2ImageProcessorPil,
    InternVLConfig,
    InternVLForConditionalGeneration,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas

from himmel.errors import UsageError
from himmel.hosts.boxes import Boxes, grid_boxes
from himmel.hosts.protocol import Picture, Run
from himmel.hosts.published import PublishedHost
from himmel.hosts.tokens import token_id


class InternVLHost(PublishedHost):
    """InternVL3, and 2.5 and 3.5 in the same form, of any size.

    A tile of 448 x 448 pixels costs 256 tokens. With a budget of less than three tiles an anchor is one tile, its sides
    scaled apart. From three on it is what the family makes of an image: as many tiles as suit its shape, and when
    that is more than one, a small copy of the whole. A sample keeps its tiles as `pixel_values`, and `num_patches`,
    how many belong to each picture.
    """

    name = "internvl"
    family = "InternVL (-hf)"
    config_class = InternVLConfig
    network_class = InternVLForConditionalGeneration
    image_processor_class = GotOcr2ImageProcessorPil
    # InternVL3's tokenizer fills every row; anchors are images, so the video placeholder is never written.
    idle_tokens = ("<video>", "<quad>")
    image_inputs = ("pixel_values", "num_patches")

    def _set_budget(self, max_anchor_tokens: int) -> None:
        self._tile_tokens = int(self.config.image_seq_length)
        if max_anchor_tokens < self._tile_tokens:
            raise UsageError(
                f"max_anchor_tokens={max_anchor_tokens} is less than any picture takes on this host; "
                f"give at least {self._tile_tokens}."
            )
        # One of the budget's tiles is for the small copy.
        most = min(self._image_processor.max_patches, max_anchor_tokens // self._tile_tokens - 1)
        self._tiling = {
            "crop_to_patches": most > 1,
            "min_patches": min(self._image_processor.min_patches, max(most, 1)),
            "max_patches": max(most, 1),
        }

    def tokens_per_anchor(self, width: int, height: int) -> int:
        """Whole tiles, at most `max_anchor_tokens`; what the image processor's own rule for shapes gives."""
        return self._tile_tokens * int(self._image_processor.get_number_of_image_patches(height, width, self._tiling))

    def prepare_images(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """Tiles float32 [T, 3, 448, 448] of all pictures and `num_patches` int64 [I]."""
        made = self._process(pictures, **self._tiling)
        return {"pixel_values": made["pixel_values"], "num_patches": torch.as_tensor(made["num_patches"])}

    def image_grids(self, images: Mapping[str, Tensor]) -> list[tuple[int, int]]:
        """A row for each tile."""
        return [(tiles, self._tile_tokens) for tiles in images["num_patches"].tolist()]

    def token_boxes(self, grid: tuple[int, int], width: int, height: int) -> Boxes:
        """Tile after tile, row by row; the small copy of the whole comes last."""
        side = math.isqrt(self._tile_tokens)
        whole = grid_boxes(side, side)
        if grid[0] == 1:
            return whole
        size, tiling = self._image_processor.size, self._tiling
        columns, rows = get_optimal_tiled_canvas(
            (height, width), (size["height"], size["width"]), tiling["min_patches"], tiling["max_patches"]
        )
        tiles = [grid_boxes(side, side, within=tuple(tile)) for tile in grid_boxes(rows, columns).tolist()]
        return np.concatenate([*tiles, whole])

    def anchor_runs(self, grid: tuple[int, int]) -> list[Run]:
        """`<img>`, the placeholders, `</img>` and, as in the family's template, a new line."""
        return [
            Run("text", (token_id(self.tokenizer, "<img>"),)),
            Run("image", (self.image_token_id,) * (grid[0] * grid[1]), grid=grid),
            Run("text", (token_id(self.tokenizer, "</img>"), *self.encode_text("\n"))),
        ]

    def image_features(self, network: PreTrainedModel, images: Mapping[str, Tensor]) -> BaseModelOutputWithPooling:
        """Tokens of each picture's tiles, one tile after another, in the language model's space."""
        vision = cast(Any, network).get_image_features(pixel_values=images["pixel_values"], return_dict=True)
        tiles = vision.pooler_output.split(images["num_patches"].tolist())
        vision.pooler_output = [part.flatten(0, 1) for part in tiles]
        return cast(BaseModelOutputWithPooling, vision)

    def vision_inputs(self, vision: BaseModelOutputWithPooling) -> dict[str, Any]:
        """`mm_encoder_outputs`, with the tokens of all pictures in one tensor, as this family's class takes them.

        transformers' generation repeats it for beams, prompt by prompt, by its first axis: no row of that may hold
        tokens of two pictures.
        """
        features = list(cast(Any, vision.pooler_output))
        row = math.gcd(*(len(one) for one in features))
        tokens = torch.cat(features).unflatten(0, (-1, row))
        return super().vision_inputs(BaseModelOutputWithPooling(pooler_output=cast(Any, tokens)))
