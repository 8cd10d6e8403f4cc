"""LoRA on the host's language model, by PEFT, kept in PEFT's own file format."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from himmel._files import atomic_path
from himmel.errors import HostError

# PEFT names weights by their place inside its own wrapper; injected into a bare model, that place is left out.
_PREFIX = "base_model.model."
_WEIGHTS = "adapter_model.safetensors"
_CONFIG = "adapter_config.json"


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


@contextmanager
def lora_off(network: PreTrainedModel) -> Iterator[None]:
    """The network without LoRA within the block."""
    layers = [module for module in network.modules() if isinstance(module, BaseTunerLayer)]
    before = [(parameter, parameter.requires_grad) for parameter in lora_parameters(network)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
        # PEFT makes every matrix trainable again, whatever it was before.
        for parameter, trained in before:
            parameter.requires_grad_(trained)


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


def load_lora(network: PreTrainedModel, folder: str | os.PathLike[str]) -> None:
    """Fill LoRA's matrices, added by `add_lora`, from what `save_lora` wrote.

    Raises:
        HostError: files are missing or belong to another host or rank.
    """
    file = Path(folder) / _WEIGHTS
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
