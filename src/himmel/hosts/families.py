"""Every family of hosts at its published picture sizes, with none of its files: for counting pictures' tokens alone.

A family's configuration and image processor are transformers' own classes at their defaults, changed where published
checkpoints differ from them. Its tokenizer is not there, and what takes its place knows no text.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models
from transformers import (
    GotOcr2ImageProcessorPil,
    InternVLConfig,
    LlavaOnevisionConfig,
    LlavaOnevisionImageProcessorPil,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2VLImageProcessorPil,
    Qwen3VLConfig,
)
from transformers.image_processing_utils import BaseImageProcessor

from himmel.hosts.nano.configuration import NanoConfig

_TILE = {"height": 448, "width": 448}
_SETTINGS: Mapping[type[PreTrainedConfig], tuple[type[BaseImageProcessor], dict[str, Any]] | None] = {
    NanoConfig: None,
    # From 4 to 16,384 tokens of 28 x 28 pixels.
    Qwen2_5_VLConfig: (Qwen2VLImageProcessorPil, {"size": {"shortest_edge": 4 * 28**2, "longest_edge": 16384 * 28**2}}),
    # From 64 to 16,384 tokens of 32 x 32 pixels.
    Qwen3VLConfig: (
        Qwen2VLImageProcessorPil,
        {"patch_size": 16, "size": {"shortest_edge": 64 * 32**2, "longest_edge": 16384 * 32**2}},
    ),
    InternVLConfig: (GotOcr2ImageProcessorPil, {"size": _TILE}),
    LlavaOnevisionConfig: (LlavaOnevisionImageProcessorPil, {}),
}
FAMILIES: tuple[str, ...] = tuple(config.model_type for config in _SETTINGS)


def write_family(kind: str, folder: Path, settings: Mapping[str, Any] | None = None) -> None:
    """Write a folder from which `load_host` makes a host of this kind, one of `FAMILIES`; it has no weights.

    Args:
        kind: transformers' name of the family.
        folder: made if it is not there.
        settings: of the configuration, where they are not its class's defaults.
    """
    config, processor = next((config, made) for config, made in _SETTINGS.items() if config.model_type == kind)
    config(**(settings or {})).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?").save_pretrained(folder)
    if processor is not None:
        processor[0](**processor[1]).save_pretrained(folder)
