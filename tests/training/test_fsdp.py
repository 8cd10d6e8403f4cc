"""FSDP on two processes without a GPU, by gloo."""

import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import two_processes
from himmel.model import HimmelForConditionalGeneration
from himmel.training.plan import Stage, plan_stages
from himmel.training.resolve import resolve_recipe
from himmel.training.run import run_stage
from himmel.training.trainer import newest_checkpoint
from tiny_hosts import nano_folder
from tiny_recipes import tiny_base

__all__ = ["nano_folder"]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unrendered")]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _stage(base: str, number: int, *, steps: int = 4, **compute: str) -> Stage:
    few = {
        "stages": f"[{number}]",
        "projector": "null",
        f"stage{number}.optimizer": f"{{steps: {steps}, batch_size: 2, save_every: 2, log_every: 1, warmup_steps: 0}}",
        "stage2.blind_share": "0",
        "stage2.sentence_share": "0",
        "data": "{clips: 5}",
        **{f"stage{number}.compute.{key}": value for key, value in compute.items()},
    }
    return plan_stages(resolve_recipe("default", base=base, overrides=few).recipe)[0]


def _curve(stage: Stage) -> list[float]:
    record = json.loads((stage.folder / "training" / f"{stage.kind}.json").read_text())
    return [entry["loss"] for entry in record["log"] if "loss" in entry]


@pytest.mark.parametrize("number", [1, 2])
def test_two_processes_end_where_one_does_without_sharding(nano_folder: str, tmp_path: Path, number: int) -> None:
    base = tiny_base(tmp_path, of="nano", host=nano_folder)
    plain, spread = _stage(base, number), _stage(base, number, fsdp="full_shard")
    run_stage(plain)
    torch.multiprocessing.spawn(two_processes.run_stage_together, (_free_port(), spread), nprocs=2)
    assert _curve(spread) == pytest.approx(_curve(plain), rel=1e-3)
    found = (file.relative_to(plain.folder) for file in plain.folder.glob("**/*.safetensors"))
    files = [file for file in found if file.parts[0] != "state"]
    assert len(files) >= number
    for file in files:
        first, second = (load_file(one.folder / file) for one in (plain, spread))
        assert first.keys() == second.keys()
        for name, value in first.items():
            torch.testing.assert_close(second[name], value, rtol=2e-2, atol=3e-4, msg=f"{file} {name}")
    HimmelForConditionalGeneration.from_pretrained(spread.folder)


@pytest.mark.parametrize("number", [1, 2])
def test_a_checkpoint_holds_what_learns_and_a_training_goes_on_from_it(
    nano_folder: str, tmp_path: Path, number: int
) -> None:
    base = tiny_base(tmp_path, of="nano", host=nano_folder)
    # It also draws the clips, which spawned processes would render.
    run_stage(_stage(base, number))
    unbroken = _stage(base, number, fsdp="full_shard")
    torch.multiprocessing.spawn(two_processes.run_stage_together, (_free_port(), unbroken), nprocs=2)
    checkpoint = newest_checkpoint(unbroken.folder / "state")
    assert checkpoint is not None
    saved = load_file(checkpoint / "trained_parts.safetensors")
    assert all(value.numel() for value in saved.values())
    # AdamW's two moments, and the weights once; of the frozen host, nothing.
    trained = sum(4 * value.numel() for value in saved.values())
    assert sum(file.stat().st_size for file in checkpoint.glob("**/*")) < 3 * trained + 2**20
    broken = replace(unbroken, output=tmp_path / "broken")
    torch.multiprocessing.spawn(two_processes.run_stage_and_break, (_free_port(), broken, 3), nprocs=2)
    assert not broken.done
    torch.multiprocessing.spawn(two_processes.run_stage_together, (_free_port(), broken), nprocs=2)
    assert _curve(broken) == _curve(unbroken)
    for file in unbroken.folder.glob("*.safetensors"):
        assert (broken.folder / file.name).read_bytes() == file.read_bytes(), file


def test_bfloat16_and_the_other_way_of_sharding(nano_folder: str, tmp_path: Path) -> None:
    base = tiny_base(tmp_path, of="nano", host=nano_folder)
    plain = _stage(base, 2, precision="bfloat16")
    stage = _stage(base, 2, precision="bfloat16", fsdp="shard_grad_op", gradient_checkpointing="true")
    run_stage(plain)
    torch.multiprocessing.spawn(two_processes.run_stage_together, (_free_port(), stage), nprocs=2)
    assert _curve(stage) == pytest.approx(_curve(plain), rel=2e-2)
    state = load_file(stage.folder / "adapter.safetensors")
    assert all(bool(value.isfinite().all()) and value.numel() for value in state.values())
