"""Qwen2.5-VL of vLLM with himmel's adapter: anchors through the vision part, streams through the adapter."""

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor
from vllm.config import VllmConfig
from vllm.model_executor.models.interfaces import MultiModalEmbeddings
from vllm.model_executor.models.qwen2_5_vl import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLImagePixelInputs
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.inputs import MultiModalFeatureSpec

from himmel.adapter import MotionAdapter, StreamInputs
from himmel.errors import UsageError
from himmel.model.checkpoint import check_sizes, load_module
from himmel.serving.vllm.layout import prompt_positions
from himmel.serving.vllm.processing import (
    HimmelDummyInputs,
    HimmelMultiModalProcessor,
    HimmelProcessingInfo,
    served_by,
)


@MULTIMODAL_REGISTRY.register_processor(
    HimmelMultiModalProcessor, info=HimmelProcessingInfo, dummy_inputs=HimmelDummyInputs
)
class HimmelQwen25VLForConditionalGeneration(Qwen2_5_VLForConditionalGeneration):
    """vLLM's own model, to which a video is anchors and motion tokens.

    The adapter is float32, as it is in `HimmelForConditionalGeneration`; its tokens are rounded to the model's type.

    Raises:
        UsageError: vLLM is told to do what this model does not.
    """

    # himmel's own image processor has normalised the anchors already; vLLM would do so again.
    supports_mm_device_do_normalize = False

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        if self.is_multimodal_pruning_enabled:
            raise UsageError("Anchors' tokens cannot be pruned by vLLM; leave out --video-pruning-rate.")
        if vllm_config.compilation_config.cudagraph_mm_encoder:
            raise UsageError("The adapter does not run in CUDA graphs; leave out cudagraph_mm_encoder.")
        self.served = served_by(vllm_config.model_config)
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            self.adapter = MotionAdapter(self.served.config.adapter).eval()
        finally:
            torch.set_default_dtype(default)

    @classmethod
    def get_placeholder_str(cls, modality: str, i: int) -> str | None:
        """A video's place in a prompt."""
        del i
        if modality != "video":
            raise ValueError(f"Prompts of this model hold videos and no {modality}.")
        return "<|vision_start|><|video_pad|><|vision_end|>"

    def embed_multimodal(self, **kwargs: object) -> MultiModalEmbeddings:
        """What takes the placeholders of V videos.

        Args:
            kwargs: the fields that `HimmelMultiModalProcessor` makes, one tensor for each video.

        Returns:
            For each video [E, D], image and motion tokens in the order of the prompt.
        """
        if "pixel_values" not in kwargs:
            return []
        fields = {name: list(cast(Iterable[Tensor], value)) for name, value in kwargs.items()}
        videos = [dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=True)]
        pictures = Qwen2_5_VLImagePixelInputs(
            type="pixel_values",
            pixel_values=torch.cat(fields["pixel_values"]).to(self.visual.dtype),
            image_grid_thw=torch.cat(fields["image_grid_thw"]),
        )
        seen = list(self._process_image_input(pictures))
        embedded = []
        for video in videos:
            anchors = len(video["image_grid_thw"])
            embedded.append(self._embed_video(video, torch.cat(seen[:anchors])))
            seen = seen[anchors:]
        return embedded

    def _embed_video(self, video: dict[str, Tensor], image: Tensor) -> Tensor:
        is_motion = video["is_motion"].to(image.device)
        rows = image.new_empty(len(is_motion), image.shape[1])
        rows[~is_motion] = image
        if len(video["motion_index"]):
            tokens = self.adapter(
                StreamInputs(
                    motion=video["motion"].float(),
                    residual=video["residual"].float(),
                    context=video["context"].float(),
                    step_mask=video["step_mask"],
                    sound=video["sound"].float() if "sound" in video else None,
                )
            ).tokens
            rows[is_motion] = tokens.flatten(0, 1)[video["motion_index"].to(tokens.device)].to(image)
        return rows

    def get_mrope_input_positions(
        self, input_tokens: list[int], mm_features: list[MultiModalFeatureSpec]
    ) -> tuple[Tensor, int]:
        """Positions of a prompt, int64 [3, L], and how far the next one is ahead of L; see `prompt_positions`."""
        parts = [
            (feature.mm_position.offset, cast(Any, feature.data)["positions"].data)
            for feature in sorted(mm_features, key=lambda one: one.mm_position.offset)
        ]
        return prompt_positions(len(input_tokens), parts)

    def compute_logits(self, hidden_states: Tensor) -> Tensor | None:
        """As vLLM's; a placeholder of motion is no answer."""
        logits = super().compute_logits(hidden_states)
        if logits is not None:
            logits[..., self.served.host.motion_token_id] = -torch.inf
        return logits

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """The host's weights as vLLM reads them, and the adapter's from the checkpoint.

        Raises:
            HostError: the checkpoint is damaged.
        """
        loaded = cast(set[str], super().load_weights(weights))
        check_sizes(self.served.folder)
        load_module(self.adapter, self.served.folder / "adapter.safetensors")
        return loaded | {f"adapter.{name}" for name in self.adapter.state_dict()}
