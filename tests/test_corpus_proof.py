"""The proof of the whole way from a folder of videos to an adapter, at small size."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tiny_hosts import qwen_folder, tiny_host
from tiny_recipes import tiny_base

__all__ = ["qwen_folder", "tiny_host"]

ROOT = Path(__file__).parents[1]
CLIPS, STEPS = 40, 12


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform == "win32", reason="nothing is killed there as it is elsewhere")
def test_a_corpus_goes_from_files_to_answers_through_four_kills(qwen_folder: str, tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"max_anchor_tokens": 12, "adapter": {"context_size": 16}}
    base = tiny_base(tmp_path, of="qwen2_5_vl", host=qwen_folder, num_anchors=3, **sizes)
    proof = tmp_path / "proof"
    command = [sys.executable, "-m", "benchmarks.corpus_proof", str(proof), "--clips", str(CLIPS), "--base", base]
    command += ["--steps", str(STEPS), "--workers", "1", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["corpus"]["files"] == found["audit"]["files"] == CLIPS
    assert found["audit"]["refused"] == 5
    assert sum(found["prepare"]["failed"].values()) == 6
    assert (found["prepare"]["kills"], found["train"]["kills"]) == (2, 2)
    assert found["train without a kill"]["equal steps"] == 2 * STEPS
    assert found["eval"]["questions"] == 5
    # What is done stays done.
    before = (proof / "proof.json").read_bytes()
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (again.returncode, again.stderr) == (0, "")
    assert (proof / "proof.json").read_bytes() == before
