"""What a video costs in a host's context, exactly, before it is decoded (report, 3.1, "Token-budget accounting").

The prompt is built as the processor builds it, around one blank picture of the anchors' size in place of each of them:
what a picture costs depends on its size alone. No weights are loaded.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from himmel.adapter import AdapterConfig
from himmel.hosts import Run, load_host
from himmel.hosts.families import FAMILIES, write_family
from himmel.model.config import HimmelConfig
from himmel.model.placement import repeated_tokens
from himmel.model.processor import HimmelProcessor


@dataclass(frozen=True)
class PromptCost:
    """Tokens of one prompt by kind, all of them, and the rotary positions that they take.

    Attributes:
        frames: pictures that the vision tower sees.
        text: question, chat template, times and the markers around pictures; None where no tokenizer is known.
        image: placeholders of pictures.
        motion: placeholders of motion tokens.
        total: the sum; without text where that is None.
        positions: largest position of the prompt plus one; None where no tokenizer is known.
        times: tokens that tell when pictures and intervals are, part of `text`; None where no tokenizer is known.
    """

    frames: int
    text: int | None
    image: int
    motion: int
    total: int
    positions: int | None
    times: int | None = 0


@dataclass(frozen=True, kw_only=True)
class BudgetRequest:
    """What a budget is asked for.

    Attributes:
        width, height: of the displayed picture, in pixels.
        duration: of the video in seconds.
        num_anchors, tokens_per_interval, steps_per_interval, placement, times, max_anchor_tokens: see `HimmelConfig`.
        dense_frames: of the comparison without motion.
        question: what will be asked.
    """

    width: int
    height: int
    duration: float
    num_anchors: int = 8
    tokens_per_interval: int = 64
    steps_per_interval: int = 16
    placement: str = "per_anchor"
    times: str = "none"
    max_anchor_tokens: int = 256
    dense_frames: int = 32
    question: str = "What happens in the video?"


@dataclass(frozen=True)
class Budget:
    """A prompt with motion tokens beside what it is compared with (report, 4.6).

    Attributes:
        host: as asked for; `kind` is its family.
        request: what was asked for.
        position_scheme: of the prompt; None where no tokenizer is known.
        full: anchors with their motion tokens.
        anchors_only: the same anchors alone.
        dense: evenly spaced frames, and no motion.
    """

    host: str
    kind: str
    request: BudgetRequest
    position_scheme: str | None
    full: PromptCost
    anchors_only: PromptCost
    dense: PromptCost

    @property
    def ratios(self) -> dict[str, float]:
        """Tokens of the full prompt, and of anchors alone, as shares of the dense one."""
        return {
            "full": self.full.total / self.dense.total,
            "anchors_only": self.anchors_only.total / self.dense.total,
        }

    @property
    def spacing(self) -> dict[str, float]:
        """Seconds from one anchor, step or dense frame to the next."""
        anchor = self.request.duration / self.full.frames
        return {
            "anchor": anchor,
            "step": anchor / self.request.steps_per_interval,
            "dense frame": self.request.duration / self.dense.frames,
        }


def count_prompt(
    processor: HimmelProcessor,
    *,
    width: int,
    height: int,
    num_anchors: int,
    question: str,
    motion: bool = True,
    duration: float | None = None,
) -> PromptCost:
    """Cost of a question about a video of this size.

    Args:
        processor: of a configuration and a host.
        width, height: of the displayed picture, in pixels.
        num_anchors: of the video.
        question: not empty.
        motion: whether the prompt holds motion tokens.
        duration: of the video in seconds, over which the anchors are spread evenly; None: no times are told.

    Raises:
        UsageError: the question is empty.
        HostError: the host can't take pictures of this shape.
    """
    host = processor.host
    grids = host.image_grids(host.prepare_images([np.zeros((height, width, 3), np.uint8)])) * num_anchors
    spans = None
    if duration is not None:
        spacing = duration / num_anchors
        spans = [(index * spacing, (index + 1) * spacing) for index in range(num_anchors)]

    def build(times: list[tuple[float, float]] | None) -> tuple[Run, ...]:
        visual = processor.place(
            grids,
            num_anchors if motion else 0,
            # Whichever intervals are repeated, they cost the same.
            salience=[1.0] * num_anchors if motion else [],
            times=times,
        )
        return processor.ask_about(visual, [(question, None)])

    runs, timeless = build(spans), build(None)
    text, image, motion_ = (
        sum(len(run.ids) for run in runs if run.kind == kind) for kind in ("text", "image", "motion")
    )
    positions = host.position_ids(runs, scheme=processor.position_scheme)
    return PromptCost(
        frames=num_anchors,
        text=text,
        image=image,
        motion=motion_,
        total=text + image + motion_,
        positions=int(positions.max()) + 1,
        times=text + image + motion_ - sum(len(run.ids) for run in timeless),
    )


def plan_budget(host: str, request: BudgetRequest) -> Budget:
    """Cost of a prompt on a host, and of what it is compared with.

    Args:
        host: a name or folder, of which only the small files are read.
        request: what is asked for.

    Raises:
        UsageError: the question is empty, or a number is out of its range.
        HostError: there is no such host, or it can't take pictures of this shape.
    """
    found = load_host(host, max_anchor_tokens=request.max_anchor_tokens)
    config = HimmelConfig(
        host=host,
        adapter_config=AdapterConfig.paper(found.hidden_size, tokens_per_interval=request.tokens_per_interval),
        num_anchors=request.num_anchors,
        steps_per_interval=request.steps_per_interval,
        placement=request.placement,
        times=request.times,
        max_anchor_tokens=request.max_anchor_tokens,
    )
    processor = HimmelProcessor(config, found)

    def count(frames: int, *, motion: bool, times: bool = True) -> PromptCost:
        return count_prompt(
            processor,
            width=request.width,
            height=request.height,
            num_anchors=frames,
            question=request.question,
            motion=motion,
            duration=request.duration if times else None,
        )

    return Budget(
        host=host,
        kind=found.name,
        request=request,
        position_scheme=processor.position_scheme,
        full=count(request.num_anchors, motion=True),
        anchors_only=count(request.num_anchors, motion=False),
        # The method `dense` shows frames to the host alone, which a configuration says nothing about.
        dense=count(request.dense_frames, motion=False, times=False),
    )


def plan_families(request: BudgetRequest) -> list[Budget]:
    """Image and motion tokens of a prompt on every family of hosts, at their published sizes, without their files.

    Text depends on a tokenizer, which is not there: neither it nor the positions are counted.

    Args:
        request: what is asked for; its question is not read.

    Raises:
        UsageError: `max_anchor_tokens` is below the least that a family takes for a picture.
        HostError: a family can't take pictures of this shape.
    """
    budgets = []
    with tempfile.TemporaryDirectory(prefix="himmel-families-") as scratch:
        for kind in FAMILIES:
            folder = Path(scratch) / kind
            write_family(kind, folder)
            host = load_host(str(folder), max_anchor_tokens=request.max_anchor_tokens)
            budgets.append(_family_budget(host.name, host.tokens_per_anchor(request.width, request.height), request))
    return budgets


def _family_budget(kind: str, per_picture: int, request: BudgetRequest) -> Budget:
    n, k = request.num_anchors, request.tokens_per_interval
    motion = n * k + repeated_tokens(n, k, placement=request.placement)

    def cost(frames: int, motion: int = 0) -> PromptCost:
        image = frames * per_picture
        return PromptCost(frames, None, image, motion, image + motion, None, None)

    return Budget(
        host=kind,
        kind=kind,
        request=request,
        position_scheme=None,
        full=cost(n, motion),
        anchors_only=cost(n),
        dense=cost(request.dense_frames),
    )
