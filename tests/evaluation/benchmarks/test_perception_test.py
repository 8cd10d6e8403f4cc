from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.errors import UsageError
from himmel.evaluation.benchmarks.perception_test import PerceptionTest
from himmel.evaluation.items import Item

ROW = {
    "video_name": "video_1",
    "question": "What?",
    "question_id": "3",
    "options": ["one", "two", "three"],
    "answer_id": "2",
    "area": "Physics",
    "reasoning": "Predictive",
    "tag": ["Solidity"],
}


@pytest.fixture
def item(write: Callable[..., Path], tmp_path: Path) -> Item:
    write("mc_question_val/validation-00000-of-00001.parquet", [ROW])
    return PerceptionTest().load(tmp_path)[0]


def test_an_item(item: Item, tmp_path: Path) -> None:
    assert (item.id, item.path) == ("video_1/3", tmp_path / "videos/video_1.mp4")
    assert (item.choices, item.answers) == (("one", "two", "three"), ("C",))
    assert (item.category, item.task) == ("Physics", "Predictive")


def test_the_prompt(item: Item) -> None:
    ending = "Answer with the option's letter from the given choices directly."
    assert PerceptionTest().prompt(item) == f"What?\nA. one\nB. two\nC. three\n{ending}"


def test_a_small_letter_counts_here_alone(item: Item) -> None:
    assert PerceptionTest().score(PerceptionTest().parse("(c)", item), item) == 1.0
    assert PerceptionTest().harness_points("(c)", item) == 0.0


def test_the_test_split_cannot_be_scored(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no split 'test' that can be scored; take 'validation'"):
        PerceptionTest().load(tmp_path, split="test")
