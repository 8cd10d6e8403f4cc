"""`himmel merge`, `card` and `push`."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from himmel.hosts import Loading
from himmel.model import HimmelForConditionalGeneration, HimmelProcessor
from tiny_hosts import make_decomposition

Run = Callable[..., tuple[int, str, str]]


def test_a_merged_checkpoint_answers_alike(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    code, out, err = run("merge", checkpoint, "-o", tmp_path / "merged", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["lora_rank"], told["dtype"]) == (4, "float32")
    apart = HimmelForConditionalGeneration.from_pretrained(checkpoint)
    merged = HimmelForConditionalGeneration.from_pretrained(told["checkpoint"])
    processor = HimmelProcessor.from_pretrained(told["checkpoint"])
    inputs = processor.encode([processor.prepare(make_decomposition())], [[("What moves?", None)]])
    torch.testing.assert_close(merged(inputs).logits, apart(inputs).logits, rtol=1e-4, atol=2e-6)


def test_a_merged_host_in_bfloat16(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    code, out, _ = run("merge", checkpoint, "-o", tmp_path / "merged", "--dtype", "bfloat16")
    assert code == 0
    assert "LoRA of rank 4 is in the weights of" in out
    stored = HimmelForConditionalGeneration.from_pretrained(tmp_path / "merged", loading=Loading(dtype=torch.bfloat16))
    assert stored.network.lm_head.weight.dtype == torch.bfloat16


def test_what_training_recorded_comes_along(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    trained = shutil.copytree(checkpoint, tmp_path / "trained")
    (trained / "training").mkdir()
    record = {"stage": {"seed": 13}, "versions": {"torch": "2.13.0"}, "log": [{"loss": 2.5}]}
    (trained / "training/stage2.json").write_text(json.dumps(record), encoding="utf-8")
    assert run("merge", trained, "-o", tmp_path / "merged")[0] == 0
    assert run("card", tmp_path / "merged")[0] == 0
    text = (tmp_path / "merged/README.md").read_text(encoding="utf-8")
    assert "## Training: stage2" in text
    assert "`host/model.safetensors`" in text


def test_a_card_by_command(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    run("merge", checkpoint, "-o", tmp_path / "merged")
    code, out, err = run("card", tmp_path / "merged", "--name", "someone/tiny", "--license", "mit", "--json")
    assert (code, err) == (0, "")
    text = Path(json.loads(out)["card"]).read_text(encoding="utf-8")
    assert "license: mit" in text
    assert "# someone/tiny" in text
    code, _, err = run("card", tmp_path / "merged")
    assert code == 2
    assert "ask to overwrite it" in err
    assert run("card", tmp_path / "merged", "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("words", "code", "names"),
    [
        (("merge", "nowhere", "-o", "out"), 1, "nowhere"),
        (("merge", "{checkpoint}", "-o", "{checkpoint}"), 2, "new or empty"),
        (("merge", "{checkpoint}", "-o", "out", "--dtype", "int8"), 2, "'int8'"),
        (("card", "nowhere"), 1, "nowhere"),
        (("card", "{checkpoint}", "--results", "nowhere.json"), 2, "nowhere.json"),
        (("push", "nowhere", "someone/tiny"), 1, "nowhere"),
    ],
)
def test_bad_input_is_one_sentence(
    run: Run,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    code: int,
    names: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    given, out, err = run(*(word.format(checkpoint=checkpoint) for word in words))
    assert (given, out) == (code, "")
    assert names in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
