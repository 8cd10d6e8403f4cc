"""Hosts in their published sizes with random weights: the whole vision tower, and a few layers of the language model.

Sizes are those of `himmel.hosts.sizes`. What a layer costs doesn't depend on what its weights say, nor on which
layer it is, so the time of all layers is that of a few times their share.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from transformers import (
    InternVLConfig,
    InternVLForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from himmel.hosts.sizes import PUBLISHED_SIZES

LAYERS = 2
"""Layers of the language model that are built."""


@dataclass(frozen=True)
class PublishedSize:
    """One host.

    Attributes:
        network_class: its class.
        config_class: its configuration's.
        text: sizes of the language model, all its layers counted.
        settings: those of the rest.
        tokens: image tokens of the picture that `see` shows.
        see: has the tower and projector read one picture.
    """

    network_class: type[PreTrainedModel]
    config_class: type[PreTrainedConfig]
    text: dict[str, Any]
    settings: dict[str, Any]
    tokens: int
    see: Callable[[Any], object]

    @property
    def share(self) -> float:
        """What the built layers' time is multiplied by."""
        return float(self.text["num_hidden_layers"]) / LAYERS

    def build(self) -> PreTrainedModel:
        """Random weights, float32, in inference mode; only a few rows of the vocabulary are kept."""
        text = self.text | {"num_hidden_layers": LAYERS, "vocab_size": 64, "pad_token_id": None}
        # The special tokens need rows of their own.
        names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
        config = cast(Any, self.config_class)(text_config=text, **self.settings, **dict.fromkeys(names, 1))
        return cast(PreTrainedModel, cast(Any, self.network_class)(config).eval())


def _patches(side: int, width: int) -> Callable[[Any], Tensor]:
    grid = torch.tensor([[1, side, side]])
    return lambda network: network.get_image_features(torch.randn(side * side, width), grid, return_dict=True)


def _published(
    name: str,
    network_class: type[PreTrainedModel],
    config_class: type[PreTrainedConfig],
    tokens: int,
    see: Callable[[Any], object],
) -> PublishedSize:
    size = PUBLISHED_SIZES[name]
    return PublishedSize(network_class, config_class, dict(size.text), dict(size.settings), tokens, see)


PUBLISHED: dict[str, PublishedSize] = {
    "Qwen2.5-VL-7B": _published(
        "Qwen/Qwen2.5-VL-7B-Instruct",
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLConfig,
        256,
        _patches(32, 3 * 2 * 14 * 14),
    ),
    "Qwen3-VL-8B": _published(
        "Qwen/Qwen3-VL-8B-Instruct",
        Qwen3VLForConditionalGeneration,
        Qwen3VLConfig,
        256,
        _patches(32, 3 * 2 * 16 * 16),
    ),
    "InternVL3-8B": _published(
        "OpenGVLab/InternVL3-8B-hf",
        InternVLForConditionalGeneration,
        InternVLConfig,
        256,
        lambda network: network.get_image_features(pixel_values=torch.randn(1, 3, 448, 448), return_dict=True),
    ),
    "LLaVA-OneVision-7B": _published(
        "llava-hf/llava-onevision-qwen2-7b-ov-hf",
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionConfig,
        197,
        lambda network: network.get_video_features(torch.randn(1, 1, 3, 384, 384), return_dict=True),
    ),
}
