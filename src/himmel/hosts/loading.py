"""Weights of any size: on one device, spread over several, or packed into 4 bits."""

from typing import Any, Final, cast, get_args

import torch
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.utils.import_utils import is_bitsandbytes_available

from himmel.choices import DeviceMap, Quantization
from himmel.errors import HostError, UsageError

DEVICE_MAPS: Final = get_args(DeviceMap)


def load_weights(
    network_class: type[PreTrainedModel],
    folder: str,
    *,
    family: str,
    dtype: torch.dtype | None,
    device: str | torch.device | None,
    device_map: str | None,
    quantization: Quantization | None,
) -> PreTrainedModel:
    """A network by its own class, frozen and in inference mode.

    Args:
        network_class: transformers' class.
        folder: folder or repository name.
        family: name of the kind of host, for messages.
        dtype: None: as stored; with 4 bits, the type that is computed in, by default bfloat16.
        device: where to, as a whole; None: CPU, or with 4 bits the first GPU.
        device_map: `auto`, `balanced` or `sequential`, which spread layers over all devices as accelerate does.
        quantization: `4bit`, NF4 of bitsandbytes.

    Raises:
        HostError: the weights are missing or damaged.
        UsageError: the options don't go together, or this machine cannot meet them.
    """
    check_placing(device=device, device_map=device_map, quantization=quantization)
    options: dict[str, Any] = {"dtype": dtype or "auto"}
    if quantization:
        compute = dtype or torch.bfloat16
        # Packed weights cannot be moved afterwards.
        options |= {"dtype": compute, "device_map": {"": device or 0}, "quantization_config": _four_bits(compute)}
    if device_map is not None:
        options["device_map"] = device_map
    try:
        network = network_class.from_pretrained(folder, **options)
    except Exception as error:
        raise HostError(
            f"The weights of {folder!r} cannot be loaded ({' '.join(str(error).split())}); "
            f"name a whole folder of {family}."
        ) from error
    network.requires_grad_(False)
    if "device_map" not in options:
        network.to(cast(Any, device or "cpu"))
    return cast(PreTrainedModel, network.eval())


def check_placing(
    *, device: str | torch.device | None, device_map: str | None, quantization: Quantization | None
) -> None:
    """See that the options go together and that this machine can meet them; arguments as in `load_weights`.

    Raises:
        UsageError: they don't, or it can't.
    """
    if quantization is not None and quantization not in get_args(Quantization):
        raise UsageError(f"quantization={quantization!r} does not exist; choose 4bit, or leave it out.")
    if device_map is not None and device_map not in DEVICE_MAPS:
        raise UsageError(f"device_map={device_map!r} does not exist; choose one of {', '.join(DEVICE_MAPS)}.")
    if device_map is not None and device is not None:
        raise UsageError(
            f"device={str(device)!r} and device_map={device_map!r} both say where the host goes; give one of them."
        )
    if quantization and not is_bitsandbytes_available():
        raise UsageError("quantization='4bit' needs bitsandbytes, which is not installed; pip install bitsandbytes.")
    if quantization and not torch.cuda.is_available():
        raise UsageError("quantization='4bit' needs a GPU and this machine has none; leave it out.")


def _four_bits(compute: torch.dtype) -> BitsAndBytesConfig:
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )
