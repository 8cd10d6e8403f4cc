"""Qwen2.5-VL and Qwen3-VL: pictures at their own size, positions on three axes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from transformers import (
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLMoeConfig,
    Qwen3VLMoeForConditionalGeneration,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling

from himmel.errors import HostError, UsageError
from himmel.hosts.positions import time_row_column_positions
from himmel.hosts.protocol import Picture, PositionScheme, Run
from himmel.hosts.published import PublishedHost


class QwenVLHost(PublishedHost):
    """What both generations share.

    Anchors go in as images, each between its own vision markers. A sample keeps its pictures as the patches that the
    model's image processor makes, `pixel_values`, and their `image_grid_thw`.
    """

    image_processor_class = Qwen2VLImageProcessorPil
    image_inputs = ("pixel_values", "image_grid_thw")
    position_scheme: PositionScheme = "grid"

    def _set_budget(self, max_anchor_tokens: int) -> None:
        side = self._image_processor.patch_size * self._image_processor.merge_size
        smallest = self._image_processor.size["shortest_edge"]
        if max_anchor_tokens * side**2 < smallest:
            raise UsageError(
                f"max_anchor_tokens={max_anchor_tokens} is less than any picture takes on this host; "
                f"give at least {-(-smallest // side**2)}."
            )
        self._budget = max_anchor_tokens
        self._image_processor.size = {"shortest_edge": smallest, "longest_edge": max_anchor_tokens * side**2}

    def tokens_per_anchor(self, width: int, height: int) -> int:
        """At most `max_anchor_tokens`; what the image processor's own rule for sizes gives.

        Raises:
            HostError: the picture is too thin for the family, or too thin or small for so little a budget.
        """
        try:
            patches = self._image_processor.get_number_of_image_patches(height, width)
        except ValueError as error:
            raise HostError(
                f"A picture of {width} x {height} pixels is too thin for {self.family}, which takes sides up to "
                "200 to 1; crop the video first."
            ) from error
        tokens = int(patches // self._image_processor.merge_size**2)
        if tokens > self._budget:
            raise HostError(
                f"A picture of {width} x {height} pixels costs {tokens} tokens on {self.family}, more than "
                f"max_anchor_tokens={self._budget}, as it is scaled to whole squares; give more, or crop the video."
            )
        return tokens

    def prepare_images(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """Patches float32 [P, 3 * 2 * patch side ** 2] of all pictures and `image_grid_thw` int64 [I, 3].

        Raises:
            HostError: as `tokens_per_anchor`.
        """
        for height, width in {picture.shape[:2] for picture in pictures}:
            self.tokens_per_anchor(width, height)
        made = self._process(pictures)
        return {name: made[name] for name in self.image_inputs}

    def image_grids(self, images: Mapping[str, Tensor]) -> list[tuple[int, int]]:
        """Patches are merged two by two before they become tokens."""
        merge = self._image_processor.merge_size
        return [(rows // merge, columns // merge) for _, rows, columns in images["image_grid_thw"].tolist()]

    def anchor_runs(self, grid: tuple[int, int]) -> list[Run]:
        """`<|vision_start|>`, the placeholders, `<|vision_end|>`."""
        return [
            Run("text", (self.config.vision_start_token_id,)),
            Run("image", (self.image_token_id,) * (grid[0] * grid[1]), grid=grid),
            Run("text", (self.config.vision_end_token_id,)),
        ]

    def position_ids(self, runs: Sequence[Run], *, scheme: PositionScheme, start: int = 0) -> Tensor:
        """See `time_row_column_positions`: [3, L]."""
        return time_row_column_positions(runs, scheme=scheme, start=start)

    def batch_positions(self, positions: Tensor, order: Tensor) -> Tensor:
        """[4, B, L]: the plain order, by which the model masks, then time, row and column.

        Given whole, they spare the model its own count, which reads `rope_deltas` left behind by an earlier call.
        """
        return torch.cat([order[None], positions])

    def image_features(self, network: PreTrainedModel, images: Mapping[str, Tensor]) -> BaseModelOutputWithPooling:
        """Merged tokens of each picture, in the language model's space."""
        return cast(BaseModelOutputWithPooling, cast(Any, network).get_image_features(**images, return_dict=True))


class Qwen25VLHost(QwenVLHost):
    """Qwen2.5-VL of any size."""

    name = "qwen2_5_vl"
    family = "Qwen2.5-VL"
    config_class = Qwen2_5_VLConfig
    network_class = Qwen2_5_VLForConditionalGeneration


class DeepStackHost(QwenVLHost):
    """What Qwen3-VL of any kind has besides.

    Its tower also gives features for the first layers of the language model (DeepStack). They go in with the image
    tokens, as `deepstack_features` of what `image_features` returns, and the model adds them at image placeholders
    alone: a motion token gets none. The family writes timestamps before frames of a video; anchors are images, which
    have them where the configuration asks for `times`.
    """

    family = "Qwen3-VL"

    def exchange_features(
        self, vision: BaseModelOutputWithPooling, exchange: Callable[[Sequence[Tensor]], list[Tensor]]
    ) -> BaseModelOutputWithPooling:
        """Those of the tower's last layer, and those for each of the language model's first layers."""
        given = cast(Any, vision)
        return cast(
            BaseModelOutputWithPooling,
            type(given)(
                pooler_output=exchange(given.pooler_output),
                deepstack_features=[exchange(layer) for layer in given.deepstack_features],
            ),
        )


class Qwen3VLHost(DeepStackHost):
    """Qwen3-VL of any dense size."""

    name = "qwen3_vl"
    config_class = Qwen3VLConfig
    network_class = Qwen3VLForConditionalGeneration


class Qwen3VLMoeHost(DeepStackHost):
    """Qwen3-VL with a mixture of experts, else as `Qwen3VLHost`; LoRA goes to attention and leaves experts alone."""

    name = "qwen3_vl_moe"
    config_class = Qwen3VLMoeConfig
    network_class = Qwen3VLMoeForConditionalGeneration
