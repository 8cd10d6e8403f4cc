"""All stages on real rendered clips and a tiny host: what `himmel train` does, in little."""

import json
from pathlib import Path

import pytest
import torch

from himmel.errors import RecipeError
from himmel.model import HimmelConfig, HimmelForConditionalGeneration
from himmel.training.run import run_recipe
from himmel.training.store import ClipStore

RECIPES = Path(__file__).parents[2] / "recipes" / "nano"


def _overrides(host: str, output: Path, init: Path | None) -> dict[str, str]:
    return {
        "host": host,
        "output": str(output),
        "init": "null" if init is None else str(init),
        "data.clips": "2",
        "optimizer.steps": "2",
        "optimizer.batch_size": "2",
        "optimizer.warmup_steps": "0",
        "optimizer.log_every": "1",
    }


@pytest.fixture(autouse=True)
def _own_cache_of_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("himmel.training.store.cache_root", lambda: tmp_path / "cache")


@pytest.mark.assets
@pytest.mark.slow
def test_the_three_stages_follow_one_another(nano_folder: str, tmp_path: Path) -> None:
    before: Path | None = None
    for stage in ("projector", "stage1", "stage2"):
        output = tmp_path / stage
        run_recipe(RECIPES / f"{stage}.yaml", overrides=_overrides(nano_folder, output, before))
        before = output
    records = sorted(file.stem for file in (tmp_path / "stage2" / "training").glob("*.json"))
    assert records == ["nano-projector", "nano-stage1", "nano-stage2"]
    record = json.loads((tmp_path / "stage2" / "training" / "nano-stage2.json").read_text())
    assert record["recipe"]["optimizer"]["steps"] == 2
    assert any("loss" in entry for entry in record["log"])
    models = {name: HimmelForConditionalGeneration.from_pretrained(tmp_path / name) for name in ("stage1", "stage2")}
    changed = {
        name: not torch.equal(parameter, dict(models["stage1"].named_parameters())[name])
        for name, parameter in models["stage2"].named_parameters()
    }
    assert any(value for name, value in changed.items() if ".lora_B." in name)
    assert any(value for name, value in changed.items() if name.startswith("adapter.projector."))
    assert not any(value for name, value in changed.items() if "embed_tokens" in name or ".base_layer." in name)


@pytest.mark.assets
def test_prepared_clips_are_made_once_and_read_back_whole(nano_folder: str, tmp_path: Path) -> None:
    config = HimmelConfig.nano(host=nano_folder, host_hidden_size=32)
    store = ClipStore(config, split="train", root=tmp_path)
    store.prepare([5], workers=1)
    made = store.path(5).stat().st_mtime_ns
    store.prepare([5], workers=1)
    assert store.path(5).stat().st_mtime_ns == made
    clip = store.load(5)
    assert clip.sample.num_intervals == len(clip.truth_values) == 8
    assert clip.sample.images["tower_features"].shape == (8, 1280, 7, 7)
    assert all(len(question.choices) == 4 for question in clip.questions)


def test_a_missing_start_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="which is missing; run the recipe that writes it"):
        run_recipe(RECIPES / "stage2.yaml", overrides={"init": str(tmp_path / "none")})
