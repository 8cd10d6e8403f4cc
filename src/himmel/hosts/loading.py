"""Weights of any size: on one device, spread over several, or packed into 4 bits."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast, get_args

import torch
from torch import nn
from transformers import AutoModelForImageTextToText, BitsAndBytesConfig, PreTrainedConfig, PreTrainedModel
from transformers.utils.import_utils import is_bitsandbytes_available

from himmel._checks import check_choice
from himmel._quiet import quiet_transformers
from himmel.choices import Attention, DeviceMap, Quantization
from himmel.errors import HostError, UsageError


@dataclass(frozen=True, kw_only=True)
class Loading:
    """In which type a host's weights are loaded, and where to.

    Attributes:
        dtype: of the weights; None: as stored, but float32 for nano. With 4 bits, the type that is computed in, by
            default bfloat16.
        device: where to, as a whole; None: the CPU, or with 4 bits the first GPU.
        device_map: `auto`, `balanced`, `balanced_low_0` or `sequential`: spread the layers over all devices, as
            accelerate does; excludes `device`.
        quantization: `4bit`: pack the weights as NF4 of bitsandbytes, on a GPU.
        attention: how attention is computed; None: as transformers chooses.
        vision_alone: leave the language model's layers on the disk: the network holds the vision part and the token
            embeddings, makes features of pictures, and reads no prompt.

    Raises:
        UsageError: a value does not exist, or two exclude each other.
    """

    dtype: torch.dtype | None = None
    device: str | torch.device | None = None
    device_map: DeviceMap | None = None
    quantization: Quantization | None = None
    attention: Attention | None = None
    vision_alone: bool = False

    def __post_init__(self) -> None:
        if self.quantization is not None:
            check_choice("quantization", self.quantization, get_args(Quantization))
        if self.device_map is not None:
            check_choice("device_map", self.device_map, get_args(DeviceMap))
        if self.attention is not None:
            check_choice("attention", self.attention, get_args(Attention))
        if self.device_map is not None and self.device is not None:
            raise UsageError(
                f"device={str(self.device)!r} and device_map={self.device_map!r} both say where the host goes; "
                "give one of them."
            )

    @property
    def attention_options(self) -> dict[str, Any]:
        """For transformers' `from_pretrained`, which takes None for a choice too."""
        return {} if self.attention is None else {"attn_implementation": self.attention}

    def check_machine(self) -> None:
        """See that this machine can do it.

        Raises:
            UsageError: it can't.
        """
        if self.quantization and not is_bitsandbytes_available():
            raise UsageError(
                "quantization='4bit' needs bitsandbytes, which is not installed; pip install bitsandbytes."
            )
        if self.quantization and not torch.cuda.is_available():
            raise UsageError("quantization='4bit' needs a GPU and this machine has none; leave it out.")


AS_STORED = Loading()
"""Weights in the type that they are stored in (nano: float32), on the CPU."""


def load_weights(
    network_class: type[PreTrainedModel], folder: str, loading: Loading, *, family: str
) -> PreTrainedModel:
    """A network by its own class, frozen and in inference mode.

    Args:
        network_class: transformers' class.
        folder: folder or repository name.
        loading: the type, and where to.
        family: name of the kind of host, for messages.

    Raises:
        HostError: the weights are missing or damaged.
        UsageError: this machine cannot do what `loading` asks for.
    """
    loading.check_machine()
    options: dict[str, Any] = {"dtype": loading.dtype or "auto", **loading.attention_options}
    if loading.quantization:
        compute = loading.dtype or torch.bfloat16
        # Packed weights cannot be moved afterwards.
        place = {"": loading.device or 0}
        options |= {"dtype": compute, "device_map": place, "quantization_config": _four_bits(compute)}
    if loading.device_map is not None:
        options["device_map"] = loading.device_map
    try:
        if loading.vision_alone:
            options["config"] = without_layers(cast(Any, network_class).config_class.from_pretrained(folder))
        network = load_whole(network_class, folder, **options)
    except Exception as error:
        raise HostError(
            f"The weights of {folder!r} cannot be loaded ({' '.join(str(error).split())}); "
            f"name a complete folder of {family}."
        ) from error
    network.requires_grad_(False)
    if loading.vision_alone:
        drop_head(network)
    if "device_map" not in options:
        network.to(cast(Any, loading.device or "cpu"))
    return cast(PreTrainedModel, network.eval())


def outline(config: PreTrainedConfig, loading: Loading) -> PreTrainedModel:
    """A network of a configuration, frozen, in which every weight has its shape and type and none has any numbers.

    Args:
        config: not changed.
        loading: its `dtype` (None: float32), `attention` and `vision_alone` count.
    """
    config = deepcopy(config)
    if loading.vision_alone:
        without_layers(config)
    with torch.device("meta"):
        network = AutoModelForImageTextToText.from_config(
            config, dtype=loading.dtype or torch.float32, **loading.attention_options
        )
    network.requires_grad_(False)
    if loading.vision_alone:
        drop_head(network)
    return cast(PreTrainedModel, network.eval())


def without_layers(config: PreTrainedConfig) -> PreTrainedConfig:
    """The configuration, changed in place, of a language model that is no more than its embeddings.

    Weights that a network has no place for are never read from the disk.
    """
    text: Any = config.get_text_config()
    text.num_hidden_layers = 0
    if "layer_types" in text.to_dict():
        text.layer_types = []
    return config


def drop_head(network: PreTrainedModel) -> None:
    """Take off the output layer, which is as large as the embeddings where it isn't tied to them."""
    network.set_output_embeddings(nn.Identity())


def load_whole(network_class: type[PreTrainedModel], folder: str, **options: Any) -> PreTrainedModel:
    """transformers' own `from_pretrained`, but missing weights are an error: it would fill them with random numbers.

    Raises:
        ValueError: weights are missing.
    """
    with quiet_transformers():
        loaded: Any = network_class.from_pretrained(folder, output_loading_info=True, **options)
    network, found = loaded
    missing = sorted(found["missing_keys"])
    if missing:
        raise ValueError(f"{len(missing)} of its weights are missing, the first of them {missing[0]!r}")
    return cast(PreTrainedModel, network)


def _four_bits(compute: torch.dtype) -> BitsAndBytesConfig:
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )
