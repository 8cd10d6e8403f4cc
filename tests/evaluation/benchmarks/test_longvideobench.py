from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.errors import HimmelError
from himmel.evaluation.benchmarks.longvideobench import LongVideoBench
from himmel.evaluation.items import Item

COMMON = {
    "video_id": "a",
    "id": "a_0",
    "video_path": "a.mp4",
    "subtitle_path": "a_en.json",
    "question": "What?",
    "correct_choice": 1,
    "duration": 12.5,
    "duration_group": 15,
    "starting_timestamp_for_subtitles": 30.0,
    "question_category": "T3E",
    "topic_category": "KA",
    "level": "L2-Relation",
}
LISTED = COMMON | {"candidates": ["one", "two", "three"]}
COLUMNS = COMMON | {"option0": "one", "option1": "two", "option2": "three", "option3": "N/A", "option4": "N/A"}


@pytest.mark.parametrize(
    ("name", "row"), [("lvb_val.json", LISTED), ("data/validation-00000-of-00001.parquet", COLUMNS)]
)
def test_both_released_forms_give_the_same_item(
    name: str, row: dict, write: Callable[..., Path], tmp_path: Path
) -> None:
    write(name, [row])
    assert LongVideoBench().load(tmp_path) == [
        Item(
            id="a_0",
            media="videos/a.mp4",
            path=tmp_path / "videos/a.mp4",
            kind="video",
            question="What?",
            choices=("one", "two", "three"),
            answers=("B",),
            category="T3E",
            task="L2-Relation",
            duration=12.5,
            duration_group="15",
            subtitles=tmp_path / "subtitles/a_en.json",
            subtitles_start=30.0,
        )
    ]


@pytest.fixture
def item(write: Callable[..., Path], tmp_path: Path) -> Item:
    write("lvb_val.json", [LISTED])
    return LongVideoBench().load(tmp_path)[0]


def test_the_prompt(item: Item) -> None:
    ending = "Answer with the option's letter from the given choices directly.\n"
    assert LongVideoBench().prompt(item) == f"What?\nA. one\nB. two\nC. three\n{ending}"
    assert "listed below: \nHello\nWhat?" in LongVideoBench().prompt(item, subtitles="Hello", listing=False)


def test_an_answer_that_cannot_be_read_is_wrong_here_and_drawn_by_the_harness(item: Item) -> None:
    text = "no idea at all"
    assert LongVideoBench().score(LongVideoBench().parse(text, item), item) == 0.0
    assert LongVideoBench().harness_points(text, item) == pytest.approx(1 / 3)
    assert LongVideoBench().harness_points("B", item) == 1.0


def test_a_choice_that_does_not_exist_is_named(write: Callable[..., Path], tmp_path: Path) -> None:
    write("lvb_val.json", [LISTED | {"correct_choice": 3}])
    with pytest.raises(HimmelError, match=r"'correct_choice' in row 1 of .* is no whole number from 0 to 2: 3"):
        LongVideoBench().load(tmp_path)
