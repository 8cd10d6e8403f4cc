"""DeepSpeed on two processes; its accelerator for processors takes gloo, so that no GPU is needed."""

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers.integrations.deepspeed import is_deepspeed_available

import two_processes
from himmel.model import HimmelForConditionalGeneration
from himmel.training.plan import Stage, plan_stages
from himmel.training.resolve import resolve_recipe
from himmel.training.run import run_stage
from tiny_hosts import nano_folder, tiny_host
from tiny_recipes import tiny_base

__all__ = ["nano_folder", "tiny_host"]

pytestmark = [
    pytest.mark.slow,
    # DeepSpeed compiles in each process.
    pytest.mark.timeout(1200),
    pytest.mark.usefixtures("unrendered"),
    pytest.mark.skipif(not is_deepspeed_available(), reason="DeepSpeed is not installed"),
]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _stage(base: str, number: int, **compute: str) -> Stage:
    few = {
        "stages": f"[{number}]",
        "projector": "null",
        f"stage{number}.optimizer": "{steps: 4, batch_size: 2, save_every: 2, log_every: 1, warmup_steps: 0}",
        "stage2.blind_share": "0",
        "stage2.sentence_share": "0",
        "data": "{clips: 5}",
        **{f"stage{number}.compute.{key}": value for key, value in compute.items()},
    }
    return plan_stages(resolve_recipe("default", base=base, overrides=few).recipe)[0]


@pytest.mark.parametrize("zero", ["zero2", "zero3"])
@pytest.mark.parametrize(("number", "file"), [(1, "adapter.safetensors"), (2, "lora/adapter_model.safetensors")])
def test_two_processes_end_where_one_does_without_deepspeed(
    nano_folder: str, tmp_path: Path, number: int, file: str, zero: str
) -> None:
    base = tiny_base(tmp_path, of="nano", host=nano_folder)
    plain, spread = _stage(base, number), _stage(base, number, deepspeed=zero)
    run_stage(plain)
    torch.multiprocessing.spawn(two_processes.run_stage_together, (_free_port(), spread), nprocs=2)
    first, second = (load_file(one.folder / file) for one in (plain, spread))
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=2e-2, atol=2e-4, msg=name)
    records = [json.loads((one.folder / "training" / f"{one.kind}.json").read_text()) for one in (plain, spread)]
    losses = [record["log"][-1]["train_loss"] for record in records]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    saved = sum(path.stat().st_size for path in (spread.folder / "state").glob("checkpoint-4/**/*states.pt"))
    # AdamW's two moments, and the weights in float32 once or twice; of the frozen host, nothing.
    trained = 4 * sum(value.numel() for value in first.values())
    assert saved < 8 * trained + 2**21


@pytest.mark.parametrize(("zero", "precision"), [("zero2", "bfloat16"), ("zero3", "bfloat16"), ("zero3", "float32")])
def test_bfloat16_and_resuming(tiny_host: Callable[[str], str], tmp_path: Path, zero: str, precision: str) -> None:
    """Norms count in float32, and a training goes on from DeepSpeed's checkpoint, in which frozen weights are not."""
    adapter = {"branch": "resnet18", "map_size": 20, "context_size": 32}
    base = tiny_base(tmp_path, of="qwen2_5_vl", host=tiny_host("qwen2_5_vl"), max_anchor_tokens=12, adapter=adapter)
    # It also draws the clips, which spawned processes would render.
    run_stage(_stage(base, 2))
    unbroken = _stage(base, 2, deepspeed=zero, precision=precision)
    torch.multiprocessing.spawn(two_processes.run_stage_together, (_free_port(), unbroken), nprocs=2)
    broken = replace(unbroken, output=tmp_path / "broken")
    torch.multiprocessing.spawn(two_processes.run_stage_and_break, (_free_port(), broken, 3), nprocs=2)
    assert not broken.done
    torch.multiprocessing.spawn(two_processes.run_stage_together, (_free_port(), broken), nprocs=2)
    records = [json.loads((one.folder / "training" / "stage2.json").read_text()) for one in (unbroken, broken)]
    curves = [[entry["loss"] for entry in record["log"] if "loss" in entry] for record in records]
    assert len(curves[0]) == 4
    assert curves[0] == curves[1]
    assert curves[0][-1] < curves[0][0] - 0.02
    for file in ("adapter.safetensors", "lora/adapter_model.safetensors"):
        assert (broken.folder / file).read_bytes() == (unbroken.folder / file).read_bytes()
    HimmelForConditionalGeneration.from_pretrained(broken.folder)
    state = load_file(broken.folder / "adapter.safetensors")
    assert all(bool(value.isfinite().all()) and value.numel() for value in state.values())
