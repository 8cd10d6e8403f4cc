"""transformers' Trainer for models of which only some parts learn."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import Dataset, Sampler, SequentialSampler
from transformers import Trainer, TrainingArguments
from transformers.integrations.deepspeed import is_deepspeed_available
from transformers.trainer_utils import get_last_checkpoint

from himmel._files import atomic_path
from himmel.errors import RecipeError
from himmel.training.recipe import ComputeSection, OptimizerSection
from himmel.training.resolve import recipes_folder

_PARTS_FILE = "trained_parts.safetensors"


class PartsTrainer(Trainer):
    """A Trainer that saves and restores what training changes alone, and gives each parameter its own learning rate.

    That is the trained parameters, and the buffers (statistics) of the modules that they belong to. A host's frozen
    weights would make every checkpoint as large as the host; they are the same in all of them.
    The model's forward returns a dict with `loss` and, under `parts`, named scalars that are averaged into the log.

    Args:
        model: what learns, in part.
        rate_of: learning rate of a trained parameter, by its name in the model.
        options: those of transformers' Trainer.
    """

    def __init__(self, *, model: nn.Module, rate_of: Callable[[str], float], **options: Any) -> None:
        super().__init__(model=model, **options)
        self._learner = model
        self._rate_of = rate_of
        self._sums: dict[str, torch.Tensor] = {}
        self._count = 0
        # A plain mean over the batch, whatever the forward's signature suggests.
        self.model_accepts_loss_kwargs = False

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW with one group per learning rate and kind of weight; biases and norms are not decayed."""
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in (model or self._learner).named_parameters():
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

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The model's own loss; the named parts are kept for the log."""
        outputs = model(**inputs)
        if model.training:
            for name, value in outputs["parts"].items():
                self._sums[name] = self._sums.get(name, torch.zeros(())) + value.detach().float().cpu()
            self._count += 1
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the parts' means since the last log to the training log."""
        if "loss" in logs and self._count:
            logs = {**logs, **{name: round(float(value) / self._count, 5) for name, value in self._sums.items()}}
            self._sums, self._count = {}, 0
        super().log(logs, start_time)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        # Where parameters are spread over devices, what they hold has been gathered into `state_dict`.
        own = trained_tensors(self._learner)
        trained = {name: (state_dict or own)[name].detach().contiguous().cpu() for name in own}
        with atomic_path(folder / _PARTS_FILE) as file:
            save_file(trained, file)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        own = trained_tensors(model or self._learner)
        for name, value in load_file(Path(resume_from_checkpoint) / _PARTS_FILE).items():
            own[name].data.copy_(value)


def trained_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """What training changes, by its name: parameters that learn, and saved buffers beside such parameters."""
    found: dict[str, torch.Tensor] = {name: one for name, one in module.named_parameters() if one.requires_grad}
    modules = {name.rpartition(".")[0] for name in found}
    kept = set(module.state_dict(keep_vars=True))
    for name, one in module.named_buffers():
        if name in kept and name.rpartition(".")[0] in modules:
            found[name] = one
    return found


def training_arguments(
    optimizer: OptimizerSection, compute: ComputeSection, folder: Path, *, seed: int, **options: Any
) -> TrainingArguments:
    """transformers' arguments for a stage; checkpoints and the log go to `folder`.

    Raises:
        RecipeError: the batch cannot be shared out, several GPUs have one process, or DeepSpeed is asked for and not
            there.
    """
    # What torchrun and its like tell each process.
    shares = optimizer.gradient_accumulation * int(os.environ.get("WORLD_SIZE", "1"))
    if optimizer.batch_size % shares:
        raise RecipeError(
            f"optimizer.batch_size = {optimizer.batch_size} cannot be divided among {shares} micro-steps and devices; "
            "choose a multiple, or another optimizer.gradient_accumulation."
        )
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
        per_device_train_batch_size=optimizer.batch_size // shares,
        gradient_accumulation_steps=optimizer.gradient_accumulation,
        learning_rate=optimizer.adapter_lr,
        lr_scheduler_type=optimizer.schedule,
        warmup_steps=optimizer.warmup_steps,
        weight_decay=optimizer.weight_decay,
        max_grad_norm=optimizer.max_grad_norm,
        save_steps=optimizer.save_every,
        save_total_limit=2,
        logging_steps=optimizer.log_every,
        seed=seed,
        data_seed=seed,
        bf16=compute.precision == "bfloat16",
        deepspeed=None if compute.deepspeed is None else deepspeed_file(compute.deepspeed),
        # Stage 1 leaves the projector's scale alone, blind batches the image projector.
        ddp_find_unused_parameters=True,
        report_to=[],
        remove_unused_columns=False,
        # A bar in a terminal; elsewhere the log's lines alone, or a file would hold each of the bar's states.
        disable_tqdm=not sys.stderr.isatty(),
        **options,
    )


def deepspeed_file(name: str) -> str:
    """DeepSpeed's settings: a file, or one of those that come with the recipes (`zero2`, `zero3`).

    Raises:
        RecipeError: there is no such file, or DeepSpeed is not installed.
    """
    shipped = recipes_folder() / "deepspeed" / f"{name}.json"
    file = shipped if shipped.is_file() else Path(name)
    if not file.is_file():
        raise RecipeError(
            f"compute.deepspeed = {name!r} is not a file; choose zero2, zero3 or a file of DeepSpeed settings."
        )
    if not is_deepspeed_available():
        raise RecipeError(
            f"compute.deepspeed = {name!r} needs DeepSpeed, which is not installed; run "
            "`pip install deepspeed`, or set compute.deepspeed=null to train without it."
        )
    return str(file)


def run_training(trainer: Trainer, *, folder: Path, resume: bool) -> list[dict[str, float]]:
    """Train, from the newest checkpoint in `folder` where `resume` is asked for and there is one.

    Returns:
        The log, one entry per logged step; it is also written to `folder`/log.json.
    """
    newest = get_last_checkpoint(str(folder)) if resume and folder.is_dir() else None
    trainer.train(resume_from_checkpoint=newest)
    history = trainer.state.log_history
    with atomic_path(folder / "log.json") as file:
        file.write_text(json.dumps(history, indent=1) + "\n", encoding="utf-8")
    return history
