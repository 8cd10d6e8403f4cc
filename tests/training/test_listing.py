"""What `himmel recipe show` says to type: commands, methods, options and benchmarks that exist."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from typer.core import TyperGroup

from himmel.choices import BenchmarkName
from himmel.cli.app import app
from himmel.cli.options import method_options
from himmel.evaluation.benchmarks import benchmark
from himmel.methods.choice import build
from himmel.training.listing import evaluation_commands, list_recipes
from himmel.training.plan import plan_stages
from himmel.training.resolve import recipe_names, resolve_recipe


def parse(command: str) -> tuple[str, dict[str, Any]]:
    """The verb that a command line runs, and its arguments."""
    words = shlex.split(command)[1:]
    found: Any = typer.main.get_command(app)
    name = ""
    while isinstance(found, TyperGroup):
        name, found, words = found.resolve_command(found.make_context("himmel", words, resilient_parsing=True), words)
    return str(name), found.make_context(name, list(words)).params


def measured(name: str, *, base: str | None = None) -> list[tuple[str, dict[str, Any]]]:
    recipe = resolve_recipe(name, base=base).recipe
    return [parse(command) for command in evaluation_commands(recipe, Path("runs/base/stage2-0"))]


@pytest.mark.parametrize("name", recipe_names())
def test_every_row_is_asked_by_a_method_with_options_that_it_has(name: str) -> None:
    for base in ("nano", None):
        recipe = resolve_recipe(name, base=base).recipe
        method = build(recipe.eval.method, **recipe.eval.options)
        asked = [said for verb, said in measured(name, base=base) if "method" in said]
        for said in asked:
            assert build(said["method"], **method_options(said["frames"], said["keep"], said["option"])) == method
        # One that begins with the checkpoint that comes with himmel has that one's adapter.
        streams = recipe.model.get("adapter", {}).get("streams", ())
        assert streams or recipe.begin_with is not None
        assert (recipe.eval.method == "rgb_diff") == ("rgb_diff" in streams)
        if recipe.eval.benchmark == "report":
            assert len(asked) == len(recipe.report.benchmarks)
            # The default, and the recipes for a corpus, are no rows of a table.
            assert asked or name == "default" or name.startswith("corpus/")


def test_every_benchmark_that_is_named_can_be_read() -> None:
    named = {one for name in recipe_names() for one in resolve_recipe(name).recipe.report.benchmarks}
    assert named <= set(get_args(BenchmarkName))
    assert {benchmark(one).name for one in named} == named


def test_a_row_of_the_report_is_one_run_for_each_benchmark() -> None:
    found = measured("tables/05-training-free/look-m")
    assert [(name, str(said["data"]), str(said["output"])) for name, said in found] == [
        ("video_mme", "DIR", "runs/base/eval/stage2-0/look-m/video_mme")
    ]
    assert found[0][1]["option"] == ["important_ratio=0.125", "recent_ratio=0.125"]
    assert [name for name, _ in measured("tables/17-single-image/qwen3-vl-lora")] == [
        "ocrbench",
        "realworldqa",
        "mathvision",
    ]


def test_a_row_on_nano_is_asked_about_rendered_clips() -> None:
    render, ask = measured("tables/01-main/dense-32", base="nano")
    assert (render[0], render[1]["clips"], render[1]["questions"]) == ("clips", 400, 2)
    assert Path(ask[0]) == render[1]["output"] / "questions.jsonl"
    assert (ask[1]["method"], ask[1]["option"], ask[1]["scoring"]) == ("dense", ["num_frames=32"], "raw")


@pytest.mark.slow
def test_rows_of_one_model_by_different_methods_are_different_runs() -> None:
    """Untrained rows share a checkpoint."""
    folders: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {}
    for name in recipe_names():
        recipe = resolve_recipe(name).recipe
        for command in evaluation_commands(recipe, plan_stages(recipe)[-1].folder):
            verb, said = parse(command)
            if "method" in said:
                way = (recipe.eval.method, recipe.eval.options)
                assert folders.setdefault((verb, str(said["output"])), way) == way


def test_what_is_missing_is_never_a_benchmark_that_one_downloads() -> None:
    rows = {row.name: row.lacks for row in list_recipes()}
    assert rows["tables/05-training-free/look-m"] == {"qwen2_5_vl": (), "nano": ()}
    assert rows["tables/01-main/full"] == {"qwen2_5_vl": (), "nano": ()}
    assert rows["tables/21-duration/long-dense"] == {"qwen2_5_vl": (), "nano": ("clips.long",)}
    missing = {what for row in rows.values() for lacks in row.values() for what in lacks}
    assert missing == {"params.host", "clips.short", "clips.medium", "clips.long"}


def test_recipes_are_listed_without_torch() -> None:
    code = (
        "import sys; from himmel.training.listing import list_recipes, show_recipe; "
        "from himmel.training.resolve import resolve_recipe; list_recipes(); "
        "show_recipe(resolve_recipe('tables/05-training-free/look-m')); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
