"""Looking at held-out videos and text while two processes share a model's weights by FSDP."""

import json
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import two_processes
from himmel.data.samples.skipped import SkippedList
from himmel.training.corpus.stage import read_tables
from himmel.training.plan import plan_stages
from himmel.training.resolve import resolve_recipe
from himmel.training.validation import BEST_PARTS, read_best
from tiny_recipes import files_recipe

pytestmark = pytest.mark.slow


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_both_kinds_are_looked_at_and_the_best_step_is_kept_as_it_learned(
    corpus: Path, qwen_folder: str, tmp_path: Path
) -> None:
    """One process with a video and one with text went through different layers, and waited for each other."""
    rows = [{"question": f"what is {number}", "answer": "one two"} for number in range(12)]
    (corpus / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sets = [{"annotations": "questions.jsonl"}, {"annotations": "text.jsonl"}]
    recipe = files_recipe(tmp_path, corpus, qwen_folder, sets=sets, validation={"share": 0.23})
    few = {
        "stages": "[2]",
        "stage2.compute.fsdp": "full_shard",
        "stage2.optimizer": "{steps: 2, validate_every: 1, save_every: 1}",
    }
    (stage,) = plan_stages(resolve_recipe(recipe, overrides=few).recipe)
    assert stage.data is not None
    _, held = read_tables(stage.data, seed=0, skipped=SkippedList(tmp_path / "skipped.jsonl"))
    assert sorted(held[row].kind for row in range(len(held))) == ["text", "video"]
    torch.multiprocessing.spawn(two_processes.run_stage_together, (_free_port(), stage), nprocs=2)
    log = json.loads((stage.folder / "training" / "stage2.json").read_text())["log"]
    assert [line["step"] for line in log if "eval_loss" in line] == [0, 1, 2]
    state = stage.folder / "state"
    best = read_best(state / BEST_PARTS)
    assert best is not None
    kept = load_file(state / BEST_PARTS)
    learned = load_file(state / f"checkpoint-{best.step}" / "trained_parts.safetensors")
    assert kept.keys() == learned.keys()
    for name, value in learned.items():
        # The model computes in bfloat16, and learns in float32.
        assert value.dtype == torch.float32
        assert value.numel()
        assert torch.equal(kept[name], value), name
    assert (stage.folder / "best" / "config.json").is_file()
