from pathlib import Path

import pytest
import yaml

from himmel.errors import RecipeError
from himmel.training.recipe import load_recipe

RECIPES = sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))


def _write(folder: Path, **content: object) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({"name": "t", "stage": 1, "output": "out", **content}))
    return path


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_load(path: Path) -> None:
    assert load_recipe(path).output


def test_overrides_reach_nested_keys(tmp_path: Path) -> None:
    recipe = load_recipe(_write(tmp_path), overrides={"optimizer.steps": "3", "alignment.lambda": "0.25"})
    assert (recipe.optimizer.steps, recipe.alignment.lambda_) == (3, 0.25)


def test_unknown_key_names_the_nearest_known_one(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"'optimizer.adapter_rl'.*'adapter_lr'"):
        load_recipe(_write(tmp_path, optimizer={"adapter_rl": 1e-3}))


@pytest.mark.parametrize(
    ("content", "match"),
    [({"stage": 3}, "stage"), ({"optimizer": {"steps": 0}}, "optimizer.steps = 0"), ({"seed": "x"}, "seed = 'x'")],
)
def test_bad_values_are_one_sentence(tmp_path: Path, content: dict, match: str) -> None:
    with pytest.raises(RecipeError, match=match):
        load_recipe(_write(tmp_path, **content))


def test_missing_file_and_broken_yaml(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="No such file"):
        load_recipe(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    with pytest.raises(RecipeError, match="not valid YAML"):
        load_recipe(broken)
    broken.write_text("- 1")
    with pytest.raises(RecipeError, match="holds list"):
        load_recipe(broken)
