"""The whole model: a host, an adapter, and LoRA between them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from himmel.adapter import AdapterOutput, StreamInputs
from himmel.errors import HostError
from himmel.model.host_model import HimmelOutput
from himmel.model.injection import check_placeholders, token_rows
from himmel.model.inputs import ModelInputs
from himmel.model.lifecycle import HostedModel
from himmel.model.sample import PreparedSample
from himmel.model.shared_tower import show_maps

__all__ = ["HimmelForConditionalGeneration", "HimmelOutput"]


class HimmelForConditionalGeneration(HostedModel):
    """A frozen host that reads motion tokens (docs/method.md).

    Adapter and LoRA are trainable from the start; `train_only` changes that. Make one with `from_config` (fresh) or
    `from_pretrained` (a checkpoint). `forward`, `generate` and `score_choices` take what `HimmelProcessor` makes; see
    `HostModel`.

    Args:
        config: see `HimmelConfig`.
        host: the configuration's host.
        network: its weights, frozen, as `Host.load_network` gives them; LoRA is added to them in place.

    Raises:
        HostError: host and configuration don't fit.
    """

    def keep_features(self, sample: PreparedSample) -> PreparedSample:
        """The same sample with its pictures exchanged for the host's frozen features, where the host has such.

        What a tower sees never changes in training; looking once saves its cost in every later epoch.
        """
        far = self.host.keep_features(self.network, sample.far_images) if sample.far_images else {}
        return replace(sample, images=self.host.keep_features(self.network, sample.images), far_images=far)

    def adapter_inputs(self, streams: StreamInputs) -> StreamInputs:
        """What the adapter takes: with encoder="shared_vit", the host's features in place of the maps."""
        if self.config.adapter.encoder != "shared_vit":
            return streams
        return show_maps(self.host, self.network, self.config.adapter, streams)

    @torch.no_grad()
    def encode_motion(self, inputs: ModelInputs) -> AdapterOutput | None:
        """What the adapter makes of the prompts' intervals, without asking the language model; None without any.

        Raises:
            HostError: as `forward`.
        """
        looks = inputs.motion is not None and inputs.motion.context is None
        return self._encode_motion(inputs, self.see(inputs.images) if looks else None)

    def _encode_motion(self, inputs: ModelInputs, vision: BaseModelOutputWithPooling | None) -> AdapterOutput | None:
        given = inputs.motion
        if given is None or not len(given.motion):
            return None
        if not self._attachment.is_on:
            raise HostError("Motion is disabled and the inputs hold motion streams; encode them with motion=False.")
        context = given.context
        if context is None:
            if self.config.context_source != "tower" or vision is None:
                raise HostError("The inputs hold no context stream; encode them with the processor of this model.")
            context = cast(Tensor, vision.last_hidden_state)
        streams = StreamInputs(
            motion=given.motion,
            residual=given.residual,
            context=context,
            step_mask=given.step_mask,
            sound=given.sound,
        )
        return cast(AdapterOutput, self.adapter(self.adapter_inputs(streams.to(self.device))))

    @contextmanager
    def _injecting(self, inputs: ModelInputs, output: AdapterOutput | None) -> Iterator[None]:
        rows: list[Tensor] = []
        if output is not None and inputs.motion is not None:
            rows = token_rows(output.tokens, inputs.motion.index, inputs.motion.intervals_per_sample)
        expected = [len(part) for part in rows] or [0] * len(inputs.input_ids)
        check_placeholders(inputs.input_ids, self.host.motion_token_id, expected)
        with self._attachment.injector.holding(rows):
            yield
