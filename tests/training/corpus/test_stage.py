"""Both stages on a file of questions about videos: what `himmel train` does with one's own data, in little."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from himmel.errors import RecipeError
from himmel.training.plan import plan_stages
from himmel.training.resolve import resolve_recipe
from himmel.training.run import run_recipe
from tiny_recipes import tiny_base


def files_recipe(folder: Path, corpus: Path, host: str, *, of: str = "qwen2_5_vl", **data: Any) -> str:
    """A tiny recipe on the questions of a corpus."""
    sizes: dict[str, Any] = {} if of == "nano" else {"max_anchor_tokens": 12, "adapter": {"context_size": 16}}
    base = tiny_base(folder, of=of, host=host, num_anchors=2, **sizes)
    content = {
        "base": base,
        "data": {"source": "files", "folder": str(corpus), "sets": [{"annotations": "questions.jsonl"}], **data},
        "stage1": {"alignment": {"probe_weight": 0.0}, "optimizer": {"batch_size": 2, "log_every": 1}},
        "stage2": {"blind_share": 0.0, "optimizer": {"batch_size": 2, "log_every": 1}},
    }
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.mark.parametrize("workers", [0, 2])
def test_both_stages_learn_from_a_file_of_questions(
    corpus: Path, qwen_folder: str, tmp_path: Path, workers: int
) -> None:
    recipe = files_recipe(tmp_path, corpus, qwen_folder, workers=workers)
    checkpoint = run_recipe(recipe)
    stages = {stage.kind: stage.folder for stage in plan_stages(resolve_recipe(recipe).recipe)}
    assert list(stages) == ["stage1", "stage2"]
    for kind, folder in stages.items():
        log = json.loads((folder / "training" / f"{kind}.json").read_text())["log"]
        steps = [line for line in log if "loss" in line]
        assert len(steps) == 2
        assert all(line["loss"] > 0 and 0 <= line["waiting"] <= 1 for line in steps)
    assert (checkpoint / "adapter.safetensors").is_file()


def test_what_only_rendered_clips_have_is_refused_before_anything_runs(
    corpus: Path, qwen_folder: str, tmp_path: Path
) -> None:
    recipe = files_recipe(tmp_path, corpus, qwen_folder)
    with pytest.raises(RecipeError, match=r"stage2.blind_share = 0.5 needs the truth about rendered clips"):
        run_recipe(recipe, overrides={"stage2.blind_share": "0.5"})
    assert not (tmp_path / "runs").exists()


def test_a_broken_video_is_listed_and_another_takes_its_place(corpus: Path, qwen_folder: str, tmp_path: Path) -> None:
    recipe = files_recipe(tmp_path, corpus, qwen_folder, workers=1)
    # Two steps of four: every sample is drawn.
    checkpoint = run_recipe(recipe, overrides={"stage2.optimizer.batch_size": "4"})
    lines = [json.loads(line) for line in (checkpoint / "skipped.jsonl").read_text().splitlines()]
    assert [(line["what"], line["cause"]) for line in lines] == [(str(corpus / "broken.mp4"), "refused")]
    log = json.loads((checkpoint / "training" / "stage2.json").read_text())["log"]
    assert [line["skipped"] for line in log if "loss" in line][-1] == 1


def test_a_projector_learns_from_the_pictures_of_files(corpus: Path, nano_folder: str, tmp_path: Path) -> None:
    recipe = files_recipe(tmp_path, corpus, nano_folder, of="nano", workers=0)
    run_recipe(recipe)
    first = plan_stages(resolve_recipe(recipe).recipe)[0]
    assert first.kind == "projector"
    log = json.loads((first.folder / "training" / "projector.json").read_text())["log"]
    assert log[-1]["train_loss"] > 0
