from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.errors import HimmelError
from himmel.evaluation.benchmarks.mlvu import TASKS, Mlvu
from himmel.evaluation.items import Item, Scored

OPTIONS = "\n".join(f"({letter}) option {letter.lower()}" for letter in "ABCDEF")
ROW = {"video_name": "test_a.mp4", "question": f"What?\n{OPTIONS}", "answer": "F", "task_type": "sportsQA"}


@pytest.fixture
def item(write: Callable[..., Path], tmp_path: Path) -> Item:
    write("data/test-00000-of-00001.parquet", [ROW])
    return Mlvu().load(tmp_path)[0]


def test_an_item(item: Item, tmp_path: Path) -> None:
    assert (item.id, item.media, item.path) == ("sportsQA/0", "test_a.mp4", tmp_path / "test_a.mp4")
    assert (item.question, item.choices[0], len(item.choices), item.answers) == ("What?", "option a", 6, ("F",))
    assert (item.category, item.task) == ("sportsQA", "sportsQA")


def test_videos_may_be_in_a_folder(write: Callable[..., Path], clip: Callable[[str], Path], tmp_path: Path) -> None:
    write("test.jsonl.json", [ROW])
    assert Mlvu().load(tmp_path)[0].path == tmp_path / "test_a.mp4"
    there = clip("video/test_a.mp4")
    assert Mlvu().load(tmp_path)[0].path == there


def test_the_prompt_is_the_released_question(item: Item) -> None:
    assert Mlvu().prompt(item) == f"What?\n{OPTIONS}\nOnly give the best option.\nBest option: ("
    assert Mlvu().prompt(item, listing=False) == "What?"


def test_answers_go_beyond_d_which_the_harness_never_reads(item: Item) -> None:
    assert Mlvu().score(Mlvu().parse("F) option f", item), item) == 1.0
    assert Mlvu().harness_points("F", item) == 0.0


def test_the_m_average_is_over_nine_tasks() -> None:
    scored = [Scored(task, task, task, float(task == "count")) for task in TASKS["test"]]
    assert len(scored) == 9
    assert Mlvu().figures([*scored, scored[0]]) == {"M-Avg": pytest.approx(1 / 9)}


def test_the_other_splits_folder_is_noticed(write: Callable[..., Path], tmp_path: Path) -> None:
    write("data/test.parquet", [ROW | {"task_type": "needle"}])
    with pytest.raises(HimmelError, match="has the task 'needle', which MLVU's test split has not"):
        Mlvu().load(tmp_path)
    assert Mlvu().load(tmp_path, split="dev")[0].task == "needle"


def test_a_question_without_options_is_named(write: Callable[..., Path], tmp_path: Path) -> None:
    write("data/test.parquet", [ROW | {"question": "What?"}])
    with pytest.raises(HimmelError, match=r"'question' in row 1 of .* has 0 options"):
        Mlvu().load(tmp_path)
