"""The report's hosts in their published sizes: the numbers of their `config.json`, so that none has to be fetched."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_QWEN2_7B: Final = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "tie_word_embeddings": False,
}


@dataclass(frozen=True)
class HostSize:
    """One published host.

    Attributes:
        kind: transformers' name of its family.
        text: sizes of its language model.
        settings: those of the rest.
    """

    kind: str
    text: Mapping[str, Any]
    settings: Mapping[str, Any]


PUBLISHED_SIZES: Final[Mapping[str, HostSize]] = {
    "Qwen/Qwen2.5-VL-7B-Instruct": HostSize(
        "qwen2_5_vl",
        {
            **_QWEN2_7B,
            "vocab_size": 152_064,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        },
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
    ),
    "Qwen/Qwen3-VL-8B-Instruct": HostSize(
        "qwen3_vl",
        {
            "hidden_size": 4096,
            "intermediate_size": 12288,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151_936,
            "tie_word_embeddings": False,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20]},
        },
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
    ),
    "OpenGVLab/InternVL3-8B-hf": HostSize(
        "internvl",
        {**_QWEN2_7B, "model_type": "qwen2", "vocab_size": 151_674},
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
    ),
    "llava-hf/llava-onevision-qwen2-7b-ov-hf": HostSize(
        "llava_onevision",
        {**_QWEN2_7B, "model_type": "qwen2", "vocab_size": 152_128},
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
    ),
}
