"""The settings of adapter and model: their names, defaults, presets, and what is possible.

Recipes are read and checked by these classes alone, so that no command about recipes waits for torch or transformers.
`AdapterConfig` and `HimmelConfig` are the same settings as transformers knows them.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Final, Self, cast, get_args

from huggingface_hub.dataclasses import strict

from himmel._checks import check_choice, check_number, check_whole
from himmel.choices import AnchorMode, Encoder, PlacementName, TimesName
from himmel.errors import UsageError

STREAMS = ("context", "motion", "residual", "rgb_diff", "sound")
ENCODERS: Final = get_args(Encoder)
FUSIONS = ("gated", "weighted_sum", "concat_mlp", "concat")
BRANCHES = ("resnet18", "conv")
MAX_TOKENS: Final = 256
_SIGLIP_SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "image_size",
    "patch_size",
)
_MOST_SIZE: Final = 2**20
POSITION_SCHEMES: Final = ("grid", "sequential")
CONTEXT_SOURCES: Final = ("tower", "rgb")
MOST: Final = {"num_anchors": 64, "tokens_per_interval": MAX_TOKENS, "steps_per_interval": 128}
"""Largest number of each part of the budget; the smallest is 1."""


@dataclass(kw_only=True)
class AdapterSettings:
    """Sizes and choices of a `MotionAdapter`; `paper()` and `nano()` are the two sizes that are used.

    Args:
        hidden_size: width d of the adapter (docs/method.md, section 1).
        host_hidden_size: width D of the host's token embeddings.
        tokens_per_interval: K, motion tokens of one interval, 1 to 256.
        streams: which of context, motion, residual, rgb_diff and sound are read. Of the first three, a missing one is
            replaced by zeros (section 3, item 4); rgb_diff, the difference of decoded pictures, takes motion's place
            and excludes it; sound is joined by a fusion stage of its own.
        encoder: how maps become hidden states and steps become tokens (report, I.4).
            ssm: `branch` on each map, a bidirectional state-space stack over the steps, token queries.
            resnet18: ResNet-18 on each map, token queries over the steps.
            siglip: a SigLIP ViT-B/16 on each map drawn as a picture, token queries over the steps.
            shared_vit: the same with the host's own frozen tower, whose features come in as maps.
            none: each map averaged to a coarse grid, one linear layer; tokens are averages over time.
        fusion: gated, weighted_sum, concat_mlp or concat.
        map_size: S, side of the motion and residual maps in cells.
        context_size: s, side of the context input.
        context_channels: 3 for a picture, or the channels of the host tower's feature map.
        motion_channels: channels of a motion map (horizontal and vertical velocity).
        residual_channels: channels of a residual map (luma RMS, luma mean, chroma RMS, intra share).
        branch: resnet18 (the report's shape) or conv (small, keeps positions): the context's encoder, and with
            encoder="ssm" that of the maps too.
        conv_channels: output channels of the three motion and residual convolutions, for branch="conv".
        conv_grid: side of the grid that a conv branch, or encoder="none", flattens.
        context_width: channels that a conv context branch keeps before it flattens its map.
        ssm_layers: bidirectional layers; each holds a forward and a backward mixer.
        ssm_expand: inner width of a mixer, in units of `hidden_size`.
        ssm_state_size: width of a mixer's recurrent state.
        ssm_head_dim: width of one head of a mixer.
        ssm_chunk_size: steps that the scan works on at once; sequences are padded to a multiple of it.
        attention_heads: heads of the cross-attention that reads the sequence.
        feed_forward_ratio: inner width of the feed-forward after it, in units of `hidden_size`.
        alignment_hidden_size: width between the two layers of the alignment head and of the projector.
        siglip: sizes of transformers' `SiglipVisionConfig` that differ from ViT-B/16 at 224 x 224 pixels: hidden_size,
            intermediate_size, num_hidden_layers, num_attention_heads, image_size, patch_size.
        siglip_weights: folder or repository name of a SigLIP to start from; None starts at random.

    Raises:
        UsageError: an unknown choice, no stream at all, a size below 1, or sizes that do not divide.
    """

    model_type: ClassVar[str] = "himmel_adapter"

    hidden_size: int = 768
    host_hidden_size: int = 3584
    tokens_per_interval: int = 64
    streams: tuple[str, ...] | list[str] = ("context", "motion", "residual")
    encoder: str = "ssm"
    fusion: str = "gated"
    map_size: int = 64
    context_size: int = 112
    context_channels: int = 3
    motion_channels: int = 2
    residual_channels: int = 4
    branch: str = "resnet18"
    conv_channels: tuple[int, ...] | list[int] = (32, 48, 32)
    conv_grid: int = 5
    context_width: int = 32
    ssm_layers: int = 4
    ssm_expand: int = 2
    ssm_state_size: int = 128
    ssm_head_dim: int = 64
    ssm_chunk_size: int = 16
    attention_heads: int = 12
    feed_forward_ratio: int = 3
    alignment_hidden_size: int = 1200
    siglip: dict[str, Any] | None = None
    siglip_weights: str | None = None

    def __post_init__(self) -> None:
        self.streams = tuple(self.streams)
        self.conv_channels = tuple(self.conv_channels)
        self._check()

    def _check(self) -> None:
        if not self.streams or len(set(self.streams)) < len(self.streams) or not set(self.streams) <= set(STREAMS):
            raise UsageError(f"streams={list(self.streams)} is not possible; name one or more of {', '.join(STREAMS)}.")
        if {"motion", "rgb_diff"} <= set(self.streams):
            raise UsageError(
                f"streams={list(self.streams)} is not possible; rgb_diff takes motion's place, so name one of them."
            )
        choices = (
            ("encoder", self.encoder, ENCODERS),
            ("fusion", self.fusion, FUSIONS),
            ("branch", self.branch, BRANCHES),
        )
        for name, value, allowed in choices:
            check_choice(name, value, allowed)
        unknown = sorted(set(self.siglip or {}) - set(_SIGLIP_SIZES))
        if unknown:
            raise UsageError(f"siglip has no size {unknown[0]!r}; name some of {', '.join(_SIGLIP_SIZES)}.")
        given = asdict(self)
        for name in (field.name for field in fields(AdapterSettings) if field.type is int):
            check_whole(name, given[name], 1, _MOST_SIZE)
        check_whole("tokens_per_interval", self.tokens_per_interval, 1, MAX_TOKENS)
        if len(self.conv_channels) != 3:
            raise UsageError(f"conv_channels={list(self.conv_channels)} is not possible; name three numbers.")
        inner = self.hidden_size * self.ssm_expand
        if inner % self.ssm_head_dim:
            raise UsageError(
                f"ssm_head_dim={self.ssm_head_dim} does not divide hidden_size x ssm_expand = {inner}; "
                "choose a divisor."
            )
        if self.hidden_size % self.attention_heads:
            raise UsageError(
                f"attention_heads={self.attention_heads} does not divide hidden_size={self.hidden_size}; "
                "choose a divisor."
            )

    @property
    def motion_stream(self) -> str:
        """Which stream is the motion operand: `motion` or `rgb_diff`."""
        return "rgb_diff" if "rgb_diff" in self.streams else "motion"

    @property
    def motion_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of what a step's motion branch takes."""
        return self._map_shape(3 if self.motion_stream == "rgb_diff" else self.motion_channels)

    @property
    def residual_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of what a step's residual branch takes."""
        return self._map_shape(self.residual_channels)

    @property
    def context_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of the context input."""
        return self.context_channels, self.context_size, self.context_size

    def _map_shape(self, channels: int) -> tuple[int, int, int]:
        # The host's tower has turned each map into one vector of the host's width.
        return (
            (self.host_hidden_size, 1, 1) if self.encoder == "shared_vit" else (channels, self.map_size, self.map_size)
        )

    @classmethod
    def paper(cls, host_hidden_size: int = 3584, **changes: Any) -> Self:
        """The report's size: 86 M parameters for a host of width 3584 (docs/method.md, section 4)."""
        return cls(host_hidden_size=host_hidden_size, **changes)

    @classmethod
    def nano(cls, host_hidden_size: int = 576, **changes: Any) -> Self:
        """About 2 M parameters for the embedded host: 20 x 20 maps, context from the host tower's 1472 x 7 x 7 map."""
        settings: dict[str, Any] = {
            "hidden_size": 192,
            "host_hidden_size": host_hidden_size,
            "tokens_per_interval": 9,
            "map_size": 20,
            "context_size": 7,
            "context_channels": 1472,
            "branch": "conv",
            "ssm_layers": 2,
            "ssm_expand": 1,
            "ssm_state_size": 32,
            "ssm_head_dim": 32,
            "attention_heads": 4,
            "feed_forward_ratio": 2,
            "alignment_hidden_size": 192,
        }
        return cls(**(settings | changes))


@strict
@dataclass(kw_only=True)
class ModelSettings:
    """Host, adapter, and where the adapter's tokens go in the host's prompt.

    Args:
        host: `nano`, a folder, or a repository name; in a checkpoint's `config.json`, `./host` is a folder inside it.
        adapter_config: sizes of the adapter; its `host_hidden_size` is the host's.
        num_anchors: anchors that a video is decomposed into by default, 1 to 64.
        steps_per_interval: steps of an interval by default, 1 to 128.
        anchor_mode: how anchors are placed by default, see `Video.decompose`.
        accumulate: whether the adapter reads maps that go back to the interval's anchor (`Video.decompose`).
        tokens_per_interval: motion tokens that an interval adds to the prompt, 1 to 256, the first of those that the
            adapter makes; None for all.
        placement: where motion tokens go, see `placement.place`; trained for, so that another one at run time is an
            experiment.
        position_scheme: `grid` (an interval costs about the square root of its tokens in positions), `sequential`
            (one each), or None for the one that suits the host.
        times: `text` writes into the prompt when each anchor and interval is, in the words that the host's family uses
            for frames of a video; `none` writes nothing. Trained for, as the placement is.
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

    model_type: ClassVar[str] = "himmel"
    adapter_class: ClassVar[type[AdapterSettings]] = AdapterSettings

    host: str = "nano"
    adapter_config: dict[str, Any] | AdapterSettings | None = None
    num_anchors: int = 8
    steps_per_interval: int = 16
    anchor_mode: str = "keyframe"
    accumulate: bool = False
    tokens_per_interval: int | None = None
    placement: str = "per_anchor"
    position_scheme: str | None = None
    times: str = "none"
    context_source: str = "rgb"
    max_anchor_tokens: int = 256
    lora_rank: int = 32
    lora_alpha: int = 64
    lora_dropout: float = 0.0
    own_language_model: bool = False
    base_host: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.adapter_config, AdapterSettings):
            self.adapter_config = self.adapter_class(**self.adapter_config or {})
        self.check()

    def check(self) -> None:
        """Refuse what is not possible.

        Raises:
            UsageError: see the class.
        """
        check_choice("placement", self.placement, get_args(PlacementName))
        check_choice("times", self.times, get_args(TimesName))
        check_choice("context_source", self.context_source, CONTEXT_SOURCES)
        check_choice("anchor_mode", self.anchor_mode, get_args(AnchorMode))
        if self.position_scheme is not None:
            check_choice("position_scheme", self.position_scheme, POSITION_SCHEMES)
        check_count("num_anchors", self.num_anchors)
        check_count("steps_per_interval", self.steps_per_interval)
        check_count("tokens_per_interval", self.motion_tokens)
        check_whole("max_anchor_tokens", self.max_anchor_tokens, 1, _MOST_SIZE)
        check_whole("lora_rank", self.lora_rank, 0, _MOST_SIZE)
        check_whole("lora_alpha", self.lora_alpha, 1, _MOST_SIZE)
        check_number("lora_dropout", self.lora_dropout, 0, 1)
        if self.motion_tokens > self.adapter.tokens_per_interval:
            raise UsageError(
                f"tokens_per_interval={self.motion_tokens} is not possible; the adapter makes "
                f"1 to {self.adapter.tokens_per_interval}."
            )
        if self.context_source == "rgb" and "context" in self.adapter.streams and self.adapter.context_channels != 3:
            raise UsageError(
                f"context_source='rgb' gives the adapter a small picture of 3 channels, and its context_channels is "
                f"{self.adapter.context_channels}; set the adapter's context_channels=3 and context_size=112."
            )
        if self.own_language_model and self.lora_rank:
            raise UsageError(
                f"lora_rank={self.lora_rank} cannot be combined with own_language_model; set lora_rank=0, or name the "
                "folder of the changed host as host."
            )

    @property
    def adapter(self) -> AdapterSettings:
        """`adapter_config` by its type."""
        return cast(AdapterSettings, self.adapter_config)

    @property
    def rgb_difference(self) -> bool:
        """Whether videos must be decomposed with their RGB difference, which then takes motion's place."""
        return self.adapter.motion_stream == "rgb_diff"

    @property
    def sound(self) -> bool:
        """Whether videos must be decomposed with their sound."""
        return "sound" in self.adapter.streams

    @property
    def motion_tokens(self) -> int:
        """K, motion tokens that one interval adds to the prompt."""
        return self.adapter.tokens_per_interval if self.tokens_per_interval is None else self.tokens_per_interval

    @classmethod
    def nano(cls, *, host: str = "nano", host_hidden_size: int = 576, **changes: Any) -> Self:
        """The embedded host: small adapter, context from the tower, LoRA of rank 16."""
        settings: dict[str, Any] = {
            "context_source": "tower",
            "steps_per_interval": 8,
            "lora_rank": 16,
            "lora_alpha": 32,
        }
        return cls(host=host, adapter_config=cls.adapter_class.nano(host_hidden_size), **(settings | changes))

    @classmethod
    def paper(cls, host: str, *, host_hidden_size: int = 3584, **changes: Any) -> Self:
        """The report's setting: 64 tokens an interval, LoRA of rank 32 and alpha 64."""
        return cls(host=host, adapter_config=cls.adapter_class.paper(host_hidden_size), **changes)


def own_settings(settings: AdapterSettings | ModelSettings) -> dict[str, Any]:
    """All settings that this project declares, defaults too; none of those that every transformers config carries."""
    own = AdapterSettings if isinstance(settings, AdapterSettings) else ModelSettings
    names = {field.name for field in fields(own)}
    plain = {name: value for name, value in asdict(settings).items() if name in names}
    plain["model_type"] = settings.model_type
    if isinstance(settings, ModelSettings):
        plain["adapter_config"] = own_settings(settings.adapter)
    return plain


def check_count(name: str, value: object) -> int:
    """`value` again, if it is a number of anchors, tokens or steps that a prompt can have.

    Raises:
        UsageError: it is no whole number, or out of its range, see `MOST`.
    """
    return check_whole(name, value, 1, MOST[name])
