"""A checkpoint folder: everything that was trained, nothing that the host already has.

    config.json                   HimmelConfig
    adapter.safetensors           the adapter with its projector
    lora/                         PEFT's own form
    host_projector.safetensors    a part of the host itself, on hosts where this project trains one

Parameters are bfloat16; buffers (running statistics) keep their type, as rounding them would shift whole channels.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedConfig

from himmel._files import atomic_path
from himmel.errors import HostError
from himmel.model.config import HimmelConfig
from himmel.model.lora import load_lora, save_lora

if TYPE_CHECKING:
    from himmel.model.modeling import HimmelForConditionalGeneration

_LORA = "lora"


def save(model: "HimmelForConditionalGeneration", folder: Path) -> None:
    """Write a checkpoint; `config.json` last, so that a folder with one is whole.

    Raises:
        HimmelError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(f"Cannot make the folder {str(folder)!r} ({error.strerror}); name another one.") from error
    for name, module in _modules(model).items():
        _save_module(module, folder / f"{name}.safetensors")
    if model.lora_config is not None:
        save_lora(model.network, model.lora_config, folder / _LORA)
    with atomic_path(folder / "config.json") as file:
        file.write_text(json.dumps(_own_settings(model.config), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load(model: "HimmelForConditionalGeneration", folder: Path) -> None:
    """Fill a model that was assembled from the folder's configuration.

    Raises:
        HostError: a file is missing, damaged or of another shape.
    """
    for name, module in _modules(model).items():
        _load_module(module, folder / f"{name}.safetensors")
    if model.lora_config is not None:
        load_lora(model.network, folder / _LORA)


def _own_settings(config: PreTrainedConfig) -> dict[str, Any]:
    """All settings that this project declares, defaults too; none of those that every transformers config carries."""
    common = PreTrainedConfig().to_dict()
    own = {name: value for name, value in config.to_dict().items() if name not in common}
    own["model_type"] = config.model_type
    if isinstance(config, HimmelConfig):
        own["adapter_config"] = _own_settings(config.adapter)
    return own


def _modules(model: "HimmelForConditionalGeneration") -> dict[str, nn.Module]:
    return {"adapter": model.adapter, **model.host_parts()}


def _save_module(module: nn.Module, path: Path) -> None:
    parameters = {name for name, _ in module.named_parameters()}
    state = {
        name: (value.to(torch.bfloat16) if name in parameters else value).detach().contiguous().cpu()
        for name, value in module.state_dict().items()
    }
    with atomic_path(path) as file:
        save_file(state, file, metadata={"format": "pt"})


def _load_module(module: nn.Module, path: Path) -> None:
    try:
        module.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).split("\n\t")[-1].strip()
        raise HostError(
            f"The weights {str(path)!r} cannot be loaded ({reason}); name a whole checkpoint folder and its own host."
        ) from error
