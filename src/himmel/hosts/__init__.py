"""The vision-language models behind one protocol; this room knows transformers and no adapter."""

from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig

from himmel._files import nano_host_folder
from himmel.errors import HostError
from himmel.hosts.internvl import InternVLHost
from himmel.hosts.llava_onevision import LlavaOnevisionHost
from himmel.hosts.loading import Loading
from himmel.hosts.mark import vision_mark
from himmel.hosts.nano import NanoConfig, NanoHost
from himmel.hosts.protocol import Host, PositionScheme, Run
from himmel.hosts.qwen_vl import Qwen3VLHost, Qwen3VLMoeHost, Qwen25VLHost, QwenVLHost

__all__ = ["Host", "Loading", "PositionScheme", "Run", "load_host", "vision_mark"]

_PUBLISHED: dict[str, type[QwenVLHost | InternVLHost | LlavaOnevisionHost]] = {
    host.config_class.model_type: host
    for host in (Qwen25VLHost, Qwen3VLHost, Qwen3VLMoeHost, InternVLHost, LlavaOnevisionHost)
}


def load_host(host: str, *, max_anchor_tokens: int = 256) -> Host:
    """Find a host by name or folder; its weights are not loaded yet.

    Args:
        host: `nano`, a folder, or a repository name that transformers knows, such as `Qwen/Qwen2.5-VL-7B-Instruct`.
        max_anchor_tokens: most image tokens that an anchor may cost, on hosts that read pictures at their own size.

    Raises:
        HostError: there is no such host, or it is not of a supported kind.
        UsageError: `max_anchor_tokens` is below the least that the host takes for a picture.
    """
    if host == NanoHost.name:
        return NanoHost(nano_host_folder())
    settings = _settings(host)
    kind = settings["model_type"]
    if kind == NanoConfig.model_type:
        return NanoHost(host)
    if kind in _PUBLISHED:
        return _PUBLISHED[kind](host, max_anchor_tokens=max_anchor_tokens)
    supported = ", ".join(["nano", *dict.fromkeys(known.family for known in _PUBLISHED.values())])
    if settings.get("architectures") == ["LlavaQwenForCausalLM"]:
        raise HostError(
            f"The host {host!r} is a LLaVA-OneVision or LLaVA-Video in its authors' own format, which transformers "
            "cannot load; name a conversion of it (-hf), as transformers' convert_llava_onevision_weights_to_hf makes."
        )
    raise HostError(f"The host {host!r} is of the kind {kind!r}, which is not supported; choose among {supported}.")


def _settings(host: str) -> dict[str, Any]:
    try:
        # Repositories are OWNER/NAME: the network is not asked for any other name.
        if "/" not in host and not Path(host).exists():
            raise FileNotFoundError(host)
        settings, _ = PreTrainedConfig.get_config_dict(host)
        return {**settings, "model_type": str(settings["model_type"])}
    except (OSError, ValueError, KeyError) as error:
        raise HostError(f"There is no host {host!r}; name nano or a folder with a host's config.json.") from error
