"""The vision-language models behind one protocol (design, section 2: knows transformers, knows no adapter)."""

from transformers import PreTrainedConfig, Qwen2_5_VLConfig

from himmel._files import nano_host_folder
from himmel.errors import HostError
from himmel.hosts.nano import NanoConfig
from himmel.hosts.nano_host import NanoHost
from himmel.hosts.protocol import Host, PositionScheme, Run
from himmel.hosts.qwen2_5_vl import Qwen25VLHost

__all__ = ["Host", "PositionScheme", "Run", "load_host"]


def load_host(host: str, *, max_anchor_tokens: int = 256) -> Host:
    """Find a host by name or folder; its weights are not loaded yet.

    Args:
        host: `nano`, a folder, or a repository name that transformers knows, such as `Qwen/Qwen2.5-VL-7B-Instruct`.
        max_anchor_tokens: most image tokens that an anchor may cost, on hosts that read pictures at their own size.

    Raises:
        HostError: there is no such host, or it is none of the supported kinds.
    """
    if host == NanoHost.name:
        return NanoHost(nano_host_folder())
    kind = _kind(host)
    if kind == NanoConfig.model_type:
        return NanoHost(host)
    if kind == Qwen2_5_VLConfig.model_type:
        return Qwen25VLHost(host, max_anchor_tokens=max_anchor_tokens)
    raise HostError(f"The host {host!r} is of the kind {kind!r}; choose nano or a Qwen2.5-VL.")


def _kind(host: str) -> str:
    try:
        settings, _ = PreTrainedConfig.get_config_dict(host)
        return str(settings["model_type"])
    except (OSError, ValueError, KeyError) as error:
        raise HostError(f"There is no host {host!r}; name nano or a folder with a host's config.json.") from error
