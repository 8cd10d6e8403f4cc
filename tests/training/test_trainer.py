from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import TrainerCallback

from himmel.training.recipe import OptimizerSection, Recipe
from himmel.training.trainer import PartsTrainer, run_training, training_arguments


class _Halves(nn.Module):
    """A frozen and a learning half; the second is drawn to the batch's mean."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.learning = nn.Linear(4, 1)
        self.slow = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> dict[str, Any]:
        error = (self.learning(self.frozen(x)) - x.mean(1, keepdim=True)).square().mean() + (
            self.slow - 1
        ).square().sum()
        return {"loss": error, "parts": {"error": error}}


def _trainer(folder: Path, *, steps: int = 8, callbacks: list[TrainerCallback] | None = None) -> PartsTrainer:
    torch.manual_seed(1)
    optimizer = OptimizerSection(steps=steps, batch_size=2, save_every=4, log_every=2, warmup_steps=0)
    recipe = Recipe(name="t", stage=1, output=str(folder), seed=7, optimizer=optimizer)
    data = [{"x": row} for row in torch.randn(16, 4, generator=torch.Generator().manual_seed(0))]
    return PartsTrainer(
        model=_Halves(),
        args=training_arguments(recipe, folder, use_cpu=True),
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
    assert sorted(saved) == ["learning.bias", "learning.weight", "slow"]


def test_an_interrupted_run_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    unbroken = _trainer(tmp_path / "a")
    history = run_training(unbroken, folder=tmp_path / "a", resume=True)
    with pytest.raises(KeyboardInterrupt):
        run_training(_trainer(tmp_path / "b", callbacks=[_Interrupt()]), folder=tmp_path / "b", resume=True)
    resumed = _trainer(tmp_path / "b")
    run_training(resumed, folder=tmp_path / "b", resume=True)
    assert resumed.state.global_step == 8
    torch.testing.assert_close(resumed.model.learning.weight, unbroken.model.learning.weight)
    assert (tmp_path / "a" / "log.json").is_file()
    assert "error" in history[0]


def test_each_part_has_its_own_rate(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path)
    before = trainer.model.learning.weight.detach().clone()
    run_training(trainer, folder=tmp_path, resume=False)
    assert trainer.model.slow.eq(0).all()
    assert not torch.equal(trainer.model.learning.weight, before)
