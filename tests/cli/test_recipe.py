"""`himmel recipe`: what is listed, and what a recipe resolves to."""

import json
from collections.abc import Callable

import pytest
from rich.console import Console

from himmel.cli import console as printing
from himmel.cli import recipe as recipe_verbs
from himmel.training.resolve import recipe_names

Run = Callable[..., tuple[int, str, str]]


def test_list_shows_every_recipe_and_where_it_runs(run: Run) -> None:
    code, out, err = run("recipe", "list", "--json")
    assert (code, err) == (0, "")
    rows = {row["name"]: row for row in json.loads(out)}
    assert sorted(rows) == sorted(recipe_names())
    assert rows["default"]["runs"] == ["qwen2_5_vl", "nano"]
    assert rows["tables/21-duration/long-dense"]["bases"]["nano"] == ["clips.long"]


def test_list_for_a_person(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe_verbs, "console", Console(width=200, highlight=False))
    monkeypatch.setattr(printing, "console", Console(width=200, highlight=False))
    code, out, err = run("recipe", "list")
    assert (code, err) == (0, "")
    assert "runs here on" in out
    assert "nano: clips.long" in out
    assert "with --data DIR" in out


def test_show_prints_a_command_for_each_benchmark(run: Run) -> None:
    code, out, err = run("recipe", "show", "tables/10-hosts/internvl-dense", "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    assert [command.split()[2] for command in said["evaluate"]] == said["report"]["benchmarks"]
    assert all(" --data DIR " in command for command in said["evaluate"])
    assert (said["lacks"], said["figure"]) == ([], "all")


def test_show_prints_no_command_where_there_is_no_figure(run: Run) -> None:
    code, out, err = run("recipe", "show", "tables/06-parameters/lora", "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    assert (said["evaluate"], said["figure"], said["lacks"]) == ([], "", ["params.host"])


def test_show_says_where_each_value_comes_from(run: Run) -> None:
    code, out, err = run("recipe", "show", "default", "--base", "nano", "--set", "stage2.seed=5", "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    settings = {item["key"]: (item["value"], item["origin"]) for item in said["settings"]}
    assert settings["stage2.seed"] == (5, "--set")
    assert settings["stage1.optimizer.steps"] == (500, "recipes/base/nano.yaml")
    assert settings["model.num_anchors"] == (8, "recipes/default.yaml")
    assert settings["model.adapter.hidden_size"] == (192, "preset nano")
    assert settings["stage2.optimizer.weight_decay"] == (0.01, "default")
    assert settings["base"] == ("nano", "--base")
    render, ask = said["evaluate"]
    assert render == "himmel nano clips -o clips-400 --clips 400 --questions 2"
    assert ask.startswith(f"himmel eval clips-400/questions.jsonl --adapter {said['checkpoint']} --method himmel ")
    assert said["figure"] == "motion"
    assert list(said["stages"])[-1] == said["checkpoint"]


def test_show_for_a_person(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe_verbs, "console", Console(width=200, highlight=False))
    monkeypatch.setattr(printing, "console", Console(width=200, highlight=False))
    code, out, err = run("recipe", "show", "default", "--base", "nano")
    assert (code, err) == (0, "")
    for said in (
        "default on nano",
        "not done yet",
        "himmel eval clips-400/questions.jsonl --adapter",
        "the row 'motion' of what is printed",
        "stage1.alignment.mu",
        "recipes/base/nano.yaml",
    ):
        assert said in out
