"""Both stages on a file of questions about videos: what `himmel train` does with one's own data, in little."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from himmel.data.cache import CacheSettings
from himmel.data.prepare import prepare
from himmel.errors import RecipeError
from himmel.training.corpus.samples import DrawnSamples
from himmel.training.plan import plan_stages
from himmel.training.resolve import resolve_recipe
from himmel.training.run import run_recipe
from tiny_recipes import files_recipe


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


def test_a_run_that_stopped_in_the_middle_of_a_pass_goes_on_with_the_same_samples(
    corpus: Path, qwen_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three steps of two samples over four: the third begins the second pass."""
    changes = {"stages": "[2]", "stage2.optimizer.steps": "3", "stage2.optimizer.save_every": "1"}
    whole = run_recipe(
        files_recipe(tmp_path, corpus, qwen_folder), overrides=changes | {"output": str(tmp_path / "one")}
    )
    get = DrawnSamples.__getitem__

    def stop(items: DrawnSamples[Any], place: int) -> Any:
        if place >= 4:
            raise KeyboardInterrupt
        return get(items, place)

    monkeypatch.setattr(DrawnSamples, "__getitem__", stop)
    recipe = files_recipe(tmp_path, corpus, qwen_folder)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(recipe, overrides=changes)
    taken: list[int] = []

    def note(items: DrawnSamples[Any], place: int) -> Any:
        taken.append(place)
        return get(items, place)

    monkeypatch.setattr(DrawnSamples, "__getitem__", note)
    resumed = run_recipe(recipe, overrides=changes)
    # The trainer asks for one batch ahead, so that the stop came before the second step was over.
    assert taken == [2, 3, 4, 5]
    one, other = (load_file(folder / "adapter.safetensors") for folder in (whole, resumed))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_both_stages_learn_from_a_prepared_cache(corpus: Path, qwen_folder: str, tmp_path: Path) -> None:
    recipe = files_recipe(tmp_path, corpus, qwen_folder, cache=str(tmp_path / "cache"))
    settings = CacheSettings(num_anchors=2, steps_per_interval=2)
    prepare(str(corpus), tmp_path / "cache", settings=settings)
    for number in range(3):
        # Whatever comes from the cache needs no file any more.
        (corpus / f"{number}.mp4").unlink()
    checkpoint = run_recipe(recipe)
    log = json.loads((checkpoint / "training" / "stage2.json").read_text())["log"]
    assert log[-1]["train_loss"] > 0
    with pytest.raises(RecipeError, match=r"prepared with num_anchors = 2 and the recipe's model wants 3"):
        run_recipe(recipe, overrides={"model.num_anchors": "3"})
