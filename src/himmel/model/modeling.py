"""The whole model: a host, an adapter, and LoRA between them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils.generic import ModelOutput

from himmel.adapter import AdapterOutput, StreamInputs
from himmel.errors import HostError, UsageError
from himmel.model.injection import check_placeholders, token_rows
from himmel.model.inputs import ChoiceInputs, ModelInputs, MotionInputs
from himmel.model.lifecycle import HostedModel
from himmel.model.prompt import IGNORED
from himmel.model.sample import PreparedSample
from himmel.model.scoring import score_logits
from himmel.model.shared_tower import show_maps


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


class HimmelForConditionalGeneration(HostedModel):
    """A frozen host that reads motion tokens (docs/method.md).

    Adapter and LoRA are trainable from the start; `train_only` changes that. Make one with `from_config` (fresh) or
    `from_pretrained` (a checkpoint).

    A call keeps nothing of itself in the model, so that several threads may ask one model at once.

    Args:
        config: see `HimmelConfig`.
        host: the configuration's host.
        network: its weights, frozen, as `Host.load_network` gives them; LoRA is added to them in place.

    Raises:
        HostError: host and configuration don't fit.
    """

    def forward(self, inputs: ModelInputs) -> HimmelOutput:
        """Run the model on what `HimmelProcessor.encode` makes.

        With labels, the language-model head runs at the labelled positions alone.

        Raises:
            HostError: placeholders and motion tokens don't match, or motion comes while it is disabled.
        """
        vision = self._see(inputs.images)
        output = self._encode_motion(inputs.motion, vision)
        options: dict[str, Any] = {"use_cache": False}
        keep = None
        if inputs.labels is not None:
            # A token is predicted at the one before it; the first of a row is predicted by none.
            keep = functional.pad(inputs.labels[:, 1:] != IGNORED, (0, 1)).to(self.device)
            # Positions for all rows, not a mask for each: that is understood by every release of transformers.
            positions = keep.any(0).nonzero()[:, 0]
            options["logits_to_keep"] = positions
        with self._injecting(inputs, output):
            logits = self.network(**self._text(inputs), **self._shown(vision), **options).logits
        loss = None
        if inputs.labels is not None and keep is not None:
            targets = functional.pad(inputs.labels[:, 1:], (0, 1), value=IGNORED).to(self.device)[keep]
            logits = logits[keep[:, positions]]
            loss = functional.cross_entropy(logits.float(), targets)
        return HimmelOutput(loss=loss, logits=logits, motion=output)

    @torch.no_grad()
    def generate(self, inputs: ModelInputs, **options: Any) -> Tensor:
        """Continue prompts made by `HimmelProcessor.encode`; `options` are those of transformers' `generate`.

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
        vision = self._see(inputs.images)
        output = self._encode_motion(inputs.motion, vision)
        with self._injecting(inputs, output):
            # A placeholder of motion is no answer.
            options = {"suppress_tokens": [self.host.motion_token_id], **options}
            return cast(Any, self.network).generate(**self._text(inputs), **self._shown(vision), **options)

    @torch.no_grad()
    def score_choices(self, asked: ChoiceInputs) -> list[list[Tensor]]:
        """Log-likelihood of each option of each question with its end of turn, from one forward pass.

        Args:
            asked: from `HimmelProcessor.encode_choices`.

        Returns:
            For each sample and question, float32 [C] on the CPU, in the options' order; `weigh` makes scores of them.

        Raises:
            HostError: as `forward`.
        """
        return score_logits(self(asked.inputs).logits, asked)

    def keep_features(self, sample: PreparedSample) -> PreparedSample:
        """The same sample with its pictures exchanged for the host's frozen features, where the host has such.

        What a tower sees never changes in training; looking once saves its cost in every later epoch.
        """
        far = self.host.keep_features(self.network, sample.far_images) if sample.far_images else {}
        return replace(sample, images=self.host.keep_features(self.network, sample.images), far_images=far)

    def _shown(self, vision: BaseModelOutputWithPooling | None) -> dict[str, Any]:
        return {} if vision is None else self.host.vision_inputs(vision)

    def adapter_inputs(self, streams: StreamInputs) -> StreamInputs:
        """What the adapter takes: with encoder="shared_vit", the host's features in place of the maps."""
        if self.config.adapter.encoder != "shared_vit":
            return streams
        return show_maps(self.host, self.network, self.config.adapter, streams)

    def _see(self, images: Mapping[str, Tensor]) -> BaseModelOutputWithPooling | None:
        if not images:
            return None
        return self.host.image_features(self.network, {name: value.to(self.device) for name, value in images.items()})

    def _encode_motion(
        self, given: MotionInputs | None, vision: BaseModelOutputWithPooling | None
    ) -> AdapterOutput | None:
        if given is None or not len(given.motion):
            return None
        if not self._attachment.is_on:
            raise HostError("Motion is disabled and the inputs hold motion streams; encode them with motion=False.")
        context = given.context
        if context is None:
            if self.config.context_source != "tower" or vision is None:
                raise HostError("The inputs hold no context stream; encode them with the processor of this model.")
            context = cast(Tensor, vision.last_hidden_state)
        streams = StreamInputs(motion=given.motion, residual=given.residual, context=context, step_mask=given.step_mask)
        return cast(AdapterOutput, self.adapter(self.adapter_inputs(streams.to(self.device))))

    @contextmanager
    def _injecting(self, inputs: ModelInputs, output: AdapterOutput | None) -> Iterator[None]:
        """Check the placeholders of each prompt, and have them replaced within the block."""
        rows: list[Tensor] = []
        if output is not None and inputs.motion is not None:
            rows = token_rows(output.tokens, inputs.motion.index, inputs.motion.intervals_per_sample)
        expected = [len(part) for part in rows] or [0] * len(inputs.input_ids)
        check_placeholders(inputs.input_ids, self.host.motion_token_id, expected)
        with self._attachment.injector.holding(rows):
            yield

    def _text(self, inputs: ModelInputs) -> dict[str, Tensor]:
        mask = inputs.attention_mask.to(self.device)
        return {
            "input_ids": inputs.input_ids.to(self.device),
            "attention_mask": self._additive(mask) if inputs.independent else mask,
            "position_ids": inputs.position_ids.to(self.device),
        }

    def _additive(self, mask: Tensor) -> Tensor:
        """A boolean mask as what attention adds to its scores; every implementation of it takes that form."""
        # The embeddings' type, since parts of a network may be kept more exact than its language model.
        dtype = cast(Tensor, self.network.get_input_embeddings().weight).dtype
        return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)
