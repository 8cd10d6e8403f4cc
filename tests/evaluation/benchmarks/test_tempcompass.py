from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.evaluation.benchmarks.tempcompass import TempCompass
from himmel.evaluation.items import Item, Scored

CHOICE = {"video_id": "1", "question": "What?\nA. rising\nB. falling", "answer": "B. falling", "dim": "action"}
YES = {"video_id": "1", "question": "Is it falling?", "answer": "yes", "dim": "direction"}
CAPTIONS = "Which fits?\nSentence A: It rises.\nSentence B: It falls."
MATCH = {"video_id": "2", "question": CAPTIONS, "answer": "Sentence B: It falls.", "dim": "order"}
NUMBERED = MATCH | {
    "question": "Which fits?\nOption 1: It rises.\nOption 2: It falls.",
    "answer": "Option 2: It falls.",
}


@pytest.fixture
def items(write: Callable[..., Path], tmp_path: Path) -> list[Item]:
    write("multi-choice/test-00000-of-00001.parquet", [CHOICE])
    write("yes_no/test-00000-of-00001.parquet", [YES])
    write("caption_matching/test-00000-of-00001.parquet", [MATCH, NUMBERED])
    return TempCompass().load(tmp_path)


def test_items_of_three_tasks(items: list[Item], tmp_path: Path) -> None:
    assert [item.task for item in items] == ["multi-choice", "yes_no", "caption_matching", "caption_matching"]
    assert [item.answers for item in items] == [("B",), ("yes",), ("B",), ("B",)]
    assert [item.choices for item in items] == [("rising", "falling"), (), *[("It rises.", "It falls.")] * 2]
    assert (items[0].path, items[0].category) == (tmp_path / "videos/1.mp4", "action")


def test_every_task_ends_in_its_own_words(items: list[Item]) -> None:
    prompts = [TempCompass().prompt(item) for item in items]
    assert prompts[0] == f"{CHOICE['question']}\nPlease directly give the best option:"
    assert prompts[1] == "Is it falling?\nPlease answer yes or no:"
    assert prompts[2] == f"{CAPTIONS}\nPlease directly give the best option:"


@pytest.mark.parametrize(
    ("place", "text", "ours", "harness"),
    [
        (0, "B", 1.0, 1.0),
        (0, "B. falling", 1.0, 1.0),
        (0, "A) rising", 0.0, 0.0),
        (0, "B\n", 1.0, "needs a judge"),
        (0, "It is falling.", 1.0, "needs a judge"),
        (1, "Yes, it is.", 1.0, 1.0),
        (1, "No", 0.0, 0.0),
        (1, "Nothing moves.", 0.0, 0.0),
        (1, "It is.", 0.0, "needs a judge"),
        (2, "Sentence B", 1.0, 1.0),
        (2, "B.", 1.0, 1.0),
        (2, "sentence b: It falls.", 1.0, "needs a judge"),
        (2, "It falls.", 1.0, 1.0),
        (2, "Sentence A or Sentence B", 0.0, "needs a judge"),
        (3, "Option 2", 1.0, 1.0),
        (3, "2", 1.0, 1.0),
        (3, "1", 0.0, 0.0),
    ],
)
def test_answers(place: int, text: str, ours: float, harness: object, items: list[Item]) -> None:
    item = items[place]
    assert TempCompass().score(TempCompass().parse(text, item), item) == ours
    assert TempCompass().harness_points(text, item) == harness


def test_tasks_count_the_same() -> None:
    scored = [Scored("1", "action", "yes_no", 1.0), *[Scored("2", "action", "multi-choice", 0.0)] * 3]
    assert TempCompass().figures(scored) == {"mean of tasks": 0.5}
