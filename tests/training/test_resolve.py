import json
from pathlib import Path

import pytest
import yaml

import himmel
from himmel.errors import RecipeError
from himmel.settings import own_settings
from himmel.training.plan import plan_stages
from himmel.training.resolve import base_names, recipe_names, resolve_recipe

SHIPPED_RUNS = Path(himmel.__file__).parent / "nano" / "checkpoint" / "training"


def write(folder: Path, name: str = "recipe.yaml", **content: object) -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ("kind", "record"), [("projector", "projector"), ("stage1", "stage1"), ("stage2", "stage2-first")]
)
def test_nanos_default_is_what_its_shipped_checkpoint_was_trained_with(kind: str, record: str) -> None:
    """The records beside the weights were written by the runs themselves.

    Stage 2 was given fewer steps, and moved the projector, which was then set back.
    """
    then = json.loads((SHIPPED_RUNS / f"{record}.json").read_text())["stage"]
    stage = next(one for one in plan_stages(resolve_recipe("default", base="nano").recipe) if one.kind == kind)
    now = json.loads(json.dumps(stage.settings))
    if kind == "stage2":
        assert then["settings"]["optimizer"].pop("steps") < now["settings"]["optimizer"].pop("steps")
        assert (then["settings"].pop("also_train"), now["settings"].pop("also_train")) == (["host_projector"], [])
    assert now["settings"] == then["settings"]
    assert (now["host"], now["data"]) == (then["host"], then["data"])
    assert own_settings(stage.config.adapter) == own_settings(himmel.HimmelConfig.nano().adapter)


def test_nanos_shipped_stage_2_was_continued_with_what_the_default_trains() -> None:
    """On two processor cores: smaller batches, other shares of the questions, the same parts and host."""
    then = json.loads((SHIPPED_RUNS / "stage2.json").read_text())["stage"]
    stage = next(one for one in plan_stages(resolve_recipe("default", base="nano").recipe) if one.kind == "stage2")
    now = json.loads(json.dumps(stage.settings))
    for own in (
        "seed",
        "asked_shares",
        "blind_share",
        "still_share",
        "label_share",
        "sentence_share",
        "optimizer",
        "compute",
    ):
        then["settings"].pop(own, None), now["settings"].pop(own, None)
    assert now["settings"] == then["settings"]
    assert now["host"] == then["host"]


def test_nanos_stages_start_from_one_another_with_nothing_drawn_anew() -> None:
    """Part by part, stage 2 takes over what the projector's run drew and stage 1 trained."""
    stages = plan_stages(resolve_recipe("default", base="nano").recipe)
    assert [stage.kind for stage in stages] == ["projector", "stage1", "stage2"]
    assert [stage.after for stage in stages] == [None, *stages[:2]]
    assert len({str(stage.settings["model"]) for stage in stages}) == 1


def test_later_layers_win_key_by_key(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", host="nano", model={"preset": "nano", "num_anchors": 3, "lora_rank": 2}, output="b")
    write(
        tmp_path,
        "parent.yaml",
        base=str(tmp_path / "base.yaml"),
        model={"num_anchors": 4, "adapter": {"fusion": "concat"}},
    )
    child = write(tmp_path, "child.yaml", inherits="parent.yaml", model={"num_anchors": 5}, stage1={"seed": 9})
    resolved = resolve_recipe(child, overrides={"stage1.alignment.lambda": "0.25", "stage1.optimizer.steps": "3"})
    recipe = resolved.recipe
    assert recipe.model == {"preset": "nano", "num_anchors": 5, "lora_rank": 2, "adapter": {"fusion": "concat"}}
    assert recipe.base_model == {"preset": "nano", "num_anchors": 3, "lora_rank": 2}
    assert (recipe.stage1.optimizer.steps, recipe.stage1.alignment.lambda_, recipe.stage1.seed) == (3, 0.25, 9)
    origins = [resolved.origin(key) for key in ("model.num_anchors", "model.adapter.fusion", "model.lora_rank")]
    assert origins == [str(tmp_path / name) for name in ("child.yaml", "parent.yaml", "base.yaml")]
    assert resolved.origin("stage1.optimizer.steps") == "--set"
    assert resolved.origin("stage2.seed") == "default"


def test_a_section_that_becomes_a_value_leaves_no_origins_behind(tmp_path: Path) -> None:
    resolved = resolve_recipe("default", base="nano", overrides={"projector": "null"})
    assert resolved.recipe.projector is None
    assert not [key for key in resolved.origins if key.startswith("projector.")]
    assert [stage.kind for stage in plan_stages(resolved.recipe)] == ["stage1", "stage2"]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (
            {"stage1": {"optimizer": {"adapter_rl": 1e-3}}},
            r"child.yaml' has .*'stage1.optimizer.adapter_rl'.*'stage1.optimizer.adapter_lr'",
        ),
        ({"model": {"num_anchor": 3}}, r"child.yaml' has .*'model.num_anchor'.*'model.num_anchors'"),
        (
            {"model": {"adapter": {"fuson": "concat"}}},
            r"child.yaml' has .*'model.adapter.fuson'.*'model.adapter.fusion'",
        ),
        ({"model": {"own_language_model": True}}, "child.yaml' has the unknown key 'model.own_language_model'"),
        ({"stages": [3]}, r"child.yaml': stages.0 = 3"),
        ({"stage2": {"optimizer": {"steps": 0}}}, r"child.yaml': stage2.optimizer.steps = 0"),
        ({"model": {"adapter": {"fusion": "gatde"}}}, "fusion='gatde' does not exist"),
        ({"model": {"num_anchors": "many"}}, "num_anchors"),
        ({"model": {"adapter": "concat"}}, "model.adapter = 'concat' is not possible; state its keys"),
        ({"model": {"adapter": 3}}, "model.adapter = 3 is not possible; state its keys"),
        ({"stage1": {"seed": -1}}, r"child.yaml': stage1.seed = -1 does not fit"),
        ({"stage2": {"optimizer": {"lora_lr": float("inf")}}}, r"stage2.optimizer.lora_lr = inf does not fit"),
        (
            {"data": {"sets": [{"annotations": "a.json", "wieght": 2}]}},
            r"child.yaml' has .*'data.sets.0.wieght'; .* is 'data.sets.0.weight'",
        ),
        (
            {"data": {"sets": [{"annotation": "a.json"}]}},
            r"child.yaml' has .*'data.sets.0.annotation'; .* is 'data.sets.0.annotations'",
        ),
        ({"data": {"sets": [{"media": "a"}]}}, r"child.yaml' states no data.sets.0.annotations; add it"),
        ({"base_model": {"lora_rank": 4}}, r"child.yaml' states 'base_model.lora_rank', which follows from the files"),
        ({"inherits": 3}, "inherits 3"),
        ({"base": "qwen2_5"}, "There is no recipe 'qwen2_5'; the nearest is 'qwen2_5_vl'"),
    ],
)
def test_what_is_wrong_is_one_sentence_that_names_the_file_and_the_nearest_key(
    tmp_path: Path, content: dict, match: str
) -> None:
    child = write(tmp_path, "child.yaml", **({"inherits": "default"} | content))
    with pytest.raises(RecipeError, match=match) as caught:
        resolve_recipe(child)
    assert "\n" not in str(caught.value)


def test_the_file_named_is_the_one_that_states_the_key(tmp_path: Path) -> None:
    write(tmp_path, "parent.yaml", inherits="default", stage2={"blind_shar": 0.5})
    with pytest.raises(RecipeError, match=r"parent.yaml' has the unknown key 'stage2.blind_shar'"):
        resolve_recipe(write(tmp_path, "child.yaml", inherits="parent.yaml"))
    with pytest.raises(
        RecipeError, match=r"The override has the unknown key 'stage2.sed'; the nearest known one is 'stage2.seed'"
    ):
        resolve_recipe("default", overrides={"stage2.sed": "1"})


def test_a_base_by_an_override_is_refused_and_not_ignored() -> None:
    with pytest.raises(RecipeError, match=r"base='nano' comes too late .*; use --base nano"):
        resolve_recipe("default", overrides={"base": "nano"})
    with pytest.raises(RecipeError, match=r"The override states 'base_model.lora_rank', which follows from the files"):
        resolve_recipe("default", overrides={"base_model.lora_rank": "4"})


def test_recipes_that_inherit_each_other_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "one.yaml", inherits="two.yaml")
    with pytest.raises(RecipeError, match="in a circle"):
        resolve_recipe(write(tmp_path, "two.yaml", inherits="one.yaml"))


def test_missing_files_and_broken_ones_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="There is no recipe 'defualt'; the nearest is 'default'"):
        resolve_recipe("defualt")
    with pytest.raises(RecipeError, match="states no base"):
        resolve_recipe(write(tmp_path, stages=[1]))
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    with pytest.raises(RecipeError, match="not valid YAML"):
        resolve_recipe(broken)
    broken.write_text("- 1")
    with pytest.raises(RecipeError, match="holds list"):
        resolve_recipe(broken)
    with pytest.raises(RecipeError, match="not a YAML value"):
        resolve_recipe("default", overrides={"stages": "[1"})


def test_every_shipped_recipe_resolves_on_every_base() -> None:
    assert {"nano", "qwen2_5_vl", "qwen3_vl", "internvl", "llava_onevision"} == set(base_names())
    for name in recipe_names():
        for base in base_names():
            recipe = resolve_recipe(name, base=base).recipe
            assert (recipe.name, recipe.base) == (name, base)
