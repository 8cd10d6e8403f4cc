"""A host with its weights, and nothing added to it: what every method asks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DynamicCache, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils.generic import ModelOutput

from himmel.adapter import AdapterOutput
from himmel.errors import HostError, UsageError
from himmel.hosts import Host, Loading, load_host
from himmel.model.injection import check_placeholders
from himmel.model.inputs import ChoiceInputs, ModelInputs
from himmel.model.prompt import IGNORED
from himmel.model.scoring import score_logits


@dataclass
class HimmelOutput(ModelOutput):
    """What `forward` returns.

    Attributes:
        loss: mean cross-entropy over the labelled tokens, in float32; None without labels.
        logits: [B, L, V], or with labels [T, V]: the predictions of the T labelled tokens, in batch order.
        motion: what the adapter made of the intervals, with how the fusion weighed their streams (`gates`); None
            without motion.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    motion: AdapterOutput | None = None


class HostModel(nn.Module):
    """A frozen host that reads prompts of pictures and text; `HimmelForConditionalGeneration` adds an adapter.

    A call keeps nothing of itself in the model, so that several threads may ask one model at once.

    Args:
        host: see `Host`.
        network: its weights, as `Host.load_network` gives them.
    """

    def __init__(self, host: Host, network: PreTrainedModel) -> None:
        super().__init__()
        self.host = host
        self.network = network

    @classmethod
    def load(cls, host: str, *, max_anchor_tokens: int = 256, loading: Loading | None = None) -> Self:
        """A host by name or folder, with its weights; see `load_host` and `Loading`.

        Raises:
            HostError: the host cannot be found or loaded.
            UsageError: the options don't go together, or this machine cannot meet them.
        """
        found = load_host(host, max_anchor_tokens=max_anchor_tokens)
        return cls(found, found.load_network(loading or Loading()))

    @property
    def device(self) -> torch.device:
        """Where inputs go: to the host's first weights, or to the CPU if a device map keeps those on disk."""
        device = self.network.device
        return torch.device("cpu") if device.type == "meta" else device

    def see(self, images: Mapping[str, Tensor]) -> BaseModelOutputWithPooling | None:
        """What the tower makes of pictures (`ModelInputs.images`); None without pictures."""
        if not images:
            return None
        return self.host.image_features(self.network, {name: value.to(self.device) for name, value in images.items()})

    def forward(
        self,
        inputs: ModelInputs,
        *,
        vision: BaseModelOutputWithPooling | None = None,
        cache: DynamicCache | None = None,
    ) -> HimmelOutput:
        """Run the model on what `PromptEncoder.encode` makes.

        With labels, the language-model head runs at the labelled positions alone.

        Args:
            inputs: the prompts; or their ends, with a mask over `cache` and these, see `ModelInputs.after`.
            vision: what `see` made of their pictures, where that was done already.
            cache: keys and values of what comes before; those of `inputs` are added to it.

        Raises:
            HostError: placeholders and motion tokens don't match, or motion comes to a model without an adapter.
        """
        vision = self.see(inputs.images) if vision is None else vision
        output = self._encode_motion(inputs, vision)
        options: dict[str, Any] = {"use_cache": cache is not None, "past_key_values": cache}
        keep = None
        if inputs.labels is not None:
            # A token is predicted at the one before it; the first of a row is predicted by none.
            keep = functional.pad(inputs.labels[:, 1:] != IGNORED, (0, 1)).to(self.device)
            # Positions for all rows, not a mask for each: that is understood by every release of transformers.
            positions = keep.any(0).nonzero()[:, 0]
            options["logits_to_keep"] = positions
        with self._injecting(inputs, output):
            logits = self.network(**self.text_arguments(inputs), **self.vision_arguments(vision), **options).logits
        loss = None
        if inputs.labels is not None and keep is not None:
            targets = functional.pad(inputs.labels[:, 1:], (0, 1), value=IGNORED).to(self.device)[keep]
            logits = logits[keep[:, positions]]
            loss = functional.cross_entropy(logits.float(), targets)
        return HimmelOutput(loss=loss, logits=logits, motion=output)

    @torch.no_grad()
    def read(
        self, inputs: ModelInputs, *, vision: BaseModelOutputWithPooling | None = None, cache: DynamicCache
    ) -> Tensor:
        """Read prompts, and predict the token after each.

        Args:
            inputs, vision, cache: see `forward`.

        Returns:
            Logits [B, V].

        Raises:
            HostError: as `forward`.
        """
        vision = self.see(inputs.images) if vision is None else vision
        options: dict[str, Any] = {"use_cache": True, "past_key_values": cache, "logits_to_keep": 1}
        with self._injecting(inputs, self._encode_motion(inputs, vision)):
            arguments = {**self.text_arguments(inputs), **self.vision_arguments(vision), **options}
            return cast(Tensor, self.network(**arguments).logits[:, -1])

    @torch.no_grad()
    def generate(
        self, inputs: ModelInputs, *, vision: BaseModelOutputWithPooling | None = None, **options: Any
    ) -> Tensor:
        """Continue prompts made by `PromptEncoder.encode`; `options` are those of transformers' `generate`.

        Args:
            inputs, vision: see `forward`.

        Returns:
            int64 [B, L + new], prompts and answers.

        Raises:
            HostError: as `forward`.
            UsageError: the prompts hold independent questions, which have no single end to continue.
        """
        if inputs.independent:
            raise UsageError(
                "Prompts of independent questions cannot be continued; encode one question for each video."
            )
        vision = self.see(inputs.images) if vision is None else vision
        output = self._encode_motion(inputs, vision)
        with self._injecting(inputs, output):
            # A placeholder of motion is no answer.
            options = {"suppress_tokens": [self.host.motion_token_id], **options}
            arguments = {**self.text_arguments(inputs), **self.vision_arguments(vision), **options}
            return cast(Any, self.network).generate(**arguments)

    @torch.no_grad()
    def score_choices(
        self,
        asked: ChoiceInputs,
        *,
        vision: BaseModelOutputWithPooling | None = None,
        cache: DynamicCache | None = None,
    ) -> list[list[Tensor]]:
        """Log-likelihood of each option of each question with its end of turn, from one forward pass.

        Args:
            asked: from `PromptEncoder.encode_choices`.
            vision, cache: see `forward`.

        Returns:
            For each sample and question, float32 [C] on the CPU, in the options' order; `weigh` makes scores of them.

        Raises:
            HostError: as `forward`.
        """
        return score_logits(self(asked.inputs, vision=vision, cache=cache).logits, asked)

    def text_arguments(self, inputs: ModelInputs) -> dict[str, Tensor]:
        """Ids, mask and positions as arguments of the network, on its device."""
        mask = inputs.attention_mask.to(self.device)
        return {
            "input_ids": inputs.input_ids.to(self.device),
            "attention_mask": self._additive(mask) if inputs.independent else mask,
            "position_ids": inputs.position_ids.to(self.device),
        }

    def vision_arguments(self, vision: BaseModelOutputWithPooling | None) -> dict[str, Any]:
        """What `see` gave, as arguments of the network in place of pictures."""
        return {} if vision is None else self.host.vision_inputs(vision)

    def _additive(self, mask: Tensor) -> Tensor:
        """A boolean mask as what attention adds to its scores; every implementation of it takes that form."""
        # The embeddings' type, since parts of a network may be kept more exact than its language model.
        dtype = cast(Tensor, self.network.get_input_embeddings().weight).dtype
        return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)

    def _encode_motion(self, inputs: ModelInputs, vision: BaseModelOutputWithPooling | None) -> AdapterOutput | None:
        """Motion tokens of the intervals in `inputs`."""
        del vision
        if inputs.motion is not None:
            raise HostError(
                f"The prompts hold motion streams and the host {self.host.folder!r} is asked without an adapter; "
                "encode them without motion."
            )
        return None

    @contextmanager
    def _injecting(self, inputs: ModelInputs, output: AdapterOutput | None) -> Iterator[None]:
        """Have motion tokens take their placeholders within the block."""
        del output
        check_placeholders(inputs.input_ids, self.host.motion_token_id, [0] * len(inputs.input_ids))
        yield
