"""The vision-language models behind one protocol (design, section 2: knows transformers, knows no adapter)."""

import json
from pathlib import Path

from himmel.errors import HostError
from himmel.hosts.nano import NanoConfig, nano_host_folder
from himmel.hosts.nano_host import NanoHost
from himmel.hosts.protocol import Host, PositionScheme, Run

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
    raise HostError(f"The host {host!r} is of the kind {kind!r}; choose nano or a Qwen2.5-VL.")


def _kind(host: str) -> str:
    file = Path(host) / "config.json"
    if not file.is_file():
        raise HostError(f"There is no host {host!r}; name a folder with a config.json, or run `himmel nano get`.")
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["model_type"])
    except (ValueError, KeyError, TypeError) as error:
        raise HostError(f"The file {str(file)!r} names no model_type; it belongs to no host.") from error
