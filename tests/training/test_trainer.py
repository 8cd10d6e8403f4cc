import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import TrainerCallback

from himmel.adapter.norms import StoredNorm2d
from himmel.errors import RecipeError
from himmel.training.recipe import ComputeSection, OptimizerSection
from himmel.training.resolve import recipes_folder
from himmel.training.trainer import PartsTrainer, run_training, training_arguments


class _Halves(nn.Module):
    """A frozen and a learning half; the second is drawn to the batch's mean, and counts in a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.norm = StoredNorm2d(4)
        self.learning = nn.Linear(4, 1)
        self.slow = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> dict[str, Any]:
        normed = self.norm(self.frozen(x)[:, :, None, None]).flatten(1)
        error = (self.learning(normed) - x.mean(1, keepdim=True)).square().mean() + (self.slow - 1).square().sum()
        return {"loss": error, "parts": {"error": error}, "counts": {"rows": torch.tensor(len(x))}}


def _trainer(
    folder: Path,
    *,
    steps: int = 8,
    callbacks: list[TrainerCallback] | None = None,
    model: nn.Module | None = None,
) -> PartsTrainer:
    torch.manual_seed(1)
    optimizer = OptimizerSection(steps=steps, batch_size=2, save_every=4, log_every=2, warmup_steps=0)
    data = [{"x": row} for row in torch.randn(16, 4, generator=torch.Generator().manual_seed(0))]
    return PartsTrainer(
        model=model or _Halves(),
        args=training_arguments(optimizer, ComputeSection(), folder, seed=7),
        train_dataset=data,
        rate_of=lambda name: 0.0 if name == "slow" else 1e-2,
        callbacks=callbacks,
    )


class _Interrupt(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 5:
            raise KeyboardInterrupt


def test_checkpoints_hold_the_trained_parts_alone(tmp_path: Path) -> None:
    run_training(_trainer(tmp_path), folder=tmp_path, resume=False)
    saved = load_file(tmp_path / "checkpoint-8" / "trained_parts.safetensors")
    statistics = ["norm.num_batches_tracked", "norm.running_mean", "norm.running_var"]
    trained = ["learning.bias", "learning.weight", "norm.bias", "norm.weight", "slow"]
    assert sorted(saved) == sorted(trained + statistics)


def test_an_interrupted_run_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    unbroken = _trainer(tmp_path / "a")
    history = run_training(unbroken, folder=tmp_path / "a", resume=True)
    with pytest.raises(KeyboardInterrupt):
        run_training(_trainer(tmp_path / "b", callbacks=[_Interrupt()]), folder=tmp_path / "b", resume=True)
    resumed = _trainer(tmp_path / "b")
    run_training(resumed, folder=tmp_path / "b", resume=True)
    assert resumed.state.global_step == 8
    state = resumed.model.state_dict()
    assert int(state["norm.num_batches_tracked"]) == 8
    for name, value in unbroken.model.state_dict().items():
        assert torch.equal(state[name], value), name
    assert (tmp_path / "a" / "log.json").is_file()
    assert "error" in history[0]


def test_each_part_has_its_own_rate(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path)
    before = trainer.model.learning.weight.detach().clone()
    run_training(trainer, folder=tmp_path, resume=False)
    assert trainer.model.slow.eq(0).all()
    assert not torch.equal(trainer.model.learning.weight, before)


class _SometimesSaid(_Halves):
    """Tells of every other batch how it went, as stage 1 does of batches without a pair."""

    told = False

    def forward(self, x: Tensor) -> dict[str, Any]:
        made = super().forward(x)
        self.told = not self.told
        return {**made, "parts": {"always": torch.tensor(3.0)} | ({"seldom": torch.tensor(5.0)} if self.told else {})}


def test_a_part_is_averaged_over_the_batches_that_have_it(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path, model=_SometimesSaid())
    history = run_training(trainer, folder=tmp_path, resume=False)
    lines = [line for line in history if "loss" in line]
    assert [(line["always"], line["seldom"]) for line in lines] == [(3.0, 5.0)] * 4


def test_what_comes_before_the_first_step_is_none_of_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = _trainer(tmp_path)
    clock = time.perf_counter
    monkeypatch.setattr(time, "perf_counter", lambda: clock() + 1000)
    history = run_training(trainer, folder=tmp_path, resume=False)
    # Two steps of two rows.
    assert history[0]["rows_per_second"] > 4 / 500


def test_the_batch_is_shared_out_over_micro_steps_and_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer = OptimizerSection(batch_size=24, gradient_accumulation=2)
    alone = training_arguments(optimizer, ComputeSection(), tmp_path, seed=0)
    assert (alone.per_device_train_batch_size, alone.gradient_accumulation_steps) == (12, 2)
    monkeypatch.setenv("WORLD_SIZE", "5")
    with pytest.raises(RecipeError, match="batch_size = 24 cannot be divided among 10 micro-steps and devices"):
        training_arguments(optimizer, ComputeSection(), tmp_path, seed=0)


@pytest.mark.parametrize("name", ["zero2", "zero3"])
def test_deepspeeds_files_leave_to_the_trainer_what_recipes_state(name: str) -> None:
    settings = json.loads((recipes_folder() / "deepspeed" / f"{name}.json").read_text())
    assert settings["zero_optimization"]["stage"] == int(name[-1])
    stated = ("gradient_accumulation_steps", "gradient_clipping", "train_batch_size", "train_micro_batch_size_per_gpu")
    assert all(settings[key] == "auto" for key in stated)
    assert "optimizer" not in settings
    assert "scheduler" not in settings


def test_several_gpus_need_torchrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 4)
    with pytest.raises(
        RecipeError, match=r"has 4 GPUs and one process .*torchrun --nproc-per-node 4 --no-python himmel"
    ):
        training_arguments(OptimizerSection(), ComputeSection(), tmp_path, seed=0)
