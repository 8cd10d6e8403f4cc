"""LoRA on the host's language model, by PEFT, kept in PEFT's own file format."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from himmel._files import atomic_path
from himmel.errors import HostError

# PEFT names weights by their place inside its own wrapper; injected into a bare model, that place is left out.
_PREFIX = "base_model.model."
_WEIGHTS = "adapter_model.safetensors"
_CONFIG = "adapter_config.json"
# The name that PEFT gives to an adapter that has none.
_ADAPTER = "default"


def add_lora(network: PreTrainedModel, *, targets: str, rank: int, alpha: int, dropout: float) -> LoraConfig:
    """Add LoRA in place to the linear layers that `targets`, a regular expression, names; in float32, trainable.

    The second matrix starts at zero, so the network computes what it did before.
    """
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=targets, task_type="CAUSAL_LM", bias="none"
    )
    inject_adapter_in_model(config, network)
    for parameter in lora_parameters(network):
        parameter.data = parameter.data.float()
    return config


def lora_parameters(network: PreTrainedModel) -> list[nn.Parameter]:
    """LoRA's matrices."""
    return [parameter for name, parameter in network.named_parameters() if ".lora_" in name]


def lora_layers(network: PreTrainedModel) -> dict[str, LoraLayer]:
    """The layers that `add_lora` put in place of linear ones, by their names in the network."""
    return {name: module for name, module in network.named_modules() if isinstance(module, LoraLayer)}


def fold_lora(layers: Mapping[str, LoraLayer]) -> None:
    """Add LoRA to the weights of the linear layers beneath: W + alpha / r B A, in float32, rounded once to W's type.

    All is checked before the first weight changes, and no second copy of the network is made.

    Raises:
        HostError: weights are stored in a packed form, or LoRA's are not finite.
    """
    for name, layer in layers.items():
        weight = cast(Tensor, layer.get_base_layer().weight)
        if not weight.is_floating_point():
            raise HostError(
                f"The weights of {name!r} are stored as {weight.dtype}, to which LoRA cannot be added; "
                "load the host in bfloat16 or float32 to merge."
            )
        if not all(bool(matrix.isfinite().all()) for matrix in _matrices(layer)):
            raise HostError(f"LoRA of {name!r} holds numbers that are not finite; take an earlier checkpoint.")
    for layer in layers.values():
        weight = cast(Tensor, layer.get_base_layer().weight)
        first, second = _matrices(layer)
        delta = layer.scaling[_ADAPTER] * (second.float() @ first.float())
        weight.data = (weight.data.float() + delta.to(weight.device)).to(weight.dtype)


def _matrices(layer: LoraLayer) -> tuple[Tensor, Tensor]:
    """A [r, in] and B [out, r]."""
    parts = (layer.lora_A[_ADAPTER], layer.lora_B[_ADAPTER])
    first, second = (cast(Tensor, part.weight).detach() for part in parts)
    return first, second


def save_lora(network: PreTrainedModel, config: LoraConfig, folder: Path) -> None:
    """Write `folder` so that `PeftModel.from_pretrained(host, folder)` reads it; bfloat16."""
    folder.mkdir(exist_ok=True)
    state = {
        _PREFIX + name: value.detach().to(torch.bfloat16).contiguous().cpu()
        for name, value in get_peft_model_state_dict(network).items()
    }
    with atomic_path(folder / _WEIGHTS) as file:
        save_file(state, file, metadata={"format": "pt"})
    with atomic_path(folder / _CONFIG) as file:
        content = {key: sorted(value) if isinstance(value, set) else value for key, value in config.to_dict().items()}
        file.write_text(json.dumps(content | {"inference_mode": True}, indent=2, sort_keys=True), encoding="utf-8")


def load_lora(network: PreTrainedModel, config: LoraConfig, folder: str | os.PathLike[str]) -> None:
    """Fill LoRA's matrices, added by `add_lora`, from what `save_lora` wrote.

    Args:
        network: with LoRA's layers.
        config: their settings, with which those of the folder have to agree.
        folder: with PEFT's two files.

    Raises:
        HostError: files are missing, damaged or belong to another host or rank.
    """
    file = Path(folder) / _WEIGHTS
    try:
        settings = json.loads((Path(folder) / _CONFIG).read_text(encoding="utf-8"))
        if (settings["r"], settings["lora_alpha"]) != (config.r, config.lora_alpha):
            raise ValueError(f"rank {settings['r']} and alpha {settings['lora_alpha']} in {_CONFIG}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HostError(
            f"LoRA's settings {str(Path(folder) / _CONFIG)!r} cannot be loaded: they lack, or differ in, the rank "
            f"{config.r} or the alpha {config.lora_alpha} of config.json; get the checkpoint again from where it came "
            "from."
        ) from error
    try:
        state = {name.removeprefix(_PREFIX): value.float() for name, value in load_file(file).items()}
        wanted = {name: value.shape for name, value in get_peft_model_state_dict(network).items()}
        if wanted != {name: value.shape for name, value in state.items()}:
            raise ValueError("names or shapes differ")
        set_peft_model_state_dict(network, state)
    except Exception as error:
        raise HostError(
            f"The LoRA weights {str(file)!r} cannot be loaded into this host ({' '.join(str(error).split())}); "
            "use the host that they were trained on."
        ) from error
