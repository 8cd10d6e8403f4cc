"""How many numbers a stage holds, and how long its prompts are, from settings alone."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from himmel.adapter import MotionAdapter, StreamInputs
from himmel.choices import SOUND_SHAPE
from himmel.hosts import Host, Loading, load_host
from himmel.hosts.families import write_family
from himmel.hosts.nano import NanoConfig
from himmel.hosts.sizes import PUBLISHED_SIZES
from himmel.model import HimmelConfig, HimmelForConditionalGeneration
from himmel.training.memory.kept import kept_bytes
from himmel.training.memory.layers import LayerSize, Way
from himmel.training.plan import Stage
from himmel.training.recipe import ProjectorSection, Stage1Section, Stage2Section
from himmel.training.run import alignment_model, instruct_model
from himmel.training.settings import make_settings
from himmel.training.stills import still_model

_PICTURE: Final = (1280, 720)
_TEXT: Final = 512
"""Tokens of questions, answers and markers, where no budget of tokens is set."""
_ANSWER: Final = 128


@dataclass(frozen=True, kw_only=True)
class StageSizes:
    """What a stage's model is made of, on one device that holds all of it.

    Attributes:
        host: frozen numbers in the type that the host is loaded in.
        own: frozen numbers in float32 in any case.
        learned_host: numbers that learn, in the type that the host is loaded in.
        learned: numbers that learn, in float32.
        tensors: how many tensors those that learn are.
        idle: of `learned_host`, those that never get a gradient: embeddings are read without one (docs/method.md,
            equation 8).
        buffers: bytes of statistics and tables.
        way: how the language model takes part; None where it is not there.
        layers: of the language model.
        layer: one of them.
        rows: of its vocabulary.
        anchors: and intervals of a video.
        prompt: tokens of the longest prompt.
        answer: of these, tokens that are learned.
        picture: image tokens of a picture.
        projected: numbers that the host's own projector keeps of a picture, where it learns; else 0.
        tower_width: of the vision tower; 0 where it does not run in training.
        interval: bytes that the adapter keeps of an interval, by precision.
    """

    host: int
    own: int
    learned_host: int
    learned: int
    tensors: int
    idle: int
    buffers: int
    way: Way | None
    layers: int
    layer: LayerSize
    rows: int
    anchors: int
    prompt: int
    answer: int
    picture: int
    projected: int
    tower_width: int
    interval: dict[str, int]


# Of which the nano tower's classifier speaks, and what it may say of each.
_REGIONS: Final = 6
_LABELS: Final = 1000
_NO_INTERVAL: Final = {"float32": 0, "bfloat16": 0}


def measure_stage(stage: Stage) -> StageSizes:
    """Build a stage's model without the host's weights, and count.

    The adapter is built in full, and run on noise, since it is small beside a host and of many kinds.

    Raises:
        HostError: the host is not one of the report's, and its small files can't be found.
    """
    section = stage.section
    assert section is not None
    with _host_folder(stage.host) as folder:
        host = load_host(folder, max_anchor_tokens=make_settings(stage.model, host=stage.host).max_anchor_tokens)
        settings = make_settings(stage.model, host=folder, host_hidden_size=host.hidden_size)
        config = HimmelConfig.of(settings)
        aligns = isinstance(section, Stage1Section)
        if aligns:
            config = config.changed(lora_rank=0)
        # A type that nothing else has marks what is in the host's own type.
        network = host.outline_network(Loading(dtype=torch.bfloat16, vision_alone=aligns))
        model = HimmelForConditionalGeneration(config, host, network)
        stills = isinstance(section, ProjectorSection)
        learner: nn.Module
        if isinstance(section, Stage1Section):
            learner = alignment_model(section, model)
        else:
            learner = still_model(model) if stills else instruct_model(stage, model)
        on_files = stage.data is not None and stage.data.source == "files"
        sees = not aligns or on_files or config.adapter.encoder == "shared_vit"
        held = nn.ModuleList([learner, model.network] if aligns and sees else [learner])
        text = network.config.get_text_config()
        return _count(
            held,
            StageSizes(
                **dict.fromkeys(("host", "own", "learned_host", "learned", "tensors", "buffers"), 0),
                idle=_idle(network),
                way=None if aligns or stills else _way(stage),
                layers=int(text.num_hidden_layers),
                layer=LayerSize.of(text, rank=config.lora_rank),
                rows=host.vocab_size,
                anchors=1 if stills else config.num_anchors,
                prompt=0 if stills else _prompt(stage, host, config),
                answer=_ANSWER,
                picture=host.tokens_per_anchor(*_PICTURE),
                projected=_projected(stage, host, network),
                tower_width=_tower_width(network) if sees and aligns else 0,
                interval=_NO_INTERVAL if stills else _interval_bytes(model.adapter, config.steps_per_interval),
            ),
        )


@contextmanager
def _host_folder(name: str) -> Iterator[str]:
    """A host that `load_host` takes: a published one by its numbers alone, any other as it is."""
    if name not in PUBLISHED_SIZES:
        yield name
        return
    size = PUBLISHED_SIZES[name]
    with tempfile.TemporaryDirectory(prefix="himmel-outline-") as scratch:
        write_family(size.kind, Path(scratch), {"text_config": dict(size.text), **size.settings})
        yield scratch


def _count(held: nn.Module, sizes: StageSizes) -> StageSizes:
    host = own = learned_host = learned = tensors = buffers = 0
    for parameter in held.parameters():
        count, of_host = parameter.numel(), parameter.dtype is torch.bfloat16
        if parameter.requires_grad:
            tensors += 1
            learned_host, learned = learned_host + count * of_host, learned + count * (not of_host)
        else:
            host, own = host + count * of_host, own + count * (not of_host)
    for buffer in held.buffers():
        of_host = buffer.dtype is torch.bfloat16
        host, buffers = host + buffer.numel() * of_host, buffers + buffer.nbytes * (not of_host)
    return replace(
        sizes, host=host, own=own, learned_host=learned_host, learned=learned, tensors=tensors, buffers=buffers
    )


def _idle(network: nn.Module) -> int:
    """Embeddings that would learn, where they are not the head's weights too."""
    host = cast(PreTrainedModel, network)
    embeddings, head = cast(nn.Embedding, host.get_input_embeddings()).weight, host.get_output_embeddings()
    tied = isinstance(head, nn.Linear) and head.weight is embeddings
    return embeddings.numel() if embeddings.requires_grad and not tied else 0


def _way(stage: Stage) -> Way:
    if not isinstance(stage.section, Stage2Section):
        return "frozen"
    return "full" if stage.section.trains == "full" else "lora"


def _prompt(stage: Stage, host: Host, config: HimmelConfig) -> int:
    """The budget of tokens, where there is one; else a video's pictures and motion with some text."""
    if stage.data is not None and stage.data.source == "files" and stage.data.max_tokens is not None:
        return min(stage.data.max_tokens, host.context_length)
    shown = host.tokens_per_anchor(*_PICTURE) + (
        config.motion_tokens if isinstance(stage.section, Stage2Section) else 0
    )
    return min(config.num_anchors * shown + _TEXT, host.context_length)


def _projected(stage: Stage, host: Host, network: PreTrainedModel) -> int:
    """What goes into each of its layers (`NanoProjector`): convolutions, a transformer, words."""
    section = stage.section
    learns = isinstance(section, ProjectorSection) or (isinstance(section, Stage2Section) and section.also_train)
    if not learns or host.tower_map is None:
        return 0
    config = cast(NanoConfig, network.config)
    width, places, slots = config.projector_width, config.tower_grid**2, config.tokens_per_anchor
    side, channels = config.picture_size, 32
    pictured = (3 + 2 * channels) * side**2
    while side > config.tower_grid:
        channels, side = min(2 * channels, width), side // 2
        # Before the norm, after it, and after its activation.
        pictured += 3 * channels * side**2
    layers = 16 * width * (places + slots) * config.projector_layers
    words = 2 * (_REGIONS * _LABELS + len(config.image_words or ()) * slots)
    return pictured + places * config.tower_width + layers + words + 2 * width * slots


def _tower_width(network: PreTrainedModel) -> int:
    vision = network.config.to_dict().get("vision_config") or {}
    return int(vision.get("hidden_size") or 0)


def _interval_bytes(adapter: MotionAdapter, steps: int) -> dict[str, int]:
    """What two intervals make the adapter keep beyond one."""
    adapter.train()
    found = {}
    for precision in ("float32", "bfloat16"):
        kept = [_adapter_bytes(adapter, intervals, steps, precision) for intervals in (1, 2)]
        found[precision] = kept[1] - kept[0]
    return found


def _adapter_bytes(adapter: MotionAdapter, intervals: int, steps: int, precision: str) -> int:
    config = adapter.config
    streams = StreamInputs(
        motion=torch.randn(intervals, steps, *config.motion_shape),
        residual=torch.randn(intervals, steps, *config.residual_shape),
        context=torch.randn(intervals, *config.context_shape),
        step_mask=torch.ones(intervals, steps, dtype=torch.bool),
        sound=torch.randn(intervals, *SOUND_SHAPE) if "sound" in config.streams else None,
    )

    def run() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            return adapter(streams).tokens

    return kept_bytes(run, adapter, casts=precision == "bfloat16")
