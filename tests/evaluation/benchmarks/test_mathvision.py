from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.errors import HimmelError
from himmel.evaluation.benchmarks.mathvision import MathVision
from himmel.evaluation.items import Item, check_media
from shades import png, shade_of

CHOICE = {
    "id": "4",
    "question": "Which? <image1>",
    "options": ["A", "B", "C", "D", "E"],
    "image": "images/4.jpg",
    "decoded_image": {"bytes": png(4), "path": "4.jpg"},
    "answer": "E",
    "solution": None,
    "level": 1,
    "subject": "solid geometry",
}
FREE = CHOICE | {"id": "5", "options": [], "answer": r"\frac{1}{2}"}


@pytest.fixture
def items(write: Callable[..., Path], tmp_path: Path) -> list[Item]:
    write("data/test-00000-of-00001-3532b8d3f1b4047a.parquet", [CHOICE, FREE])
    write("data/testmini-00000-of-00001-f8ff70fcb2f29b1d.parquet", [CHOICE])
    return MathVision().load(tmp_path)


def test_items(items: list[Item]) -> None:
    assert [item.id for item in items] == ["4", "5"]
    assert (items[0].answers, items[0].category, items[0].task) == (("E",), "solid geometry", "1")
    assert (items[1].form, items[1].answers) == ("text", (r"\frac{1}{2}",))
    assert shade_of(items[1].read_picture()) == 4


def test_the_smaller_split(items: list[Item], tmp_path: Path) -> None:
    assert [item.id for item in MathVision().load(tmp_path, split="testmini")] == ["4"]


def test_json_lines_name_pictures_below_the_folder(write: Callable[..., Path], tmp_path: Path) -> None:
    write("test.jsonl", [{key: value for key, value in CHOICE.items() if key != "decoded_image"}])
    (item,) = MathVision().load(tmp_path)
    assert (item.media, item.path) == ("images/4.jpg", tmp_path / "images/4.jpg")
    with pytest.raises(HimmelError, match="1 of 1 file is missing"):
        check_media([item])


def test_the_prompts(items: list[Item]) -> None:
    task = 'Please solve the problem step by step and put your answer in one "\\boxed{}".'
    assert MathVision().prompt(items[0]) == (
        f"{task}Which? <image1>\nChoices: A. A\nB. B\nC. C\nD. D\nE. E\n"
        "Answer the question with the option's letter from the given choices directly."
    )
    assert MathVision().prompt(items[1]) == f"{task}Which? <image1>"


@pytest.mark.parametrize("text", [r"We see \boxed{E}.", r"\boxed{(E)}", "The answer is E.", "(E)", "E"])
def test_letters(text: str, items: list[Item]) -> None:
    assert MathVision().score(MathVision().parse(text, items[0]), items[0]) == 1.0


def test_the_value_of_an_option_is_its_letter() -> None:
    item = Item("1", "1", None, "image", "?", ("1", "2", r"\frac{1}{4}"), ("C",))
    assert MathVision().parse(r"So \boxed{0.25}", item) == "C"


@pytest.mark.parametrize(
    ("text", "points"),
    [(r"\boxed{0.5}", 1.0), (r"\boxed{\dfrac{1}{2}}", 1.0), ("the answer is 1/2.", 1.0), ("2", 0.0), ("", 0.0)],
)
def test_values(text: str, points: float, items: list[Item]) -> None:
    assert MathVision().score(MathVision().parse(text, items[1]), items[1]) == points
