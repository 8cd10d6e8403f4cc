"""A host with what is added to it: loading and saving, putting on and taking off, choosing what learns."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, Self, cast

from torch import Tensor, nn
from transformers import PreTrainedModel

from himmel.adapter import MotionAdapter
from himmel.errors import UsageError
from himmel.hosts import Host, Loading, load_host
from himmel.model import checkpoint
from himmel.model.attachment import Attachment
from himmel.model.config import HimmelConfig
from himmel.model.host_model import HostModel
from himmel.model.lora import lora_parameters
from himmel.model.processor import check_fit
from himmel.model.repository import local_folder

Part = Literal["adapter", "lora", "host_projector", "language_model"]


class HostedModel(HostModel):
    """What `HimmelForConditionalGeneration` does apart from computing; arguments are described there."""

    def __init__(self, config: HimmelConfig, host: Host, network: PreTrainedModel) -> None:
        super().__init__(host, network)
        self._attach(config, host)

    def _attach(self, config: HimmelConfig, host: Host) -> None:
        check_fit(config, host)
        self.config = config
        self.host = host
        self.adapter = MotionAdapter(config.adapter)
        nn.Module.to(self.adapter, self.device)
        self._attachment = Attachment(config, host, self.network)
        self.train_only(["adapter", "lora"])
        self.eval()

    @classmethod
    def from_config(
        cls,
        config: HimmelConfig,
        *,
        host: str | None = None,
        network: PreTrainedModel | None = None,
        loading: Loading | None = None,
    ) -> Self:
        """A model with an untrained adapter, drawn from the global generator, scaled to the host's embeddings.

        Args:
            config: see `HimmelConfig`.
            host: name or folder in place of the configuration's.
            network: the host's weights, where they are loaded already; LoRA is added to them in place. Excludes what
                follows.
            loading: type of the host's weights, and where to; None: as stored (nano: float32), on the CPU. The adapter
                is float32.

        Raises:
            HostError: the host cannot be found or loaded, or doesn't fit.
            UsageError: the options don't go together, or this machine cannot meet them.
        """
        model = cls._assemble(config, host, network, loading)
        model.adapter.load_backbones()
        weight = cast(Tensor, model.network.get_input_embeddings().weight)
        # A sample of rows will do, and spares a copy of the largest tables.
        model.adapter.match_scale(float(weight[:: max(1, len(weight) // 4096)].float().std()))
        return model

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        *,
        host: str | None = None,
        network: PreTrainedModel | None = None,
        loading: Loading | None = None,
        revision: str | None = None,
    ) -> Self:
        """Load what `save_pretrained` wrote, and its host; arguments as in `from_config`.

        Args:
            folder: a folder, or a repository name such as `someone/himmel-qwen2.5-vl`.
            revision: branch, tag or commit of a repository; None for its main branch.

        Raises:
            HostError: no checkpoint is there, it is damaged, or its host is missing or another one.
            UsageError: as `from_config`; or a `network` for a checkpoint that holds its own.
        """
        place = local_folder(folder, revision=revision)
        config = HimmelConfig.load(place)
        if network is not None and config.own_language_model:
            raise UsageError(f"The checkpoint {str(folder)!r} holds its own host; load it without a network.")
        model = cls._assemble(config, host, network, loading)
        checkpoint.load(model.parts, place)
        return model

    @classmethod
    def _assemble(
        cls,
        config: HimmelConfig,
        host: str | None,
        network: PreTrainedModel | None,
        loading: Loading | None,
    ) -> Self:
        if network is not None and loading is not None:
            raise UsageError("A network was given together with loading options; move the network to its device first.")
        # A copy, as merging changes a model's settings, and the caller's are the caller's.
        config = config.changed(host=host or config.host)
        found = load_host(config.host, max_anchor_tokens=config.max_anchor_tokens)
        # Before the host's weights, which may take minutes to load.
        check_fit(config, found)
        return cls(config, found, network or found.load_network(loading or Loading()))

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write what was trained, in the files that `checkpoint` lists; with motion disabled too."""
        with self._attached():
            checkpoint.save(self.parts, Path(folder))

    def carry_over(self, folder: str | os.PathLike[str]) -> None:
        """Take what an earlier checkpoint of the same host has, as far as settings agree; the rest is not changed.

        Raises:
            HostError: no checkpoint is there, or a file of it is missing, damaged or of another host.
        """
        checkpoint.carry_over(self.parts, Path(folder))

    @property
    def parts(self) -> checkpoint.Parts:
        """What a checkpoint is written from, and what loading one fills."""
        return checkpoint.Parts(
            config=self.config, host=self.host, network=self.network, adapter=self.adapter, lora=self._attachment.lora
        )

    def host_parts(self) -> dict[str, nn.Module]:
        """Parts of the host that this project trains, by name."""
        return self.host.trained_parts(self.network)

    def language_model(self) -> nn.ModuleDict:
        """The host's language model as a view: its layers with the embeddings, and the head where it is not tied."""
        decoder = cast(nn.Module, self.network.get_decoder())
        head = cast(nn.Module, self.network.get_output_embeddings())
        tied = head.weight is self.network.get_input_embeddings().weight
        return nn.ModuleDict({"decoder": decoder} if tied else {"decoder": decoder, "head": head})

    def train_only(self, parts: Sequence[Part]) -> None:
        """Choose what learns; everything else is frozen.

        Raises:
            UsageError: a part that this host doesn't have.
        """
        known: dict[str, list[nn.Parameter]] = {
            "adapter": list(self.adapter.parameters()),
            "lora": lora_parameters(self.network),
            **{name: list(module.parameters()) for name, module in self.host_parts().items()},
        }
        if self.config.own_language_model:
            known["language_model"] = list(self.language_model().parameters())
        unknown = [part for part in parts if part not in known]
        if unknown:
            raise UsageError(f"This model has no part {unknown[0]!r} to train; choose among {', '.join(known)}.")
        for name, parameters in known.items():
            for parameter in parameters:
                parameter.requires_grad_(name in parts)

    def gradient_checkpointing_enable(self, options: Mapping[str, Any] | None = None) -> None:
        """Compute layers of the host and of vision transformers in the adapter twice, to save memory."""
        chosen = dict(options or {"use_reentrant": False})
        with warnings.catch_warnings():
            # Transformers calls it so up to release 5.20, and later ones warn but know the name until release 6.
            warnings.simplefilter("ignore", FutureWarning)
            for network in (self.network, *self.adapter.transformers()):
                network.gradient_checkpointing_enable(chosen)

    def disable_motion(self) -> ExitStack:
        """Make the host what it was when it was loaded, bit for bit: no LoRA, no hook, no trained part of it.

        It stays so until `enable_motion`, or until the end of the block where it opens one:

            with model.disable_motion():
                plain = model(processor.encode(samples, questions, motion=False))

        Raises:
            UsageError: the weights are the model's own (LoRA was merged, or all was trained): nothing to go back to.
        """
        if self.config.own_language_model:
            raise UsageError(
                "This model's host has its own weights, merged or trained whole, and cannot go back to the original; "
                f"load the host {self.config.base_host or self.config.host!r} by itself."
            )
        stack = ExitStack()
        if self._attachment.is_on:
            stack.callback(self.enable_motion)
        self._attachment.take_off()
        return stack

    def enable_motion(self) -> None:
        """Undo `disable_motion`."""
        self._attachment.put_on()

    def detach(self) -> PreTrainedModel:
        """The host's network as transformers loaded it, with nothing of this model on it; keeps motion disabled.

        Let go of the model to free adapter and LoRA; `from_pretrained(..., network=network)` attaches another.

        Raises:
            UsageError: as `disable_motion`.
        """
        self.disable_motion()
        return self.network

    def load_adapter(self, folder: str | os.PathLike[str]) -> None:
        """Exchange adapter, LoRA and settings for another checkpoint's of the same host, whose weights stay loaded.

        If that fails, the model is what it was before. Parameters are new ones: make a new optimiser.

        Raises:
            HostError: no checkpoint is there, it is damaged or made for another host.
            UsageError: the weights are the model's or the checkpoint's own, see `disable_motion`.
        """
        place = local_folder(folder)
        config = HimmelConfig.load(place)
        if config.own_language_model:
            raise UsageError(f"The checkpoint {str(folder)!r} holds its own host; load it with from_pretrained.")
        config = config.changed(host=self.config.host)
        was_on = self._attachment.is_on
        former = self.config, self.host, self.adapter, self._attachment
        self.disable_motion()
        try:
            self._attach(config, load_host(config.host, max_anchor_tokens=config.max_anchor_tokens))
            checkpoint.load(self.parts, place)
        except BaseException:
            if self._attachment is not former[-1]:
                self._attachment.take_off()
            self.config, self.host, self.adapter, self._attachment = former
            if was_on:
                self.enable_motion()
            raise

    def merge_lora(self) -> None:
        """Fold LoRA into the host's weights, for speed: W + alpha / r B A, summed in float32, rounded to W's type.

        There is no way back in this model; `save_pretrained` writes the host whole from then on, in `host/`.

        Raises:
            HostError: the weights are stored in a packed form (4-bit), or LoRA's are not finite.
        """
        self._attachment.merge()
        self.config = self.config.changed(lora_rank=0, own_language_model=True)

    @contextmanager
    def _attached(self) -> Iterator[None]:
        """Everything is put on within the block, and as before after it."""
        was_on = self._attachment.is_on
        self.enable_motion()
        try:
            yield
        finally:
            if not was_on:
                self._attachment.take_off()
