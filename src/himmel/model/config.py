"""What a trained HY-Himmel is made of, apart from its weights."""

import json
import os
from typing import Any, ClassVar, Self, cast, get_args

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig

from himmel.adapter import AdapterConfig
from himmel.adapter.config import MAX_TOKENS
from himmel.choices import AnchorMode
from himmel.errors import HostError, UsageError
from himmel.model.hub import local_folder
from himmel.model.placement import PLACEMENTS

POSITION_SCHEMES = ("grid", "sequential")
CONTEXT_SOURCES = ("tower", "rgb")
MOST = {"num_anchors": 64, "tokens_per_interval": MAX_TOKENS, "steps_per_interval": 128}
"""Largest number of each part of the budget; the smallest is 1."""
INNER_HOST = "./host"
"""What `host` says in the `config.json` of a checkpoint that holds its host."""


@strict
class HimmelConfig(PreTrainedConfig):
    """Host, adapter, and how the one's tokens stand in the other's prompt.

    Args:
        host: `nano`, a folder, or a repository name; in a checkpoint's `config.json`, `./host` is a folder inside it.
        adapter_config: sizes of the adapter; its `host_hidden_size` is the host's.
        num_anchors: anchors that a video is decomposed into by default, 1 to 64.
        steps_per_interval: steps of an interval by default, 1 to 128.
        anchor_mode: how anchors are placed by default, see `Video.decompose`.
        accumulate: whether the adapter reads maps that go back to the interval's anchor (`Video.decompose`).
        tokens_per_interval: motion tokens that an interval adds to the prompt, 1 to 256, the first of those that the
            adapter makes; None for all.
        placement: where motion tokens stand, see `placement.place`; trained for, so that another one at run time is an
            experiment.
        position_scheme: `grid` (an interval costs about the square root of its tokens in positions), `sequential`
            (one each), or None for the one that suits the host.
        context_source: `tower` (the feature map of the host's own vision tower) or `rgb` (the anchor, small).
        max_anchor_tokens: most image tokens that an anchor may cost, on hosts that read pictures at their own size.
        lora_rank: rank r of LoRA on the language model's projections; 0 for none.
        lora_alpha: LoRA's scale is `lora_alpha / lora_rank`.
        lora_dropout: dropout before LoRA's first matrix, in training.
        own_language_model: whether checkpoints hold the host whole, in `host/`, because its weights are no longer
            those of the published one: the language model was trained, or LoRA was merged into it.
        base_host: the host that such a checkpoint's own was made from; None where nothing was loaded from one.

    Raises:
        UsageError: an unknown choice, a number out of its range, or LoRA beside a language model that is trained whole.
    """

    model_type = "himmel"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {"adapter_config": AdapterConfig}

    host: str = "nano"
    adapter_config: dict[str, Any] | PreTrainedConfig | None = None
    num_anchors: int = 8
    steps_per_interval: int = 16
    anchor_mode: str = "keyframe"
    accumulate: bool = False
    tokens_per_interval: int | None = None
    placement: str = "per_anchor"
    position_scheme: str | None = None
    context_source: str = "rgb"
    max_anchor_tokens: int = 256
    lora_rank: int = 32
    lora_alpha: int = 64
    lora_dropout: float = 0.0
    own_language_model: bool = False
    base_host: str | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_choice("placement", self.placement, PLACEMENTS)
        check_choice("context_source", self.context_source, CONTEXT_SOURCES)
        check_choice("anchor_mode", self.anchor_mode, get_args(AnchorMode))
        if self.position_scheme is not None:
            check_choice("position_scheme", self.position_scheme, POSITION_SCHEMES)
        check_count("num_anchors", self.num_anchors)
        check_count("steps_per_interval", self.steps_per_interval)
        check_count("tokens_per_interval", self.motion_tokens)
        if self.motion_tokens > self.adapter.tokens_per_interval:
            raise UsageError(
                f"tokens_per_interval={self.motion_tokens} is not possible; the adapter makes "
                f"1 to {self.adapter.tokens_per_interval}."
            )
        if self.own_language_model and self.lora_rank:
            raise UsageError(
                f"lora_rank={self.lora_rank} makes no sense beside own_language_model; set lora_rank=0, or name the "
                "folder of the changed host as host."
            )

    @property
    def adapter(self) -> AdapterConfig:
        """`adapter_config` by its type."""
        return cast(AdapterConfig, self.adapter_config)

    @property
    def rgb_difference(self) -> bool:
        """Whether videos must be decomposed with their RGB difference, which then takes motion's place."""
        return self.adapter.motion_stream == "rgb_diff"

    @property
    def motion_tokens(self) -> int:
        """K, motion tokens that one interval adds to the prompt."""
        return self.adapter.tokens_per_interval if self.tokens_per_interval is None else self.tokens_per_interval

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """The configuration of a checkpoint, by folder or repository name.

        Raises:
            HostError: `folder` is no checkpoint of this project.
        """
        place = local_folder(folder)
        try:
            content = json.loads((place / "config.json").read_text(encoding="utf-8"))
            if content["model_type"] == cls.model_type:
                if content["host"] == INNER_HOST:
                    content["host"] = str(place / INNER_HOST)
                return cls.from_dict(content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise HostError(
                f"There is no readable config.json in {str(folder)!r}; name a checkpoint folder."
            ) from error
        raise HostError(
            f"The folder {str(folder)!r} holds a {content['model_type']!r} and no HY-Himmel checkpoint; "
            "name the folder that training wrote."
        )

    @classmethod
    def nano(cls, *, host: str = "nano", host_hidden_size: int = 576, **changes: Any) -> Self:
        """The embedded host: small adapter, context from the tower, LoRA of rank 16."""
        settings: dict[str, Any] = {
            "context_source": "tower",
            "steps_per_interval": 8,
            "lora_rank": 16,
            "lora_alpha": 32,
        }
        return cls(host=host, adapter_config=AdapterConfig.nano(host_hidden_size), **(settings | changes))

    @classmethod
    def paper(cls, host: str, *, host_hidden_size: int = 3584, **changes: Any) -> Self:
        """The report's setting: 64 tokens an interval, LoRA of rank 32 and alpha 64."""
        return cls(host=host, adapter_config=AdapterConfig.paper(host_hidden_size), **changes)


def check_count(name: str, value: int) -> int:
    """`value` again, if it is a number of anchors, tokens or steps that a prompt can have.

    Raises:
        UsageError: it is out of its range, see `MOST`.
    """
    if not 1 <= value <= MOST[name]:
        raise UsageError(f"{name}={value} is out of range; give a whole number from 1 to {MOST[name]}.")
    return value


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """See that `value` is one of `allowed`.

    Raises:
        UsageError: it is none.
    """
    if value not in allowed:
        raise UsageError(f"{name}={value!r} does not exist; choose one of {', '.join(allowed)}.")


AutoConfig.register(HimmelConfig.model_type, HimmelConfig)
