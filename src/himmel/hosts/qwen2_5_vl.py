"""Qwen2.5-VL through transformers, behind the common protocol."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling

from himmel.errors import HostError, UsageError
from himmel.hosts.chat import ChatTokens, take_apart
from himmel.hosts.nano import MOTION_TOKEN, token_id
from himmel.hosts.positions import time_row_column_positions
from himmel.hosts.protocol import Picture, PositionScheme, Run

# The system message that the model's own template falls back to.
_SYSTEM = "You are a helpful assistant."


class Qwen25VLHost:
    """Qwen2.5-VL of any size; implements `Host`.

    Anchors go in as images, each between its own vision markers. `<|motion_pad|>` takes the first embedding row that
    the tokenizer leaves unused, so that nothing is resized. A sample keeps its pictures as the patches that the
    model's image processor makes, `pixel_values`, and their `image_grid_thw`.

    Args:
        folder: a folder, or a repository name that transformers can find.
        max_anchor_tokens: most image tokens of one anchor; larger pictures are scaled down to it.

    Raises:
        HostError: no such model is there.
        UsageError: `max_anchor_tokens` is below the four that the model takes at least.
    """

    name = "qwen2_5_vl"
    position_scheme: PositionScheme = "grid"
    tower_map: tuple[int, int, int] | None = None
    lora_targets = r".*language_model\..*\.(q|k|v|o|gate|up|down)_proj"

    def __init__(self, folder: str, *, max_anchor_tokens: int) -> None:
        self.folder = folder
        try:
            self.config = Qwen2_5_VLConfig.from_pretrained(folder)
            self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
            self._image_processor = Qwen2VLImageProcessorPil.from_pretrained(folder)
        except (OSError, ValueError) as error:
            raise HostError(
                f"The host {folder!r} cannot be read ({' '.join(str(error).split())}); "
                "name a whole folder of Qwen2.5-VL."
            ) from error
        text = self.config.get_text_config()
        self.hidden_size = int(text.hidden_size)
        self.vocab_size = int(text.vocab_size)
        self.image_token_id = self.config.image_token_id
        self.motion_token_id = self._add_motion_token()
        self._limit(max_anchor_tokens)

    def _add_motion_token(self) -> int:
        self.tokenizer.add_special_tokens(
            {"additional_special_tokens": [MOTION_TOKEN]}, replace_extra_special_tokens=False
        )
        number = token_id(self.tokenizer, MOTION_TOKEN)
        if number >= self.vocab_size:
            raise HostError(
                f"The host {self.folder!r} has {self.vocab_size} embedding rows and its tokenizer fills them all, "
                "so no row is left for motion tokens; use a Qwen2.5-VL checkpoint as published."
            )
        return number

    def _limit(self, max_anchor_tokens: int) -> None:
        side = self._image_processor.patch_size * self._image_processor.merge_size
        smallest = self._image_processor.size["shortest_edge"]
        if max_anchor_tokens * side**2 < smallest:
            raise UsageError(
                f"max_anchor_tokens={max_anchor_tokens} is less than this host takes for any picture; "
                f"give at least {smallest // side**2}."
            )
        self._image_processor.size = {"shortest_edge": smallest, "longest_edge": max_anchor_tokens * side**2}

    @cached_property
    def chat(self) -> ChatTokens:
        """The chat template as token pieces."""
        return take_apart(self.tokenizer, _SYSTEM)

    def encode_text(self, text: str) -> list[int]:
        """See `Host.encode_text`."""
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def tokens_per_anchor(self, width: int, height: int) -> int:
        """At most `max_anchor_tokens`; what the image processor's own rule for sizes gives.

        Raises:
            HostError: a side is more than 200 times the other.
        """
        try:
            patches = self._image_processor.get_number_of_image_patches(height, width)
        except ValueError as error:
            raise _too_thin(width, height) from error
        return patches // self._image_processor.merge_size**2

    def prepare_images(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """Patches float32 [P, 1176] of all pictures and `image_grid_thw` int64 [I, 3].

        Raises:
            HostError: a side of a picture is more than 200 times the other.
        """
        try:
            made = self._image_processor(images=list(pictures), return_tensors="pt", input_data_format="channels_last")
        except ValueError as error:
            raise _too_thin(pictures[0].shape[1], pictures[0].shape[0]) from error
        return {"pixel_values": made["pixel_values"], "image_grid_thw": made["image_grid_thw"]}

    def image_grids(self, images: Mapping[str, Tensor]) -> list[tuple[int, int]]:
        """Patches are merged two by two before they become tokens."""
        merge = self._image_processor.merge_size
        return [(rows // merge, columns // merge) for _, rows, columns in images["image_grid_thw"].tolist()]

    def join_images(self, images: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Keyword arguments `pixel_values` and `image_grid_thw` of the network."""
        return {name: torch.cat([item[name] for item in images]) for name in ("pixel_values", "image_grid_thw")}

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

    def load_network(self, *, dtype: torch.dtype | None, device: str | torch.device | None) -> PreTrainedModel:
        """Load `Qwen2_5_VLForConditionalGeneration`, by default in the type that it is stored in.

        Raises:
            HostError: the weights are missing or damaged.
        """
        try:
            network = Qwen2_5_VLForConditionalGeneration.from_pretrained(self.folder, dtype=dtype or "auto")
        except Exception as error:
            raise HostError(
                f"The weights of {self.folder!r} cannot be loaded ({' '.join(str(error).split())}); "
                "name a whole folder of Qwen2.5-VL."
            ) from error
        network.requires_grad_(False)
        return cast(PreTrainedModel, network.eval().to(cast(Any, device or "cpu")))

    def image_features(self, network: PreTrainedModel, images: Mapping[str, Tensor]) -> BaseModelOutputWithPooling:
        """Merged tokens of each picture, in the language model's space."""
        return cast(Qwen2_5_VLForConditionalGeneration, network).get_image_features(**images, return_dict=True)

    def keep_features(self, network: PreTrainedModel, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The pictures as they are: features as wide as the language model would hardly be smaller."""
        del network
        return dict(images)

    def trained_parts(self, network: PreTrainedModel) -> dict[str, nn.Module]:
        """None: the model comes whole."""
        del network
        return {}


def _too_thin(width: int, height: int) -> HostError:
    return HostError(
        f"A picture of {width} x {height} pixels is too thin for Qwen2.5-VL, which takes sides up to 200 to 1; "
        "crop the video first."
    )
