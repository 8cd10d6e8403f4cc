"""What is held out of a corpus: the same videos always, and nothing of them on the other side."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from himmel.data.samples import Medium, Sample, SampleTable, Turn
from himmel.data.samples.skipped import SkippedList
from himmel.errors import RecipeError
from himmel.training.corpus.holdout import HoldOut, batches_by_kind, choose_rows
from himmel.training.corpus.samples import DrawnSamples
from himmel.training.corpus.stage import read_tables
from himmel.training.plan import plan_stages
from himmel.training.recipe import DataSection, SetSection, ValidationSection
from himmel.training.resolve import resolve_recipe
from himmel.training.run import run_recipe
from tiny_recipes import files_recipe

TURNS = (Turn("What?", "this"),)


def _video(name: str, folder: str = "/data") -> Sample:
    return Sample(name, (Medium("video", f"{folder}/{name}.mp4"),), TURNS)


def test_about_the_share_is_held_out_wherever_the_corpus_is() -> None:
    sides = [HoldOut(0.1, Path("/data")).side(_video(str(number))) for number in range(5000)]
    # Four standard deviations of a binomial.
    assert abs(sides.count("held") - 500) < 4 * (5000 * 0.1 * 0.9) ** 0.5
    moved = [HoldOut(0.1, Path("/else")).side(_video(str(number), "/else")) for number in range(5000)]
    assert moved == sides
    # More is added to what is held out, and nothing of it goes back.
    wider = [HoldOut(0.2, Path("/data")).side(_video(str(number))) for number in range(5000)]
    assert all(after == "held" for before, after in zip(sides, wider, strict=True) if before == "held")


def test_all_questions_about_a_video_are_on_one_side() -> None:
    holdout = HoldOut(0.5, Path("/data"))
    for number in range(50):
        video = _video(str(number))
        part = Sample("other", (Medium("video", video.media[0].path, 1.0, 2.0),), (Turn("Why?", "so"),))
        assert holdout.side(part) == holdout.side(video)


def test_pictures_of_both_sides_in_one_sample_belong_to_neither() -> None:
    holdout = HoldOut(0.5, Path("/data"))
    media = [Medium("image", f"/data/{number}.png") for number in range(20)]
    alone = {medium: holdout.side(Sample("one", (medium,), TURNS)) for medium in media}
    assert set(alone.values()) == {"held", "learned"}
    for one in media:
        for other in media:
            both = holdout.side(Sample("two", (one, other), TURNS))
            assert both == (alone[one] if alone[one] == alone[other] else "neither")


def test_texts_are_told_apart_by_their_words() -> None:
    holdout = HoldOut(0.5, Path("/data"))
    sides = [holdout.side(Sample("same", (), (Turn(f"{number}?", "yes"),))) for number in range(40)]
    assert set(sides) == {"held", "learned"}
    again = [holdout.side(Sample("other id", (), (Turn(f"{number}?", "yes"),))) for number in range(40)]
    assert again == sides


def test_batches_hold_one_kind_and_similar_lengths() -> None:
    texts = [Sample(f"t{number}", (), TURNS) for number in range(3)]
    videos = [_video(str(number)) for number in range(4)]
    table = SampleTable.of((0, sample) for sample in [*texts, *videos])
    rows = choose_rows(np.arange(7), most=100, seed=0)
    sizes = np.array([5, 4, 3, 10, 30, 20, 40])
    assert batches_by_kind(table, rows, sizes, 2) == (((3, 5), (4, 6)), ((2, 1), (0,)))
    few = choose_rows(np.arange(7), most=3, seed=0)
    assert len(few) == len(set(few.tolist())) == 3
    assert few.tolist() == choose_rows(np.arange(7), most=3, seed=0).tolist()


def _share(corpus: Path) -> float:
    """So much that at least one of the three readable videos is on each side."""
    for share in (0.3, 0.4, 0.5, 0.6, 0.7):
        sides = [HoldOut(share, corpus).side(_video(str(number), str(corpus))) for number in range(3)]
        if set(sides) == {"held", "learned"}:
            return share
    raise AssertionError("no share parts these names")


def test_no_video_of_a_corpus_is_on_both_sides(corpus: Path, tmp_path: Path) -> None:
    data = DataSection(
        source="files",
        folder=str(corpus),
        sets=(SetSection(annotations="questions.jsonl"),),
        validation=ValidationSection(share=_share(corpus)),
    )
    learned, held = read_tables(data, seed=0, skipped=SkippedList(tmp_path / "skipped.jsonl"))
    names = [{table[row].media[0].path for row in range(len(table))} for table in (learned, held)]
    assert names[0]
    assert names[1]
    assert not names[0] & names[1]
    assert len(learned) + len(held) == 4


def test_both_stages_look_at_the_videos_that_are_held_out(
    corpus: Path, qwen_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = _share(corpus)
    holdout, seen = HoldOut(share, corpus), set()

    class Noted(DrawnSamples[object]):
        """Whatever may take a place in it is on one side."""

        def __init__(self, table: SampleTable, *args: Any, **options: Any) -> None:
            super().__init__(table, *args, **options)
            (side,) = {holdout.side(table[row]) for row in range(len(table))}
            seen.add(side)

    monkeypatch.setattr("himmel.training.corpus.stage.DrawnSamples", Noted)
    recipe = files_recipe(tmp_path, corpus, qwen_folder, validation={"share": share})
    run_recipe(recipe, overrides={"stage1.optimizer.validate_every": "1", "stage2.optimizer.validate_every": "1"})
    assert seen == {"learned", "held"}
    stages = {stage.kind: stage for stage in plan_stages(resolve_recipe(recipe).recipe)}
    for kind, wanted in (("stage1", "eval_motion_recall_at_5"), ("stage2", "eval_right_tokens")):
        log = json.loads((stages[kind].folder / "training" / f"{kind}.json").read_text())["log"]
        looks = [line for line in log if "eval_loss" in line]
        assert [line["step"] for line in looks] == [0, 1, 2]
        assert all(wanted in line for line in looks)


def test_what_is_held_out_of_files_makes_another_stage(corpus: Path, qwen_folder: str, tmp_path: Path) -> None:
    recipe = files_recipe(tmp_path, corpus, qwen_folder)
    keys = {
        text: plan_stages(resolve_recipe(recipe, overrides={"data.validation": text}).recipe)[0].key
        for text in ("null", "{share: 0.5}", "{share: 0.25}", "{share: 0.25, samples: 9}")
    }
    assert len(set(keys.values())) == 3
    assert keys["{share: 0.25}"] == keys["{share: 0.25, samples: 9}"]


def test_a_share_that_holds_nothing_out_is_one_sentence(corpus: Path, qwen_folder: str, tmp_path: Path) -> None:
    recipe = files_recipe(tmp_path, corpus, qwen_folder, validation={"share": 1e-9})
    with pytest.raises(RecipeError, match=r"share = 1e-09 holds nothing out .* beside 4 samples that it learns from"):
        run_recipe(recipe)
