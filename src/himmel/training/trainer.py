"""transformers' Trainer for models of which only some parts learn."""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.utils import save_fsdp_optimizer
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import Dataset, Sampler, SequentialSampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import SCHEDULER_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from himmel._files import atomic_path
from himmel.errors import RecipeError
from himmel.model import HimmelForConditionalGeneration
from himmel.model.lifecycle import Part
from himmel.training.bar import TrainingBar
from himmel.training.gather import sum_of_all, wait_for_all
from himmel.training.recipe import ComputeSection, OptimizerSection
from himmel.training.sharding import fill, gathered, precise_sums, shard_on_processors, share_again, whole
from himmel.training.validation import BEST_PARTS, BestStep, Validation, look_at, read_best, write_best
from himmel.training.watching import Pace, check_trackers, gradient_norms

_PARTS_FILE = "trained_parts.safetensors"
_WHOLE = "whole"
"""Written last into a checkpoint, when all processes have written their parts."""
_KEPT = 2
"""How many checkpoints of a stage there are at most."""


class PartsTrainer(Trainer):
    """A Trainer that saves and restores what training changes alone, and gives each parameter its own learning rate.

    That is the trained parameters, and the buffers (statistics) of the modules that they belong to. A host's frozen
    weights would make every checkpoint as large as the host; they are the same in all of them.
    The model's forward returns a dict with `loss`; under `parts`, named scalars that are averaged into the log; and
    under `counts`, what it went through (tokens, intervals), by which the log says how fast the training goes.

    Args:
        model: what learns, in part.
        rate_of: learning rate of a trained parameter, by its name in the model.
        validation: what is looked at while it trains; the model then also gives `rows`, see `Validation`.
        options: those of transformers' Trainer.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        rate_of: Callable[[str], float],
        validation: Validation | None = None,
        **options: Any,
    ) -> None:
        looked_at = None if validation is None else validation.held_out.items
        super().__init__(model=model, eval_dataset=looked_at, **options)
        self.learner = model
        self._validation = validation
        self._rate_of = rate_of
        # Of each part its sum, and in how many micro-steps there was one.
        self._sums: dict[str, tuple[torch.Tensor, int]] = {}
        self._count = 0
        self._gradients: dict[str, float] = {}
        self._pace = Pace()
        self.add_callback(_Watching(self))
        if sys.stderr.isatty():
            self.pop_callback(PrinterCallback)
            self.add_callback(TrainingBar())
        if validation is not None:
            self.add_callback(_FirstLook(self))
        # A plain mean over the batch, whatever the forward's signature suggests.
        self.model_accepts_loss_kwargs = False
        # DeepSpeed's checkpoints leave frozen weights out, and loads them strictly.
        model.register_load_state_dict_post_hook(_miss_what_training_changes)

    def create_accelerator_and_postprocess(self) -> None:
        """As transformers does, but for FSDP: its sums are in float32, and it is there without GPUs too."""
        plugin = self.args.fsdp_plugin_args
        if plugin is not None and self.args.bf16:
            plugin["mixed_precision_policy"] = precise_sums(torch.bfloat16)
        super().create_accelerator_and_postprocess()
        if plugin is not None and not self.is_fsdp_enabled:
            shard_on_processors(self.accelerator.state, plugin)
            self.is_fsdp_enabled = True

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW with one group per learning rate and kind of weight; biases and norms are not decayed."""
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in (model or self.learner).named_parameters():
            if parameter.requires_grad:
                decay = self.args.weight_decay if parameter.ndim >= 2 else 0.0
                groups.setdefault((self._rate_of(name), decay), []).append(parameter)
        self.optimizer = torch.optim.AdamW(
            [{"params": parts, "lr": rate, "weight_decay": decay} for (rate, decay), parts in groups.items()]
        )
        return self.optimizer

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> Sampler[int]:
        """In the data set's own order, which is drawn already: no clip twice in a pass, for any number of devices."""
        return SequentialSampler(cast(Any, train_dataset or self.train_dataset))

    def get_batch_samples(self, *args: Any, **options: Any) -> Any:
        """The batches of a step; how long they took to come is counted."""
        begin = time.perf_counter()
        batches = super().get_batch_samples(*args, **options)
        self._pace.add_waiting(time.perf_counter() - begin)
        return batches

    def evaluate(self, *args: Any, **options: Any) -> dict[str, float]:
        """Look at what is held out, and log it; nothing of the training changes by it."""
        del args, options
        assert self._validation is not None
        begin = time.perf_counter()
        # Where weights are spread over processes, the wrapper brings them together.
        spread = self.is_deepspeed_enabled or self.is_fsdp_enabled
        rows = look_at(
            self._validation.held_out,
            self.model_wrapped if spread else self.learner,
            self._prepare_inputs,
            workers=self.args.dataloader_num_workers,
        )
        share_again(self.model_wrapped)
        found = {f"eval_{name}": round(value, 5) for name, value in self._validation.summarise(rows).items()}
        seconds = time.perf_counter() - begin
        self._pace.leave_out(seconds)
        self.log(found | {"eval_runtime": round(seconds, 3)})
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
        return found

    def _determine_best_metric(self, *args: Any, **options: Any) -> bool:
        better = super()._determine_best_metric(*args, **options)
        if better:
            self._keep_best()
        return better

    def _keep_best(self) -> None:
        best = BestStep(self.state.global_step, float(cast(float, self.state.best_metric)))
        with gathered(self.learner) if self.is_deepspeed_enabled else nullcontext():
            trained = self._trained()
            if self.args.should_save:
                write_best(Path(str(self.args.output_dir)) / BEST_PARTS, trained, best)

    def _trained(self) -> dict[str, torch.Tensor]:
        """What training changes, whole, in the processor's memory; all processes ask for it at once."""
        return {name: whole(one.detach()).contiguous().cpu() for name, one in trained_tensors(self.learner).items()}

    def begin_pace(self) -> None:
        """What came before the first step is none of the training's time."""
        self._pace = Pace()

    def watch_gradients(self) -> None:
        """Keep the size of each part's gradient for the log."""
        self._gradients = gradient_norms(self.learner)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The model's own loss; the named parts are kept for the log."""
        outputs = model(**inputs)
        if model.training:
            for name, value in outputs["parts"].items():
                before, count = self._sums.get(name, (torch.zeros(()), 0))
                self._sums[name] = before + value.detach().float().cpu(), count + 1
            self._count += 1
            self._pace.add_work(outputs["counts"])
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the parts' means since the last log to the training log."""
        if "loss" in logs and self._count:
            means = {name: float(value) / count for name, (value, count) in self._sums.items()}
            device = self.args.device
            pace = self._pace.take(over_all=lambda own: sum_of_all(own, device))
            watched = {**means, **self._gradients, **pace}
            logs = {**logs, **{name: round(value, 5) for name, value in watched.items()}}
            self._sums, self._count = {}, 0
        super().log(logs, start_time)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """What training changes, whole; DeepSpeed's own checkpoint, which follows, holds it already."""
        if self.is_fsdp_enabled:
            self._save(output_dir)
        elif not self.is_deepspeed_enabled:
            super().save_model(output_dir, _internal_call)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self.is_fsdp_enabled:
            # Without the parameters, which transformers would write once more, frozen ones too.
            state = self.accelerator.state
            save_fsdp_optimizer(state.fsdp_plugin, self.accelerator, self.optimizer, self.model, output_dir)
        elif self.is_deepspeed_enabled:
            cast(Any, self.model_wrapped).save_checkpoint(output_dir, exclude_frozen_parameters=True)
        else:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        if self.args.should_save:
            torch.save(cast(Any, self.lr_scheduler).state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _save_checkpoint(self, *args: Any, **options: Any) -> None:
        super()._save_checkpoint(*args, **options)
        wait_for_all()
        if self.args.should_save:
            folder = Path(str(self.args.output_dir))
            (_checkpoint(folder, self.state.global_step) / _WHOLE).touch()
            # Not before: whoever is killed on the way has the newest whole one to go on from.
            _remove(_by_step(folder)[:-_KEPT])

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        trained = self._trained()
        if self.args.should_save:
            with atomic_path(folder / _PARTS_FILE) as file:
                save_file(trained, file)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        own = trained_tensors(model or self.learner)
        for name, value in load_file(Path(resume_from_checkpoint) / _PARTS_FILE).items():
            fill(own[name], value)


class _Watching(TrainerCallback):
    """Begins to measure the time, and looks at the gradients of steps that are logged, clipped, as they are used."""

    def __init__(self, trainer: PartsTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        del args, state, control
        self._trainer.begin_pace()

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if (state.global_step + 1) % int(args.logging_steps) == 0:
            self._trainer.watch_gradients()


class _FirstLook(TrainerCallback):
    """Looks at what is held out before the first step, and takes up the best step of a training that goes on."""

    def __init__(self, trainer: PartsTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        del control
        if state.global_step == 0:
            self._trainer.evaluate()
            return
        best = read_best(Path(str(args.output_dir)) / BEST_PARTS)
        # It may be of a step after the checkpoint that the training goes on from.
        if best is not None and best.step > state.global_step:
            state.best_metric, state.best_global_step = best.value, best.step


def trained_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """What training changes, by its name: parameters that learn, and saved buffers beside such parameters."""
    found: dict[str, torch.Tensor] = {name: one for name, one in module.named_parameters() if one.requires_grad}
    modules = {name.rpartition(".")[0] for name in found}
    kept = set(module.state_dict(keep_vars=True))
    for name, one in module.named_buffers():
        if name in kept and name.rpartition(".")[0] in modules:
            found[name] = one
    return found


def _miss_what_training_changes(module: nn.Module, keys: Any) -> None:
    keys.missing_keys[:] = sorted(set(keys.missing_keys) & set(trained_tensors(module)))


def _checkpoint(folder: Path, step: int) -> Path:
    return folder / f"{PREFIX_CHECKPOINT_DIR}-{step}"


def _by_step(folder: Path) -> list[Path]:
    """All checkpoints, whole or not, the oldest first."""
    found = [path for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if _step(path).isdigit()]
    return sorted(found, key=lambda path: int(_step(path)))


def _step(checkpoint: Path) -> str:
    return checkpoint.name.removeprefix(f"{PREFIX_CHECKPOINT_DIR}-")


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; what a killed process has left half-written doesn't count."""
    return next((path for path in reversed(_by_step(folder)) if (path / _WHOLE).exists()), None)


def _remove(checkpoints: Sequence[Path]) -> None:
    """First none of them is whole any more: a process that is killed here leaves parts of them."""
    for path in checkpoints:
        (path / _WHOLE).unlink(missing_ok=True)
    for path in checkpoints:
        shutil.rmtree(path)


def learn_exactly(model: HimmelForConditionalGeneration, parts: Sequence[Part]) -> None:
    """Choose what learns (`train_only`); parts of the host that do are kept in float32, whatever the host is in.

    In half precision small steps are lost to rounding.
    """
    model.train_only(parts)
    for name, module in model.host_parts().items():
        if name in parts:
            module.float()


def training_arguments(
    optimizer: OptimizerSection, compute: ComputeSection, folder: Path, *, seed: int, **options: Any
) -> TrainingArguments:
    """transformers' arguments for a stage; checkpoints and the log go to `folder`.

    `options` are further ones of transformers, such as `sharding_options`.

    Raises:
        RecipeError: the batch cannot be shared out, or several GPUs have one process.
    """
    # What torchrun and its like tell each process.
    at_once = optimizer.share_of(int(os.environ.get("WORLD_SIZE", "1")))
    accelerated = torch.accelerator.is_available()
    devices = torch.accelerator.device_count() if accelerated else 0
    if devices > 1 and "WORLD_SIZE" not in os.environ:
        raise RecipeError(
            f"This machine has {devices} GPUs and one process was started, which can train on one of them; run "
            f"`torchrun --nproc-per-node {devices} --no-python himmel train RECIPE`, or let it see one GPU by "
            "CUDA_VISIBLE_DEVICES=0."
        )
    return TrainingArguments(
        output_dir=str(folder),
        use_cpu=not accelerated,
        dataloader_pin_memory=accelerated,
        dataloader_num_workers=compute.workers,
        max_steps=optimizer.steps,
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=optimizer.gradient_accumulation,
        learning_rate=optimizer.adapter_lr,
        lr_scheduler_type=optimizer.schedule,
        warmup_steps=optimizer.warmup_steps,
        weight_decay=optimizer.weight_decay,
        max_grad_norm=optimizer.max_grad_norm,
        save_steps=optimizer.save_every,
        # Older ones are removed by `PartsTrainer`.
        save_total_limit=None,
        logging_steps=optimizer.log_every,
        seed=seed,
        data_seed=seed,
        bf16=compute.precision == "bfloat16",
        # Stage 1 leaves the projector's scale alone, blind batches the image projector.
        ddp_find_unused_parameters=True,
        report_to=check_trackers(compute.report_to),
        remove_unused_columns=False,
        # In a terminal there is a bar of our own; elsewhere the log's lines alone.
        disable_tqdm=True,
        **options,
    )


def run_training(trainer: Trainer, *, folder: Path, resume: bool) -> list[dict[str, float]]:
    """Train, from the newest checkpoint in `folder` where `resume` is asked for and there is one.

    Returns:
        The log, one entry per logged step; it is also written to `folder`/log.json.
    """
    newest = newest_checkpoint(folder) if resume else None
    wait_for_all()
    if trainer.args.should_save:
        _remove([path for path in _by_step(folder) if newest is None or not (path / _WHOLE).exists()])
        if newest is None:
            (folder / BEST_PARTS).unlink(missing_ok=True)
    wait_for_all()
    trainer.train(resume_from_checkpoint=None if newest is None else str(newest))
    history = trainer.state.log_history
    # Some of the numbers are a process's own; those of the first one are in the stage's record too.
    if trainer.args.should_save:
        with atomic_path(folder / "log.json") as file:
            file.write_text(json.dumps(history, indent=1) + "\n", encoding="utf-8")
    return history
