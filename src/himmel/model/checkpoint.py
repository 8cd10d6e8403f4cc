"""A checkpoint folder: everything that was trained, nothing that the published host already has.

    config.json                   HimmelConfig
    adapter.safetensors           the adapter with its projector
    lora/                         PEFT's own form
    host_projector.safetensors    a part of the host itself, on hosts where this project trains one
    manifest.json                 sizes and hashes of all of these but config.json

Where the host's weights are no longer the published ones (`own_language_model`), the whole host is there in place
of the last two, as transformers' own classes load it:

    host/                         its weights in the type that they have in memory, its tokenizer and processor

Parameters are bfloat16; buffers (running statistics) keep their type, as rounding them would shift whole channels.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from himmel._files import atomic_folder, atomic_path
from himmel._manifest import MANIFEST, find_damage, write_manifest
from himmel.adapter import MotionAdapter
from himmel.errors import HostError
from himmel.hosts import Host
from himmel.model.config import INNER_HOST, HimmelConfig
from himmel.model.lora import load_lora, save_lora
from himmel.model.repository import local_folder
from himmel.settings import own_settings

_LORA = "lora"
_HOST_FILES = ["*.json", "*.txt", "*.jinja", "*.model"]
_WRITTEN_BY_NETWORK = ("config.json", "generation_config.json")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a model is made of: what is written to a checkpoint, and filled from one.

    Attributes:
        config: settings of the model.
        host: the configuration's host.
        network: the host's weights, with LoRA on them.
        adapter: the motion adapter.
        lora: PEFT's settings; None without LoRA.
    """

    config: HimmelConfig
    host: Host
    network: PreTrainedModel
    adapter: MotionAdapter
    lora: LoraConfig | None

    def modules(self) -> dict[str, nn.Module]:
        """What is kept in a file of its own, by the file's name without ending."""
        trained = {} if self.config.own_language_model else self.host.trained_parts(self.network)
        return {"adapter": self.adapter, **trained}


def save(parts: Parts, folder: Path) -> None:
    """Write a checkpoint; `config.json` last, so that a folder with one is whole.

    Raises:
        HimmelError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(f"Cannot make the folder {str(folder)!r} ({error.strerror}); name another one.") from error
    for name, module in parts.modules().items():
        _save_module(module, folder / f"{name}.safetensors")
    settings = own_settings(parts.config)
    if parts.lora is not None:
        save_lora(parts.network, parts.lora, folder / _LORA)
    if parts.config.own_language_model:
        _save_host(parts, folder / INNER_HOST)
        settings |= {"host": INNER_HOST, "base_host": parts.config.base_host or parts.config.host}
    write_manifest(folder, _list_weights(parts, folder))
    with atomic_path(folder / "config.json") as file:
        file.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def check_sizes(folder: Path) -> None:
    """See that the weights in a checkpoint are those that were written, by their sizes alone.

    Raises:
        HostError: one is missing, or of another size.
    """
    damage = find_damage(folder)
    if damage is not None:
        raise HostError(
            f"The checkpoint {str(folder)!r} cannot be loaded ({damage}); get it again from where it came from."
        )


def load(parts: Parts, folder: Path) -> None:
    """Fill a model that was assembled from the folder's configuration.

    Raises:
        HostError: a file is missing, damaged or of another shape.
    """
    check_sizes(folder)
    for name, module in parts.modules().items():
        load_module(module, folder / f"{name}.safetensors")
    if parts.lora is not None:
        load_lora(parts.network, parts.lora, folder / _LORA)


def carry_over(parts: Parts, folder: Path) -> None:
    """Fill a model from a checkpoint of the same host as far as their settings agree; other parts stay as they are.

    Raises:
        HostError: no checkpoint is there, or a file of it is missing, damaged or of another host.
    """
    earlier = HimmelConfig.load(folder)
    modules = parts.host.trained_parts(parts.network)
    if agrees_in_adapter(earlier, parts.config):
        modules["adapter"] = parts.adapter
    for name, module in modules.items():
        load_module(module, folder / f"{name}.safetensors")
    if parts.lora is not None and agrees_in_lora(earlier, parts.config):
        load_lora(parts.network, parts.lora, folder / _LORA)


def agrees_in_adapter(one: HimmelConfig, other: HimmelConfig) -> bool:
    """Whether the adapter of one can be taken over by the other."""
    return own_settings(one.adapter) == own_settings(other.adapter)


def agrees_in_lora(one: HimmelConfig, other: HimmelConfig) -> bool:
    """Whether LoRA of one can be taken over by the other."""
    return (one.lora_rank, one.lora_alpha) == (other.lora_rank, other.lora_alpha)


def _list_weights(parts: Parts, folder: Path) -> Iterator[str]:
    """Everything that decides answers, except `config.json`, which people edit."""
    yield from (f"{name}.safetensors" for name in parts.modules())
    for inner in (_LORA, INNER_HOST):
        yield from (path.relative_to(folder).as_posix() for path in (folder / inner).glob("*") if path.is_file())


def _save_host(parts: Parts, folder: Path) -> None:
    """The network by its own `save_pretrained`, and the published host's other files as they are."""
    source = local_folder(parts.host.folder, allow=_HOST_FILES)
    with atomic_folder(folder) as target:
        parts.network.save_pretrained(target, max_shard_size="5GB")
        for pattern in _HOST_FILES:
            for file in source.glob(pattern):
                if file.name not in (*_WRITTEN_BY_NETWORK, MANIFEST) and not file.name.endswith(".index.json"):
                    shutil.copyfile(file, target / file.name)


def _save_module(module: nn.Module, path: Path) -> None:
    parameters = {name for name, _ in module.named_parameters()}
    state = {
        name: (value.to(torch.bfloat16) if name in parameters else value).detach().contiguous().cpu()
        for name, value in module.state_dict().items()
    }
    with atomic_path(path) as file:
        save_file(state, file, metadata={"format": "pt"})


def load_module(module: nn.Module, path: Path) -> None:
    """Fill a part of a model from its file.

    Raises:
        HostError: the file is missing, damaged or of another shape.
    """
    try:
        module.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).split("\n\t")[-1].strip()
        raise HostError(
            f"The weights {str(path)!r} cannot be loaded ({reason}); name a complete checkpoint folder and the host "
            "that it belongs to."
        ) from error
