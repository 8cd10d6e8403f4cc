"""What two gloo processes do in tests/training/test_gather.py; a module of its own, as a spawned process imports it."""

import contextlib
import os
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from himmel.adapter import MotionAdapter
from himmel.nano.clips import VALUE_COLUMNS
from himmel.training.alignment import AlignmentModel
from himmel.training.plan import Stage
from himmel.training.probes import MotionProbes
from himmel.training.recipe import AlignmentSection
from himmel.training.run import InstructModel, run_stage
from himmel.training.trainer import PartsTrainer
from tiny_hosts import build, nano_config, tiny_adapter

# ResNet-18 has batch norms; `hybrid` is made of all terms.
CASES = (("infonce", "conv"), ("mse", "conv"), ("hybrid", "conv"), ("hybrid", "resnet18"))
# Intervals of each process, and those whose pair counts.
ROWS = (3, 5)
VALID = (True, False, True, True, True, False, True, True)
WHOLE = slice(0, sum(ROWS))
SHARES = (slice(0, ROWS[0]), slice(ROWS[0], sum(ROWS)))

Results = dict[tuple[str, str], dict[str, Any]]


def make_model(objective: str, branch: str) -> AlignmentModel:
    torch.manual_seed(0)
    adapter = MotionAdapter(tiny_adapter(24, branch=branch))
    section = AlignmentSection(objective=objective, mu=0.3, probe_weight=0.7)
    probes = MotionProbes(torch.randn(9, 24), num_values=len(VALUE_COLUMNS), vocabulary=range(9))
    return AlignmentModel(adapter, section=section, probes=probes).double().train()


def make_batch() -> dict[str, Tensor]:
    """Eight intervals, of which the second has no step; the last target is too small to have a direction."""
    generator = torch.Generator().manual_seed(1)
    count, steps = sum(ROWS), 3

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    targets = draw(count, 24)
    targets[-1] *= 1e-6
    taken = torch.tensor([3, 0, 1, 2, 3, 3, 1, 2])
    return {
        "motion": draw(count, steps, 2, 12, 12),
        "residual": draw(count, steps, 4, 12, 12),
        "context": draw(count, 3, 16, 16),
        "step_mask": torch.arange(steps) < taken[:, None],
        "targets": targets,
        "valid": torch.tensor(VALID),
        "probe_values": draw(count, len(VALUE_COLUMNS)),
        "probe_words": torch.randint(0, 9, (count, 4), generator=generator),
    }


def measure(model: nn.Module, batch: dict[str, Any]) -> dict[str, Any]:
    """Loss, gradients and running statistics after one forward and backward pass."""
    output = model(**batch)
    output["loss"].backward()
    learner = model.module if isinstance(model, DistributedDataParallel) else model
    return {
        "loss": output["loss"].detach(),
        "nce_and_the_like": {
            name: float(value)
            for name, value in output["parts"].items()
            # These are of the process's own rows.
            if not name.startswith(("probe", "gate"))
        },
        "gradients": {name: one.grad for name, one in learner.named_parameters() if one.grad is not None},
        "statistics": {name: one for name, one in learner.named_buffers() if "running" in name},
    }


def in_one_process() -> Results:
    return {case: measure(make_model(*case), make_batch()) for case in CASES}


def _join(rank: int, port: int) -> None:
    torch.set_num_threads(1)
    os.environ.update(
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2"
    )


def measure_share(rank: int, port: int, folder: str) -> None:
    """One of two processes, each with its share of the batch."""
    _join(rank, port)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    results: Results = {}
    share = {name: value[SHARES[rank]] for name, value in make_batch().items()}
    for case in CASES:
        model = make_model(*case)
        results[case] = measure(DistributedDataParallel(model, find_unused_parameters=True), share)
    torch.save(results, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def measure_idle(rank: int, port: int, folder: str) -> None:
    """One of two processes, of which the second has no step in any of its intervals."""
    _join(rank, port)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    share = {name: value[SHARES[rank]] for name, value in idle_batch().items()}
    model = DistributedDataParallel(make_model("hybrid", "resnet18"), find_unused_parameters=True)
    torch.save(measure(model, share), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def idle_batch() -> dict[str, Tensor]:
    """The batch without any step in the second process's share."""
    batch = make_batch()
    batch["step_mask"][SHARES[1]] = False
    return batch


def answers(folder: str, share: slice) -> dict[str, Any]:
    """Loss and gradients of stage 2 for some of two prompts, whose answers are of different lengths."""
    setup = build(nano_config(folder))
    turns = ["left", "first to the left, then up, then it stops behind the wall and stays there"]
    asked = [[("What moves?", turn)] for turn in turns]
    inputs = setup.processor.encode(setup.samples[share], asked[share])
    model: nn.Module = InstructModel(setup.model)
    if dist.is_initialized():
        model = DistributedDataParallel(model, find_unused_parameters=True)
    return measure(model, {"inputs": inputs})


def measure_answers(rank: int, port: int, host: str, folder: str) -> None:
    """One of two processes, each with one of the prompts."""
    _join(rank, port)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    torch.save(answers(host, slice(rank, rank + 1)), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def run_stage_together(rank: int, port: int, stage: Stage) -> None:
    """One of two processes that train a stage as torchrun would have them do."""
    _join(rank, port)
    run_stage(stage)
    if dist.is_initialized():
        dist.destroy_process_group()


def run_stage_and_break(rank: int, port: int, stage: Stage, step: int) -> None:
    """The same, interrupted after a step in both processes."""
    begin = PartsTrainer.__init__

    def with_interrupt(self: PartsTrainer, **options: Any) -> None:
        begin(self, **options)
        self.add_callback(_Interrupt(step))

    with patch.object(PartsTrainer, "__init__", with_interrupt), contextlib.suppress(KeyboardInterrupt):
        run_stage_together(rank, port, stage)


class _Interrupt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step == self._step:
            raise KeyboardInterrupt


def run_stage_alone(stage: Stage, step: int) -> None:
    """A training that the test kills; after a step it does no more."""
    torch.set_num_threads(1)
    begin = PartsTrainer.__init__

    def with_hold(self: PartsTrainer, **options: Any) -> None:
        begin(self, **options)
        self.add_callback(_Hold(step))

    with patch.object(PartsTrainer, "__init__", with_hold):
        run_stage(stage)


class _Hold(TrainerCallback):
    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step == self._step:
            time.sleep(3600)
