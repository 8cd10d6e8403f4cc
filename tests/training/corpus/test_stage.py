"""Both stages on a file of questions about videos: what `himmel train` does with one's own data, in little."""

import json
import re
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from himmel.data.cache import CacheSettings
from himmel.data.cache.features import FeatureStore, feature_sets
from himmel.data.features import add_features
from himmel.data.prepare import prepare
from himmel.data.samples.skipped import SkippedList
from himmel.errors import RecipeError
from himmel.model import align_targets
from himmel.training.alignment import AlignmentModel
from himmel.training.beginning import initial_model
from himmel.training.corpus.batches import CorpusAlignment
from himmel.training.corpus.samples import DrawnSamples
from himmel.training.corpus.stage import check_files, corpus_data, group_samples, read_tables
from himmel.training.plan import plan_stages
from himmel.training.recipe import DataSection, SetSection, Stage1Section, ValidationSection
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


def test_the_tower_sees_each_video_once(
    corpus: Path, qwen_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six steps of two videos over three: four passes, of which three find what the first has kept."""
    monkeypatch.setenv("HIMMEL_CACHE", str(tmp_path / "kept"))
    recipe = files_recipe(tmp_path, corpus, qwen_folder)
    changes = {"stages": "[1]", "stage1.optimizer.steps": "6"}
    seen: list[int] = []

    def count(host: Any, network: Any, samples: Any) -> torch.Tensor:
        seen.append(len(samples))
        return align_targets(host, network, samples)

    monkeypatch.setattr("himmel.training.corpus.batches.align_targets", count)
    first = run_recipe(recipe, overrides={**changes, "output": str(tmp_path / "one")})
    # A batch may be read before the one ahead of it is seen.
    assert 3 <= sum(seen) <= 5
    seen.clear()
    again = run_recipe(recipe, overrides={**changes, "output": str(tmp_path / "two")})
    assert not seen
    logs = [
        [line.get("loss") for line in json.loads((folder / "training" / "stage1.json").read_text())["log"]]
        for folder in (first, again)
    ]
    assert logs[0] == logs[1]
    one, other = (load_file(folder / "adapter.safetensors") for folder in (first, again))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_what_only_rendered_clips_have_is_refused_before_anything_runs(
    corpus: Path, qwen_folder: str, tmp_path: Path
) -> None:
    recipe = files_recipe(tmp_path, corpus, qwen_folder)
    for share in ("blind_share", "still_share", "label_share"):
        with pytest.raises(RecipeError, match=rf"stage2.{share} = 0.5 needs the truth about rendered clips"):
            run_recipe(recipe, overrides={f"stage2.{share}": "0.5"})
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


def test_a_training_does_not_go_on_with_other_samples(
    corpus: Path, qwen_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"stages": "[2]", "stage2.optimizer.steps": "3", "stage2.optimizer.save_every": "1"}
    recipe, questions = files_recipe(tmp_path, corpus, qwen_folder), corpus / "questions.jsonl"
    get = DrawnSamples.__getitem__

    def stop(items: DrawnSamples[Any], place: int) -> Any:
        if place >= 4:
            raise KeyboardInterrupt
        return get(items, place)

    with monkeypatch.context() as patch:
        patch.setattr(DrawnSamples, "__getitem__", stop)
        with pytest.raises(KeyboardInterrupt):
            run_recipe(recipe, overrides=changes)
    before = questions.read_text()
    questions.write_text(before + before.splitlines()[0].replace("clip 0", "another") + "\n")
    with pytest.raises(RecipeError, match=r"data.sets have changed since step 1 of this training.*--from-scratch"):
        run_recipe(recipe, overrides=changes)
    questions.write_text(before)
    run_recipe(recipe, overrides=changes)
    questions.write_text(before + before)
    run_recipe(recipe, overrides=changes, resume=False)


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


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "nano"])
def test_stage_1_takes_a_hosts_features_from_the_cache_and_runs_its_tower_no_more(
    corpus: Path, qwen_folder: str, seeing_nano: str, tmp_path: Path, kind: str
) -> None:
    host, cache = seeing_nano if kind == "nano" else qwen_folder, tmp_path / "cache"
    recipe = files_recipe(tmp_path, corpus, host, of=kind, cache=str(cache))
    prepare(str(corpus), cache, settings=CacheSettings(num_anchors=2, steps_per_interval=2))
    # As the tiny host's weights are stored, which `add_features` goes by.
    exact = {"projector": "null", "stage1.compute.precision": "float32"}
    resolved = resolve_recipe(recipe, overrides=exact).recipe
    stage = next(one for one in plan_stages(resolved) if one.kind == "stage1")
    assert isinstance(stage.section, Stage1Section)
    stage.folder.mkdir(parents=True)
    model = initial_model(stage)
    towers: list[str] = []
    tower = model.network.model.tower if kind == "nano" else model.network.model.visual
    tower.register_forward_hook(lambda *_: towers.append(kind))
    sources = {"anew": corpus_data(stage, model, batch_size=2)}
    add_features(cache, host=host, max_anchor_tokens=model.config.max_anchor_tokens)
    sources["cache"] = corpus_data(stage, model, batch_size=2)
    # Nano's projector learns, so that it has to look at what its tower gave.
    assert [data.shows_host for data in sources.values()] == [True, kind == "nano"]

    found: dict[str, float] = {}
    targets: list[torch.Tensor] = []
    for name, data in sources.items():
        batch = data.collate([data.items[place] for place in range(3)])
        learner = CorpusAlignment(AlignmentModel(model.adapter, section=stage.section.alignment, probes=None), model)
        learner.learner.register_forward_pre_hook(
            lambda _, __, given: targets.append(given["targets"]), with_kwargs=True
        )
        torch.manual_seed(0)
        found[name] = learner.eval()(**batch)["loss"].item()
        learner.release()
        assert bool(towers) == (name == "anew")
        towers.clear()
    anew, kept = targets
    assert anew.abs().max() > 1e-3
    # What is kept is off by at most 2^-11 of itself, a target by what two of them are off by.
    torch.testing.assert_close(kept, anew, rtol=0, atol=2 * 2**-11 * _largest(cache))
    assert found["cache"] == pytest.approx(found["anew"], rel=1e-2)

    (about,) = feature_sets(cache)
    shutil.copy(corpus / "0.mp4", corpus / "more.mp4")
    with (corpus / "more.mp4").open("ab") as file:
        file.write(struct.pack(">I4sI", 12, b"free", 1))
    prepare(str(corpus), cache, settings=CacheSettings(num_anchors=2, steps_per_interval=2))
    with pytest.raises(RecipeError, match=rf"features of {re.escape(about.host)} for all but 1 of its 4 videos"):
        corpus_data(stage, model, batch_size=2)


def _largest(cache: Path) -> float:
    """Of all values that are kept."""
    (about,) = feature_sets(cache)
    store = FeatureStore(cache, about)
    hashes = [sha256 for one in store.files for sha256 in one.hashes]
    return max(float(np.abs(store.read(sha256).astype(np.float32)).max()) for sha256 in hashes)


def test_a_set_of_weight_0_is_not_even_opened(corpus: Path, tmp_path: Path) -> None:
    """In stage 1 too, which draws each video as often as any other."""
    one, off = SetSection(annotations="questions.jsonl"), SetSection(annotations="gone.jsonl", weight=0)
    skipped = SkippedList(tmp_path / "skipped.jsonl")
    data = DataSection(source="files", folder=str(corpus), sets=(off, one))
    check_files(data)
    table, _ = read_tables(data, seed=0, skipped=skipped)
    assert table.sets.tolist() == [1] * 4
    assert [len(group.rows) for group in group_samples(table, data)] == [4]
    with pytest.raises(RecipeError, match=r"Each of data.sets has weight 0"):
        read_tables(data.model_copy(update={"sets": (off,)}), seed=0, skipped=skipped)


def test_a_share_that_holds_everything_out_is_one_sentence(corpus: Path, tmp_path: Path) -> None:
    data = DataSection(
        source="files",
        folder=str(corpus),
        sets=(SetSection(annotations="questions.jsonl"),),
        validation=ValidationSection(share=1 - 1e-9),
    )
    with pytest.raises(RecipeError, match=r"data.validation.share holds out all 4 samples, so that nothing is learned"):
        read_tables(data, seed=0, skipped=SkippedList(tmp_path / "skipped.jsonl"))


@pytest.mark.parametrize(("rank", "listed"), [("0", ["row"]), ("1", [])])
def test_a_row_that_every_process_meets_is_listed_by_the_first(
    rank: str, listed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", rank)
    rows = [{"question": "What is two and two?", "answer": "four"}, {"question": "What is missing?"}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    data = DataSection(source="files", folder=str(tmp_path), sets=(SetSection(annotations="rows.json"),))
    skipped = SkippedList(tmp_path / "skipped.jsonl")
    table, _ = read_tables(data, seed=0, skipped=skipped)
    assert len(table) == 1
    assert [entry.cause for entry in skipped.entries()] == listed
