"""A training that is killed goes on from its newest whole checkpoint, and ends where an unbroken one does."""

import json
import multiprocessing
import time
from dataclasses import replace
from pathlib import Path

import pytest

import two_processes
from himmel.training.plan import Stage, plan_stages
from himmel.training.resolve import resolve_recipe
from himmel.training.run import run_stage
from himmel.training.trainer import newest_checkpoint
from tiny_hosts import nano_folder
from tiny_recipes import tiny_base

__all__ = ["nano_folder"]

_STEPS = 40


def _stage(base: str, number: int) -> Stage:
    few = {
        "stages": f"[{number}]",
        "projector": "null",
        f"stage{number}.optimizer": f"{{steps: {_STEPS}, batch_size: 2, save_every: 5, log_every: 1, warmup_steps: 3}}",
        "data": "{clips: 5}",
    }
    return plan_stages(resolve_recipe("default", base=base, overrides=few).recipe)[0]


def _curve(stage: Stage) -> list[float]:
    record = json.loads((stage.folder / "training" / f"{stage.kind}.json").read_text())
    return [entry["loss"] for entry in record["log"] if "loss" in entry]


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize("number", [1, 2])
def test_a_killed_training_has_the_loss_curve_and_the_weights_of_an_unbroken_one(
    nano_folder: str, tmp_path: Path, number: int
) -> None:
    unbroken = _stage(tiny_base(tmp_path, of="nano", host=nano_folder), number)
    run_stage(unbroken)
    killed = replace(unbroken, output=tmp_path / "killed")
    process = multiprocessing.get_context("spawn").Process(target=two_processes.run_stage_alone, args=(killed, 12))
    process.start()
    while newest_checkpoint(killed.folder / "state") is None:
        assert process.is_alive()
        time.sleep(0.01)
    process.kill()
    process.join()
    assert not killed.done
    run_stage(killed)
    assert len(_curve(killed)) == _STEPS
    assert _curve(killed) == _curve(unbroken)
    for file in unbroken.folder.glob("**/*.safetensors"):
        if "state" not in file.parts:
            assert (killed.folder / file.relative_to(unbroken.folder)).read_bytes() == file.read_bytes(), file


def test_a_checkpoint_that_was_not_finished_is_never_taken(tmp_path: Path) -> None:
    for step in (5, 10, 100):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (5, 10):
        (tmp_path / f"checkpoint-{step}" / "whole").touch()
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert newest_checkpoint(tmp_path / "nothing") is None
