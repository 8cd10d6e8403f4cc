"""Training steps of a host in its real size, for `benchmarks.gpu_sizes`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.gpu_bench import Bench, peak, timed
from benchmarks.gpu_hosts import use_windows_at_once
from benchmarks.gpu_ways import QUESTION
from himmel.model import HimmelForConditionalGeneration, HimmelProcessor, PreparedSample, align_targets
from himmel.training.alignment import AlignmentModel
from himmel.training.batches import AlignmentCollator
from himmel.training.recipe import AlignmentSection
from himmel.video import Video

VIDEOS = 180_480
"""Videos of the report's corpus (appendix M)."""
DEVICES = 8
# As long as answers of LLaVA-Video-178K's open-ended questions are, about.
_ANSWER = "A rabbit comes out of its hole, stretches, and then three small animals throw nuts at it from a tree. " * 2
_STAGE_1_VIDEOS = (1, 2, 16)
_STAGE_2_VIDEOS = (1, 4)


def measure_stage_1(bench: Bench) -> None:
    """Targets by the tower, then the adapter forward and backward, for several numbers of videos at once."""
    model = bench.model(lora_rank=0)
    model.train_only(["adapter"])
    learner = AlignmentModel(model.adapter, section=AlignmentSection(mu=0.1, probe_weight=0.0), probes=None).train()
    learner.to(bench.device)
    optimizer = _optimizer(learner)
    for windows in bench.options.windows:
        use_windows_at_once(bench.network, on=windows == "at once")
        for budget in bench.options.budget:
            sample = _prepare(bench.processor(budget), bench.video, far=True)
            for videos in bench.options.videos or _STAGE_1_VIDEOS:
                _keep_stage_1(bench, model, learner, optimizer, [sample] * videos, budget=budget, windows=windows)
    use_windows_at_once(bench.network, on=False)
    learner.release()
    model.detach()


def _keep_stage_1(
    bench: Bench,
    model: HimmelForConditionalGeneration,
    learner: AlignmentModel,
    optimizer: torch.optim.Optimizer,
    samples: Sequence[PreparedSample],
    **facts: Any,
) -> None:
    device = bench.device
    streams = vars(model.adapter_inputs(AlignmentCollator.streams_of(samples)).to(device))
    valid = torch.ones(len(streams["step_mask"]), dtype=torch.bool, device=device)

    def targets() -> Tensor:
        return align_targets(model.host, model.network, samples)

    def whole() -> None:
        with _autocast(device):
            loss = learner(**streams, targets=targets(), valid=valid)["loss"]
        loss.backward()

    row = _seconds(bench, whole, optimizer, len(samples))
    row["tower"] = round(median(timed(device, targets) for _ in range(bench.options.rounds)), 5)
    patches = sum(len(sample.images["pixel_values"]) + len(sample.far_images["pixel_values"]) for sample in samples)
    images = {"pictures": 9 * len(samples), "image_tokens_a_second": round(patches / 4 / row["micro_step"])}
    bench.keep("stage1", {**facts, "videos": len(samples), "intervals": len(valid), **images, **row})


def measure_stage_2(bench: Bench) -> None:
    """The loss on one answer a video, forward and backward through the language model, for several videos at once.

    `mask` says whether each prompt brings its own matrix of who sees whom, which `himmel train` makes so that several
    questions can share a video, or is plainly causal.
    """
    model = bench.model(lora_rank=32)
    model.train_only(["adapter", "lora"])
    model.adapter.alignment_head.requires_grad_(False)
    model.gradient_checkpointing_enable()
    model.train()
    optimizer = _optimizer(model)
    use_windows_at_once(bench.network, on="at once" in bench.options.windows)
    for budget in bench.options.budget:
        processor = bench.processor(budget)
        sample = _prepare(processor, bench.video, far=False)
        for videos in bench.options.videos or _STAGE_2_VIDEOS:
            for mask in ("own", "causal"):
                turns = [[(QUESTION, _ANSWER)]] * videos
                batch = processor.encode([sample] * videos, turns, independent=mask == "own")
                _keep_stage_2(bench, model, optimizer, batch, videos=videos, budget=budget, mask=mask)
    use_windows_at_once(bench.network, on=False)
    model.detach()


def _keep_stage_2(
    bench: Bench,
    model: HimmelForConditionalGeneration,
    optimizer: torch.optim.Optimizer,
    batch: Any,
    *,
    videos: int,
    **facts: Any,
) -> None:
    def whole() -> None:
        with _autocast(bench.device):
            loss = model(**batch).loss
        loss.backward()

    tokens = batch["input_ids"].numel()
    try:
        row = _seconds(bench, whole, optimizer, videos)
    except torch.OutOfMemoryError:
        bench.keep("stage2", {**facts, "videos": videos, "tokens": tokens, "error": "out of memory"})
        return
    row["tokens_a_second"] = round(tokens / row["micro_step"])
    bench.keep("stage2", {**facts, "videos": videos, "tokens": tokens, **row})


def _seconds(
    bench: Bench, micro_step: Callable[[], None], optimizer: torch.optim.Optimizer, videos: int
) -> dict[str, float]:
    """Seconds of a micro-step and of an optimiser's step, memory, and hours for all videos.

    The report's batches hold 8 micro-steps, so that an optimiser's step counts for an eighth.
    """
    device = bench.device

    def update() -> None:
        nn.utils.clip_grad_norm_([one for group in optimizer.param_groups for one in group["params"]], 1.0)
        optimizer.step()
        optimizer.zero_grad()

    def both() -> None:
        micro_step()
        update()

    most = peak(device, both)
    steps, updates = [], []
    for _ in range(bench.options.rounds):
        steps.append(timed(device, micro_step))
        updates.append(timed(device, update))
    step, updating = median(steps), median(updates)
    seconds = (step + updating / 8) / videos
    return {
        "micro_step": round(step, 5),
        "optimizer_step": round(updating, 5),
        "videos_a_second": round(1 / seconds, 3),
        "hours_for_all": round(seconds * VIDEOS / DEVICES / 3600, 2),
        "peak_mib": round(most),
    }


def _optimizer(learner: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW([one for one in learner.parameters() if one.requires_grad], lr=1e-6)


def _autocast(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def _prepare(processor: HimmelProcessor, video: Path, *, far: bool) -> PreparedSample:
    decomposition = Video(video).decompose(num_anchors=8, steps_per_interval=16)
    last = decomposition.anchors[-1].image if far else None
    sample = processor.prepare(decomposition, far_image=last)
    return replace(sample, motion=sample.motion.float(), residual=sample.residual.float())
