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
from himmel.hosts import Host, Loading, load_host
from himmel.hosts.families import write_family
from himmel.hosts.sizes import PUBLISHED_SIZES
from himmel.model import HimmelConfig, HimmelForConditionalGeneration
from himmel.training.memory.kept import kept_bytes
from himmel.training.memory.layers import LayerSize, Way
from himmel.training.plan import Stage
from himmel.training.recipe import ProjectorSection, Stage1Section, Stage2Section
from himmel.training.run import alignment_model, instruct_model
from himmel.training.settings import make_settings

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
        learner = (
            alignment_model(section, model) if isinstance(section, Stage1Section) else instruct_model(stage, model)
        )
        on_files = stage.data is not None and stage.data.source == "files"
        sees = not aligns or on_files or config.adapter.encoder == "shared_vit"
        held = nn.ModuleList([learner, model.network] if aligns and sees else [learner])
        text = network.config.get_text_config()
        return _count(
            held,
            StageSizes(
                **dict.fromkeys(("host", "own", "learned_host", "learned", "tensors", "buffers"), 0),
                idle=_idle(network),
                way=None if aligns else _way(stage),
                layers=int(text.num_hidden_layers),
                layer=LayerSize.of(text, rank=config.lora_rank),
                rows=host.vocab_size,
                anchors=config.num_anchors,
                prompt=_prompt(stage, host, config),
                answer=_ANSWER,
                picture=host.tokens_per_anchor(*_PICTURE),
                projected=_projected(stage, host),
                tower_width=_tower_width(network) if sees and aligns else 0,
                interval=_interval_bytes(model.adapter, config.steps_per_interval),
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
    host = own = learned_host = learned = tensors = 0
    for parameter in held.parameters():
        count, of_host = parameter.numel(), parameter.dtype is torch.bfloat16
        if parameter.requires_grad:
            tensors += 1
            learned_host, learned = learned_host + count * of_host, learned + count * (not of_host)
        else:
            host, own = host + count * of_host, own + count * (not of_host)
    buffers = sum(one.nbytes for one in held.buffers())
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


def _projected(stage: Stage, host: Host) -> int:
    """A norm and two layers, each of which keeps what goes into it (`NanoProjector`)."""
    section = stage.section
    learns = isinstance(section, ProjectorSection) or (isinstance(section, Stage2Section) and section.also_train)
    if not learns or host.tower_map is None:
        return 0
    return host.tokens_per_anchor(*_PICTURE) * 2 * (host.tower_map[0] + host.hidden_size)


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
    )

    def run() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            return adapter(streams).tokens

    return kept_bytes(run, adapter, casts=precision == "bfloat16")
