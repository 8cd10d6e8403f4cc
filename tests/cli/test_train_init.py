"""`himmel train init`: a recipe for one's own videos that resolves; what docs/training.md shows trains with one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from himmel.training.plan import plan_stages
from himmel.training.resolve import resolve_recipe
from tiny_hosts import qwen_folder, tiny_host

__all__ = ["qwen_folder", "tiny_host"]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def own(tmp_path: Path, write_clip: Callable[..., Path], pan: Callable[..., Any]) -> Path:
    """Two clips with two questions each, and one question about a clip that is not there."""
    clips = tmp_path / "my clips"
    clips.mkdir()
    rows = [{"video": "gone.mp4", "question": "What is this?", "answer": "nothing"}]
    for number in range(2):
        write_clip(clips / f"{number}.mp4", pan(24, (96, 64), seed=number), options={"g": "6"})
        rows += [{"video": f"{number}.mp4", "question": f"Question {k}?", "answer": f"answer {k}"} for k in range(2)]
    (tmp_path / "qa.json").write_text(json.dumps([*rows, {"video": "0.mp4"}]))
    return tmp_path


def _init(run: Run, own: Path, host: str, *more: str) -> tuple[int, str, str]:
    paths = ("--videos", str(own / "my clips"), "--questions", str(own / "qa.json"))
    return run("train", "init", str(own / "run"), *paths, "--host", host, *more)


def test_the_recipe_resolves_and_the_samples_were_tried(run: Run, own: Path, qwen_folder: str) -> None:
    code, out, err = _init(run, own, qwen_folder, "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    assert said["samples"] == {"video": 5, "image": 0, "text": 0}
    assert (said["videos"], said["unusable"]) == (3, 1)
    troubles = [one["why"] for one in said["checked"] if one["tokens"] is None]
    assert troubles == ["there is no such file"]
    assert len(said["checked"]) == 5
    assert said["tokens"] > 0
    recipe = own / "run" / "recipe.yaml"
    resolved = resolve_recipe(recipe).recipe
    assert [stage.kind for stage in plan_stages(resolved)] == ["stage1", "stage2"]
    assert said["steps"] == {"stage1": 20, "stage2": 20}
    assert (resolved.data.folder, resolved.output) == (str(own / "my clips"), str(own / "run" / "runs"))
    code, _, err = _init(run, own, qwen_folder)
    assert code == 2
    assert "is there already" in err


def test_a_person_reads_a_table_and_the_command_to_type(run: Run, own: Path, qwen_folder: str) -> None:
    code, out, err = _init(run, own, qwen_folder, "--checks", "2")
    assert (code, err) == (0, "")
    assert "5 about videos" in " ".join(out.split())
    assert f"Run it with `himmel train {own / 'run' / 'recipe.yaml'}`" in " ".join(out.split("\n"))


def test_a_folder_with_a_space_is_quoted_in_what_is_to_be_typed(run: Run, own: Path, qwen_folder: str) -> None:
    paths = ("--videos", str(own / "my clips"), "--questions", str(own / "qa.json"))
    code, out, err = run("train", "init", str(own / "my run"), *paths, "--host", qwen_folder, "--checks", "2")
    assert (code, err) == (0, "")
    recipe = own / "my run" / "recipe.yaml"
    command = f"himmel train '{recipe}'"
    assert f"Run it with `{command}`" in out
    assert f"#   {command}" in recipe.read_text()
    assert resolve_recipe(recipe).recipe.output == str(own / "my run" / "runs")


def test_when_no_sample_can_be_used_nothing_is_written(run: Run, own: Path, qwen_folder: str) -> None:
    (own / "qa.json").write_text(json.dumps([{"video": "gone.mp4", "question": "q", "answer": "a"}] * 3))
    code, out, err = _init(run, own, qwen_folder)
    assert (code, out) == (1, "")
    assert "None of 3 samples that were tried can be used, the first because there is no such file" in err
    assert not (own / "run").exists()
