"""vLLM's multimodal processor: from a video to the tokens, positions and tensors of its part of the prompt."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers import BatchFeature, Qwen2_5_VLConfig
from vllm.inputs import MultiModalDataDict
from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalKwargsItems
from vllm.multimodal.parse import MultiModalDataItems, MultiModalDataParser
from vllm.multimodal.processing import (
    BaseDummyInputsBuilder,
    BaseMultiModalProcessor,
    BaseProcessingInfo,
    PromptReplacement,
    PromptUpdate,
    PromptUpdateDetails,
)

from himmel.choices import SOUND_SHAPE
from himmel.errors import HimmelError, HostError
from himmel.methods.adapter_methods import Himmel
from himmel.model import HimmelProcessor, PreparedSample
from himmel.serving.vllm.checkpoint import Served, choose, load_served, prepare_video
from himmel.serving.vllm.layout import lay_out_visual
from himmel.serving.vllm.media import Clip, VideoItem, VideoParser
from himmel.serving.vllm.names import CHECKPOINT

# The fields of one video; those that are read where the prompt is put together stay on the processor.
_ON_CPU = ("image_grid_thw", "prompt_ids", "positions", "is_motion", "motion_index")
_ON_DEVICE = ("pixel_values", "motion", "residual", "step_mask", "context", "sound")


class HimmelProcessingInfo(BaseProcessingInfo):
    """What vLLM asks before it has a video."""

    def get_hf_config(self) -> Qwen2_5_VLConfig:
        """The host's."""
        return cast(Qwen2_5_VLConfig, self.ctx.get_hf_config(Qwen2_5_VLConfig))

    @cached_property
    def served(self) -> Served:
        """The checkpoint, see `load_served`."""
        return served_by(self.ctx.model_config)

    def method(self, options: Mapping[str, object] = {}) -> Himmel:
        """The method of a request: its own `mm_processor_kwargs` over those of the server.

        Raises:
            UsageError: see `choose`.
        """
        return choose({**(self.ctx.get_mm_config().mm_processor_kwargs or {}), **options})

    def get_data_parser(self) -> MultiModalDataParser:
        """See `VideoParser`."""
        return VideoParser(self.served.processor(self.method()))

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        """Any number of videos, and nothing else."""
        return {"video": None}

    def get_supported_mm_processor_kwargs(self) -> dict[str, set[str]]:
        """Nothing of transformers' processor, which is not used."""
        return {}

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int]) -> Mapping[str, int]:
        """Of the server's own settings."""
        return {"video": self.served.most_placeholders(self.method())}


class HimmelDummyInputs(BaseDummyInputsBuilder[HimmelProcessingInfo]):
    """A video of the largest size, by which vLLM measures memory when it starts."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        """Placeholders alone."""
        return "<|vision_start|><|video_pad|><|vision_end|>" * mm_counts.get("video", 0)

    def get_dummy_mm_data(self, seq_len: int, mm_counts: Mapping[str, int], mm_options: object) -> MultiModalDataDict:
        """Blank anchors with nothing moving between them."""
        count = mm_counts.get("video", 0)
        return {"video": [largest_sample(self.info.served, self.info.method())] * count} if count else {}


class HimmelMultiModalProcessor(BaseMultiModalProcessor[HimmelProcessingInfo]):
    """Reads videos with himmel, and puts their placeholders into the prompt."""

    def _apply_hf_processor_main(self, mm_items: MultiModalDataItems, hf_kwargs: Mapping[str, object]) -> BatchFeature:
        try:
            method = self.info.method(hf_kwargs)
            videos = mm_items.get("video")
            found = [self._read(item, method) for item in videos.get_all()] if videos else []
        except HimmelError as error:
            # What vLLM answers a request with, in place of ending.
            raise ValueError(str(error)) from error
        # All of them have the same fields, those of the checkpoint.
        return BatchFeature({name: [one[name] for one in found] for name in (found[0] if found else ())})

    def _read(self, item: VideoItem, method: Himmel) -> dict[str, Tensor]:
        processor = self.info.served.processor(method)
        if isinstance(item, PreparedSample):
            sample = item
        else:
            video = item.open() if isinstance(item, Clip) else item
            sample = prepare_video(video, method, processor)
        check_sample(sample, processor)
        part = lay_out_visual(processor, sample, motion=method.motion)
        return {
            **sample.images,
            "motion": sample.motion,
            "residual": sample.residual,
            "step_mask": sample.step_mask,
            "context": cast(Tensor, sample.context),
            **({} if sample.sound is None else {"sound": sample.sound}),
            "prompt_ids": part.ids,
            "positions": part.positions,
            "is_motion": part.is_motion,
            "motion_index": part.index,
        }

    def _get_mm_fields_config(
        self, hf_inputs: BatchFeature, hf_processor_mm_kwargs: Mapping[str, object]
    ) -> Mapping[str, MultiModalFieldConfig]:
        return {name: MultiModalFieldConfig.batched("video", keep_on_cpu=True) for name in _ON_CPU} | {
            name: MultiModalFieldConfig.batched("video") for name in _ON_DEVICE
        }

    def _get_prompt_updates(
        self,
        mm_items: MultiModalDataItems,
        hf_processor_mm_kwargs: Mapping[str, Any],
        out_mm_kwargs: MultiModalKwargsItems,
    ) -> Sequence[PromptUpdate]:
        config, host = self.info.get_hf_config(), self.info.served.host

        def visual(index: int) -> PromptUpdateDetails:
            ids = out_mm_kwargs["video"][index]["prompt_ids"].data.tolist()
            return PromptUpdateDetails.select_token_ids(ids, [host.image_token_id, host.motion_token_id])

        # With its markers, as each anchor brings its own.
        target = [config.vision_start_token_id, config.video_token_id, config.vision_end_token_id]
        return [PromptReplacement(modality="video", target=target, replacement=visual)]


def served_by(model_config: Any) -> Served:
    """The checkpoint of what vLLM was told to serve, see `load_served`."""
    return load_served(model_config.model, model_config.hf_config.to_dict().get(CHECKPOINT))


def check_sample(sample: PreparedSample, processor: HimmelProcessor) -> None:
    """See that the adapter can read a sample; in vLLM's engine an error would end all requests.

    Raises:
        HostError: it was prepared for another one.
    """
    adapter = processor.config.adapter
    context = adapter.context_shape if sample.context is None else tuple(sample.context.shape[1:])
    found = (tuple(sample.motion.shape[2:]), tuple(sample.residual.shape[2:]), context, sample.sound is not None)
    wanted = (adapter.motion_shape, adapter.residual_shape, adapter.context_shape, processor.config.sound)
    if found != wanted or not sample.num_intervals or sample.context is None or not sample.images:
        raise HostError(
            f"The sample {sample!r} was not prepared for this checkpoint, whose adapter takes motion, residual and "
            f"context of {wanted[:3]} and {'some' if wanted[3] else 'no'} sound; prepare it with its HimmelProcessor."
        )


def largest_sample(served: Served, method: Himmel) -> PreparedSample:
    """As many anchors, tokens and steps as a method's video can have, with nothing in them."""
    processor = served.processor(method)
    config = processor.config
    count = method.num_anchors or config.num_anchors
    steps = method.steps_per_interval or config.steps_per_interval
    # Squares of 28 pixels are tokens; a square picture comes within a row and a column of the budget.
    side = 28 * max(1, int(config.max_anchor_tokens**0.5))
    adapter = config.adapter
    return PreparedSample(
        motion=torch.zeros(count, steps, *adapter.motion_shape, dtype=torch.float16),
        residual=torch.zeros(count, steps, *adapter.residual_shape, dtype=torch.float16),
        step_mask=torch.ones(count, steps, dtype=torch.bool),
        context=torch.zeros(count, *adapter.context_shape, dtype=torch.float16),
        sound=torch.zeros(count, *SOUND_SHAPE, dtype=torch.float16) if config.sound else None,
        images=served.host.prepare_images([np.zeros((side, side, 3), np.uint8)] * count),
        times=torch.arange(count, dtype=torch.float64)[:, None] + torch.tensor([0.0, 1.0]),
    )
