"""The checkpoint that belongs to a host which vLLM serves, with all that its prompts take; vLLM is not needed here."""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from himmel.errors import HostError, UsageError
from himmel.hosts import Host, load_host
from himmel.hosts.qwen_vl import Qwen25VLHost
from himmel.methods.adapter_methods import Himmel
from himmel.methods.choice import METHODS, build
from himmel.model import HimmelConfig, HimmelProcessor, PreparedSample
from himmel.model.config import INNER_HOST
from himmel.model.placement import repeated_tokens
from himmel.model.repository import local_folder
from himmel.serving.vllm.names import ARCHITECTURE, CHECKPOINT
from himmel.video import Video


@dataclass(frozen=True)
class Served:
    """A checkpoint as vLLM serves it.

    Attributes:
        folder: of the checkpoint.
        config: its settings.
        host: the model that vLLM runs.
    """

    folder: Path
    config: HimmelConfig
    host: Host

    def processor(self, method: Himmel) -> HimmelProcessor:
        """What builds the prompts of a method.

        Raises:
            UsageError: more motion tokens than the adapter makes.
        """
        return HimmelProcessor(method.settings(self.config), self.host)

    def most_placeholders(self, method: Himmel) -> int:
        """The most image and motion tokens that one video takes by a method."""
        config = method.settings(self.config)
        anchors = method.num_anchors or config.num_anchors
        tokens = config.motion_tokens
        motion = anchors * tokens + repeated_tokens(anchors, tokens, placement=config.placement)
        return anchors * config.max_anchor_tokens + (motion if method.motion else 0)


def engine_options(checkpoint: str | os.PathLike[str]) -> dict[str, Any]:
    """Arguments of `vllm.LLM` that serve a checkpoint in which LoRA is merged.

    Args:
        checkpoint: folder or repository name, as `himmel merge` writes one.

    Raises:
        HostError: there is no checkpoint, or it is not one of Qwen2.5-VL.
        UsageError: LoRA is not merged into its host.

    Examples:
        >>> from vllm import LLM  # doctest: +SKIP
        >>> LLM(**engine_options("merged"), max_model_len=8192)  # doctest: +SKIP
    """
    folder = local_folder(checkpoint)
    served = load_served(str(folder / INNER_HOST), str(folder))
    overrides = {"architectures": [ARCHITECTURE], CHECKPOINT: str(served.folder)}
    return {"model": served.host.folder, "hf_overrides": overrides}


@lru_cache(maxsize=4)
def load_served(model: str, checkpoint: str | None) -> Served:
    """The checkpoint of a host's folder.

    Args:
        model: the host's folder or repository name, as vLLM is told it.
        checkpoint: the checkpoint's folder or repository name; None for the folder above `model`.

    Raises:
        HostError: there is no checkpoint there, or another kind of host.
        UsageError: vLLM would serve something else than what was trained.
    """
    folder = Path(model).parent
    try:
        if checkpoint is not None:
            folder = local_folder(checkpoint)
        config = HimmelConfig.load(folder)
    except HostError as error:
        raise HostError(
            f"The host {model!r} cannot be served with motion tokens, as {str(folder)!r} is no checkpoint; serve the "
            f"folder `host` of one that `himmel merge` wrote, or name a checkpoint as {CHECKPOINT} in --hf-overrides."
        ) from error
    if config.lora_rank:
        raise UsageError(
            f"The checkpoint {str(folder)!r} has LoRA beside its host, which a request could then be answered without; "
            "merge it first: `himmel merge CHECKPOINT -o FOLDER`, and serve FOLDER/host."
        )
    if config.own_language_model and not _same(config.host, model):
        raise UsageError(
            f"The checkpoint {str(folder)!r} holds its own host, {config.host!r}, and vLLM was told to serve "
            f"{model!r}; name the checkpoint's own."
        )
    if config.adapter.encoder == "shared_vit":
        raise UsageError(
            "An adapter with encoder='shared_vit' asks the host's own vision part about maps, which vLLM does not do; "
            "ask it with himmel itself."
        )
    host = load_host(model, max_anchor_tokens=config.max_anchor_tokens)
    if not isinstance(host, Qwen25VLHost):
        raise HostError(
            f"The host {model!r} is of the kind {host.name!r}; with vLLM only Qwen2.5-VL reads motion tokens so far. "
            "Serve it with `himmel serve`."
        )
    served = Served(folder, config, host)
    # Found out before any weights are read.
    served.processor(Himmel())
    return served


def choose(options: dict[str, Any]) -> Himmel:
    """The method that a request asks by.

    Args:
        options: of the method, and its name as `method` (`himmel` if it is left out).

    Raises:
        UsageError: there is no such method or option, or vLLM cannot ask by it.
    """
    rest = dict(options)
    method = build(rest.pop("method", Himmel.name), **rest)
    if not isinstance(method, Himmel):
        known = ", ".join(name for name, one in METHODS.items() if issubclass(one, Himmel))
        raise UsageError(f"The method {method.name!r} is not served with vLLM; choose one of {known}.")
    return method


def prepare_video(video: Video, method: Himmel, processor: HimmelProcessor) -> PreparedSample:
    """Anchors and streams of a video, as `himmel ask` reads them.

    Raises:
        VideoError, UsageError: as `Video.decompose`.
    """
    return processor.prepare(method.reading(processor.config).reading.read(video))


def _same(first: str, second: str) -> bool:
    return Path(first).resolve() == Path(second).resolve()
