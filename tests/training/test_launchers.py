"""Real commands in two processes, by torchrun and by `accelerate launch`, against one process."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tiny_hosts import nano_folder
from tiny_recipes import tiny_base

__all__ = ["nano_folder"]

pytestmark = pytest.mark.slow

_BIN = Path(sys.executable).parent
_LAUNCHERS = {
    "alone": [],
    "torchrun": [str(_BIN / "torchrun"), "--nproc-per-node", "2", "--master-port", "{port}", "--no-python"],
    "accelerate": [
        *(str(_BIN / "accelerate"), "launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
        *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "{port}", "--no_python"),
    ],
}


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _train(launcher: str, base: str, output: Path, **changes: str) -> Path:
    """Run `himmel train` by a launcher; the folder that it names."""
    few = {
        "stages": "[2]",
        "projector": "null",
        "stage2.optimizer.batch_size": "2",
        "stage2.blind_share": "0",
        "stage2.sentence_share": "0",
        "data": "{clips: 1, first_seed: 1}",
        "output": str(output),
        **changes,
    }
    sets = [word for key, value in few.items() for word in ("--set", f"{key}={value}")]
    command = [word.format(port=_free_port()) for word in _LAUNCHERS[launcher]]
    command += [str(_BIN / "himmel"), "train", "default", "--base", base, *sets]
    environment = {**os.environ, "HIMMEL_CACHE": str(output.parent / "cache"), "OMP_NUM_THREADS": "1"}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        environment.pop(name, None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.count("The checkpoint is in") == done.stdout.count("stage2 goes to") == 1
    (folder,) = output.glob("*/stage2-*")
    return folder


@pytest.mark.parametrize(
    ("launcher", "fsdp"), [("torchrun", "null"), ("accelerate", "null"), ("torchrun", "full_shard")]
)
def test_a_launcher_ends_where_one_process_does(nano_folder: str, tmp_path: Path, launcher: str, fsdp: str) -> None:
    base = tiny_base(tmp_path, of="nano", host=nano_folder)
    alone = _train("alone", base, tmp_path / "alone")
    together = _train(launcher, base, tmp_path / "together", **{"stage2.compute.fsdp": fsdp})
    for file in ("adapter.safetensors", "lora/adapter_model.safetensors"):
        first, second = (load_file(folder / file) for folder in (alone, together))
        assert first.keys() == second.keys()
        # Checkpoints are bfloat16, of eight bits.
        assert all(second[name].allclose(value, rtol=2e-2, atol=3e-4) for name, value in first.items())
    losses = [
        json.loads((folder / "training" / "stage2.json").read_text())["log"][-1]["train_loss"]
        for folder in (alone, together)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
