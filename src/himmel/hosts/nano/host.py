"""The nano host behind the common protocol."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import BaseModelOutputWithPooling

from himmel._manifest import find_damage
from himmel.choices import Scoring
from himmel.errors import HostError, UsageError
from himmel.hosts.base import BaseHost
from himmel.hosts.boxes import Boxes
from himmel.hosts.chat import ChatTokens, take_apart
from himmel.hosts.loading import AS_STORED, Loading, drop_head, load_whole, outline, without_layers
from himmel.hosts.nano.configuration import NanoConfig
from himmel.hosts.nano.modeling import NanoForConditionalGeneration
from himmel.hosts.protocol import Picture, Run

_SYSTEM = "You answer questions about a video."


class NanoHost(BaseHost):
    """EfficientNet-Lite0, projector and small Llama (see `hosts.nano.modeling`); implements `Host`.

    A sample keeps its pictures as `pictures`, uint8 [I, 3, 224, 224], or, once seen by the tower, as `tower_features`,
    float16 [I, 1472, 7, 7].

    Args:
        folder: what `himmel nano get` made.

    Raises:
        HostError: no nano host is in `folder`.
    """

    name = "nano"
    # Its matrices are so small that several threads gain little on an idle machine, and on one that is busy wait for
    # each other ten times as long as one thread computes.
    processor_threads: int | None = 1
    # It knows little without looking, and finds short and common words likely whatever a video shows:
    # `python -m benchmarks.choice_scoring`.
    scoring: Scoring = "prior"
    part_names: tuple[str, ...] = ("host_projector",)

    def __init__(self, folder: str | Path) -> None:
        self.folder = str(folder)
        if not (Path(folder) / "config.json").is_file():
            raise HostError(f"There is no nano host in {self.folder!r}; run `himmel nano get` to fetch it.")
        damage = find_damage(Path(folder))
        if damage is not None:
            raise _damaged(self.folder, damage)
        try:
            self.config = NanoConfig.from_pretrained(self.folder)
            self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(self.folder)
        except (OSError, ValueError) as error:
            raise _damaged(self.folder, "its settings or its tokenizer cannot be read") from error
        self.image_token_id = self.config.image_token_id
        self.motion_token_id = self.config.motion_token_id
        text = self.config.get_text_config()
        self.hidden_size = int(text.hidden_size)
        self.vocab_size = int(text.vocab_size)
        self.context_length = int(text.max_position_embeddings)
        self.tower_map: tuple[int, int, int] | None = (
            self.config.map_width,
            self.config.tower_grid,
            self.config.tower_grid,
        )

    @cached_property
    def chat(self) -> ChatTokens:
        """The chat template as token pieces, with a system message that is shorter than the template's own."""
        return take_apart(self.tokenizer, system=_SYSTEM)

    def tokens_per_anchor(self, width: int, height: int) -> int:
        """16 for any size: pictures are scaled to a square first."""
        del width, height
        return self.config.tokens_per_anchor

    def prepare_images(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """Scale to the tower's square; the aspect ratio is given up so that no border of the picture is."""
        size = self.config.image_size
        scaled = [cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA) for picture in pictures]
        stacked = np.stack(scaled) if scaled else np.empty((0, size, size, 3), np.uint8)
        return {"pictures": torch.from_numpy(np.ascontiguousarray(stacked.transpose(0, 3, 1, 2)))}

    def image_grids(self, images: Mapping[str, Tensor]) -> list[tuple[int, int]]:
        """One square grid per picture."""
        count = len(next(iter(images.values())))
        return [(self.config.anchor_grid, self.config.anchor_grid)] * count

    def token_boxes(self, grid: tuple[int, int], width: int, height: int) -> Boxes:
        """The quarter of the picture that each token tells of; some of them also tell of the whole."""
        del width, height
        rows, columns = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
        left, top = columns * 2 // grid[1] / 2, rows * 2 // grid[0] / 2
        return np.stack([left, top, left + 0.5, top + 0.5], axis=1)

    def join_images(self, images: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Keyword arguments `pixel_values` or `tower_features` of the network, float32.

        Raises:
            HostError: some samples hold pictures, others features.
        """
        keys = {key for item in images for key in item}
        if keys == {"tower_features"}:
            return {"tower_features": torch.cat([item["tower_features"] for item in images]).float()}
        if keys == {"pictures"}:
            return {"pixel_values": (torch.cat([item["pictures"] for item in images]).float() - 127) / 128}
        raise HostError(
            f"The samples of a batch have {sorted(keys)}; give either pictures for all of them or features for all of "
            "them."
        )

    def anchor_runs(self, grid: tuple[int, int]) -> list[Run]:
        """`<|vision_start|>`, the placeholders, `<|vision_end|>`."""
        return [
            Run("text", (self.config.vision_start_token_id,)),
            Run("image", (self.image_token_id,) * (grid[0] * grid[1]), grid=grid),
            Run("text", (self.config.vision_end_token_id,)),
        ]

    def load_network(self, loading: Loading = AS_STORED) -> PreTrainedModel:
        """Load `NanoForConditionalGeneration`; float32 by default, since bf16 is ten times slower on many CPUs.

        Raises:
            HostError: the weights are missing or damaged.
            UsageError: it is to be spread over devices or packed into 4 bits.
        """
        if loading.device_map is not None or loading.quantization is not None:
            raise UsageError(
                f"device_map={loading.device_map!r} and quantization={loading.quantization!r} are for large hosts; "
                "nano needs half a gigabyte, so leave them out."
            )
        config = NanoConfig.from_pretrained(self.folder)
        try:
            network = load_whole(
                NanoForConditionalGeneration,
                self.folder,
                config=without_layers(config) if loading.vision_alone else config,
                dtype=loading.dtype or torch.float32,
                **loading.attention_options,
            )
        except Exception as error:
            raise _damaged(self.folder, " ".join(str(error).split())) from error
        network.requires_grad_(False)
        if loading.vision_alone:
            drop_head(network)
        # A depthwise tower spends most of its time on memory; this layout makes it half again as fast on CPUs.
        network.model.tower.to(memory_format=torch.channels_last)
        return cast(PreTrainedModel, network.eval().to(cast(Any, loading.device or "cpu")))

    def outline_network(self, loading: Loading = AS_STORED) -> PreTrainedModel:
        """See `Host.outline_network`; the tower is kept in float32."""
        network = outline(NanoConfig.from_pretrained(self.folder), loading)
        cast(NanoForConditionalGeneration, network).model.tower.float()
        return network

    def image_features(self, network: PreTrainedModel, images: Mapping[str, Tensor]) -> BaseModelOutputWithPooling:
        """Projected tokens, 16 a picture; `last_hidden_state` is the tower's map [I, 1472, 7, 7]."""
        return cast(NanoForConditionalGeneration, network).get_image_features(**images)

    @torch.no_grad()
    def keep_features(self, network: PreTrainedModel, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Pictures become `tower_features`, float16 (relative error below 0.001)."""
        if "tower_features" in images:
            return dict(images)
        pixels = self.join_images([images])["pixel_values"].to(network.device)
        return {
            "tower_features": cast(NanoForConditionalGeneration, network).model.tower(pixels).half().cpu().contiguous()
        }

    def trained_parts(self, network: PreTrainedModel) -> dict[str, nn.Module]:
        """The projector, which makes image tokens of the tower's map and which no package ships."""
        return {"host_projector": cast(NanoForConditionalGeneration, network).model.projector}


def _damaged(folder: str, how: str) -> HostError:
    return HostError(f"The nano host in {folder!r} cannot be loaded ({how}); `himmel nano get` makes it again.")
