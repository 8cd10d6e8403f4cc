"""Hosts in their published sizes with random weights: the whole vision tower, and a few layers of the language model.

Sizes are those of the models' `config.json`. What a layer costs doesn't depend on what its weights say, nor on which
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

LAYERS = 2
"""Layers of the language model that are built."""
_QWEN2_7B = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
}
_QWEN3_8B = {
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
}


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


PUBLISHED: dict[str, PublishedSize] = {
    "Qwen2.5-VL-7B": PublishedSize(
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLConfig,
        _QWEN2_7B | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}},
        {
            "vision_config": {
                "depth": 32,
                "hidden_size": 1280,
                "intermediate_size": 3420,
                "num_heads": 16,
                "out_hidden_size": 3584,
                "window_size": 112,
                "fullatt_block_indexes": [7, 15, 23, 31],
            }
        },
        256,
        _patches(32, 3 * 2 * 14 * 14),
    ),
    "Qwen3-VL-8B": PublishedSize(
        Qwen3VLForConditionalGeneration,
        Qwen3VLConfig,
        _QWEN3_8B | {"rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20]}},
        {
            "vision_config": {
                "depth": 27,
                "hidden_size": 1152,
                "intermediate_size": 4304,
                "num_heads": 16,
                "patch_size": 16,
                "out_hidden_size": 4096,
                "deepstack_visual_indexes": [8, 16, 24],
            }
        },
        256,
        _patches(32, 3 * 2 * 16 * 16),
    ),
    "InternVL3-8B": PublishedSize(
        InternVLForConditionalGeneration,
        InternVLConfig,
        _QWEN2_7B | {"model_type": "qwen2"},
        {
            "vision_config": {
                "hidden_size": 1024,
                "intermediate_size": 4096,
                "num_hidden_layers": 24,
                "num_attention_heads": 16,
                "image_size": [448, 448],
                "patch_size": [14, 14],
                "attention_bias": True,
            }
        },
        256,
        lambda network: network.get_image_features(pixel_values=torch.randn(1, 3, 448, 448), return_dict=True),
    ),
    "LLaVA-OneVision-7B": PublishedSize(
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionConfig,
        _QWEN2_7B | {"model_type": "qwen2"},
        {
            "vision_config": {
                "model_type": "siglip_vision_model",
                "hidden_size": 1152,
                "intermediate_size": 4304,
                "num_hidden_layers": 26,
                "num_attention_heads": 16,
                "image_size": 384,
                "patch_size": 14,
                "vision_use_head": False,
            }
        },
        197,
        lambda network: network.get_video_features(torch.randn(1, 1, 3, 384, 384), return_dict=True),
    ),
}
