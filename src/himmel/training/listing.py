"""What `himmel recipe list` and `himmel recipe show` say."""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from himmel.settings import own_settings
from himmel.training.plan import plan_stages
from himmel.training.recipe import Recipe, ReportSection
from himmel.training.resolve import Resolved, recipe_names, resolve_recipe
from himmel.training.settings import adapter_keys, make_settings, model_keys


@dataclass(frozen=True)
class ListedRecipe:
    """A shipped recipe and the row that it reproduces.

    Attributes:
        name: as `himmel train` takes it.
        report: table and row.
        lacks: for its own base and for nano, what is missing here, but for data that one downloads, before its figure
            can be printed.
    """

    name: str
    report: ReportSection
    lacks: dict[str, tuple[str, ...]]


def list_recipes(*, table: int | None = None) -> list[ListedRecipe]:
    """All shipped recipes, those of a table in its order of rows; of one table alone if asked.

    Raises:
        RecipeError: a recipe is not valid.
    """
    found = []
    for name in recipe_names():
        own = resolve_recipe(name).recipe
        if table is None or own.report.table == table:
            small = resolve_recipe(name, base="nano").recipe
            found.append(ListedRecipe(name, own.report, {own.base: own.lacks, small.base: small.lacks}))
    return found


@dataclass(frozen=True)
class ShownSetting:
    """One setting: dotted key, value, and the file, override, preset or default that it comes from."""

    key: str
    value: Any
    origin: str


@dataclass(frozen=True)
class ShownRecipe:
    """A resolved recipe.

    Attributes:
        name: of the recipe.
        base: where its host comes from.
        report: which row of the report it reproduces.
        settings: every setting, in the order of the file.
        stages: folder of each stage, in order, and whether it is there.
        checkpoint: folder of the last one: what `himmel train` makes.
        evaluate: the commands that print the row's figure from it, in order; DIR is where a benchmark was downloaded
            to. None where this version has none.
        figure: row of the printed table that holds the figure; "" where nothing is printed.
        lacks: what is missing here, but for a benchmark's data, before that figure can be printed.
    """

    name: str
    base: str
    report: ReportSection
    settings: tuple[ShownSetting, ...]
    stages: dict[str, bool]
    checkpoint: str
    evaluate: tuple[str, ...]
    figure: str
    lacks: tuple[str, ...]


def show_recipe(resolved: Resolved) -> ShownRecipe:
    """Everything about a resolved recipe."""
    recipe = resolved.recipe
    stages = plan_stages(recipe)
    checkpoint = stages[-1].folder
    evaluate = evaluation_commands(recipe, checkpoint)
    return ShownRecipe(
        name=recipe.name,
        base=recipe.base,
        report=recipe.report,
        settings=tuple(_settings(resolved)),
        stages={str(stage.folder): stage.done for stage in stages},
        checkpoint=str(checkpoint),
        evaluate=evaluate,
        figure=recipe.eval.row if evaluate else "",
        lacks=recipe.lacks,
    )


def evaluation_commands(recipe: Recipe, checkpoint: Path) -> tuple[str, ...]:
    """The commands whose results hold the row's figure, once `himmel train` has made the checkpoint.

    Every row is asked by `himmel eval` and its method; a method without an adapter takes the host, and the budget of
    its pictures, from the checkpoint too. Runs of one base are in one folder, `eval`, which `himmel report` reads.
    """
    asked = recipe.eval
    if recipe.needs or asked.lacks:
        return ()
    if asked.benchmark == "parameters":
        return ("himmel params",)
    how = ["--adapter", str(checkpoint), "--method", asked.method]
    for name, value in asked.options.items():
        how += ["--option", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    runs = checkpoint.parent / "eval" / checkpoint.name / Path(recipe.name).name
    if asked.benchmark == "report":
        commands = [
            ["himmel", "eval", name, "--data", "DIR", *how, "-o", str(runs / name)] for name in recipe.report.benchmarks
        ]
    else:
        clips = f"clips-{asked.clips}"
        render = ["--clips", str(asked.clips), "--questions", str(asked.questions)]
        # The options are as long as each other and nano was trained on them: their likelihoods need no correction.
        ask = ["himmel", "eval", f"{clips}/questions.jsonl", *how, "--scoring", "raw", "-o", str(runs / clips)]
        commands = [["himmel", "nano", "clips", "-o", clips, *render], ask]
    return tuple(map(shlex.join, commands))


def _settings(resolved: Resolved) -> Iterator[ShownSetting]:
    content = resolved.recipe.model_dump(mode="json", by_alias=True, exclude={"name", "base_model", "model"})
    for key, value in _flatten(content):
        yield ShownSetting(key, value, resolved.origin(key))
    preset = str(resolved.recipe.model["preset"])
    model = own_settings(make_settings(resolved.recipe.model, host=resolved.recipe.host))
    model["adapter"] = model.pop("adapter_config")
    for key, value in _flatten(model, "model."):
        if key.split(".")[-1] in ("preset", *model_keys(), *adapter_keys()):
            origin = resolved.origins.get(key, f"preset {preset}")
            yield ShownSetting(key, list(value) if isinstance(value, tuple) else value, origin)


def _flatten(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
