"""A recipe's `model` section: the settings of `ModelSettings` and `AdapterSettings` by their own names.

    preset: nano | paper         the size that everything else changes
    num_anchors: 16              any setting of `ModelSettings`
    adapter: {fusion: concat}    any setting of `AdapterSettings`

So a setting that either gains is a recipe key at once, and each checks its own values.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final

from huggingface_hub.errors import StrictDataclassError

from himmel.errors import RecipeError, UsageError
from himmel.settings import AdapterSettings, ModelSettings, own_settings

_PRESETS: Final[dict[str, Callable[..., ModelSettings]]] = {"nano": ModelSettings.nano, "paper": ModelSettings.paper}
# These the host says, or training itself.
_NOT_STATED = {"host", "adapter_config", "host_hidden_size"}
_NOT_STATED |= {"own_language_model", "base_host"}
_STAGE_2_ALONE: Final = frozenset(
    {"lora_rank", "lora_alpha", "lora_dropout", "placement", "position_scheme", "times", "tokens_per_interval"}
)
"""Settings that only change prompts or LoRA, and therefore not the result of stage 1."""


def model_keys() -> list[str]:
    """Keys of a `model` section."""
    return ["preset", "adapter", *(field.name for field in fields(ModelSettings) if field.name not in _NOT_STATED)]


def adapter_keys() -> list[str]:
    """Keys of its `adapter` section."""
    return [field.name for field in fields(AdapterSettings) if field.name not in _NOT_STATED]


def unknown_key(model: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first key of a `model` section that does not exist, dotted, and the nearest that does.

    Raises:
        RecipeError: its `adapter` section is none.
    """
    adapter = model.get("adapter") or {}
    if not isinstance(adapter, Mapping):
        raise RecipeError(
            f"model.adapter = {adapter!r} is not possible; state its keys, for example model.adapter.fusion=concat."
        )
    for prefix, given, known in (("", model, model_keys()), ("adapter.", adapter, adapter_keys())):
        for key in given:
            if key not in known:
                return prefix + key, prefix + difflib.get_close_matches(str(key), known, n=1, cutoff=0.0)[0]
    return None


def make_settings(model: Mapping[str, Any], *, host: str, host_hidden_size: int | None = None) -> ModelSettings:
    """The settings that a `model` section describes.

    Args:
        model: its keys, which exist.
        host: name or folder of the host.
        host_hidden_size: of that host; None leaves the preset's, which will do to look at the other settings.

    Raises:
        RecipeError: a value that is not possible.
    """
    changes = {name: value for name, value in model.items() if name not in ("preset", "adapter")}
    preset = str(model.get("preset"))
    if preset not in _PRESETS:
        raise RecipeError(f"model.preset = {preset!r} does not exist; choose one of {', '.join(_PRESETS)}.")
    width = {} if host_hidden_size is None else {"host_hidden_size": host_hidden_size}
    try:
        plain = own_settings(_PRESETS[preset](host=host, **width))
        sizes = plain.pop("adapter_config") | dict(model.get("adapter") or {})
        del plain["model_type"], sizes["model_type"]
        return ModelSettings(**plain | changes, adapter_config=AdapterSettings(**sizes))
    except (UsageError, StrictDataclassError, TypeError, ValueError) as error:
        raise RecipeError(f"These settings of the model are not possible: {' '.join(str(error).split())}") from error


def stage_1_settings(model: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that stage 1 is run with: the recipe's, but the base's where stage 1 doesn't depend on them."""
    kept = {name: value for name, value in model.items() if name not in _STAGE_2_ALONE}
    return kept | {name: value for name, value in base.items() if name in _STAGE_2_ALONE}
