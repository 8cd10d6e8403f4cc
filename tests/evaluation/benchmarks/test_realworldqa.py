from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.evaluation.benchmarks.realworldqa import RealWorldQa
from himmel.evaluation.items import Item
from shades import png, shade_of

ENDING = "Please answer directly with only the letter of the correct option and nothing else."
CHOICE = {
    "image": {"bytes": png(9), "path": "0.webp"},
    "question": f"Which way?\n\nA. Left\nB. Right\nC. Straight on\n{ENDING}",
    "answer": "B",
}
FREE = CHOICE | {"question": "How many? Please answer directly with a single word or number.", "answer": "Three"}


@pytest.fixture
def items(write: Callable[..., Path], tmp_path: Path) -> list[Item]:
    write("data/test-00000-of-00002.parquet", [CHOICE])
    write("data/test-00001-of-00002.parquet", [FREE])
    return RealWorldQa().load(tmp_path)


def test_options_are_taken_out_of_the_question(items: list[Item]) -> None:
    assert (items[0].question, items[0].choices) == ("Which way?", ("Left", "Right", "Straight on"))
    assert (items[0].answers, items[0].id, items[1].id) == (("B",), "0", "1")
    assert shade_of(items[0].read_picture()) == 9


def test_a_question_without_options(items: list[Item]) -> None:
    assert (items[1].form, items[1].question, items[1].answers) == ("text", "How many?", ("Three",))


def test_the_prompt_is_the_released_question(items: list[Item]) -> None:
    assert RealWorldQa().prompt(items[0]) == CHOICE["question"]
    assert RealWorldQa().prompt(items[0], listing=False) == "Which way?"
    assert RealWorldQa().prompt(items[1], listing=False) == FREE["question"]


@pytest.mark.parametrize(("text", "ours", "harness"), [("B. Right", 1.0, 1.0), ("right", 1.0, 0.0), ("Both", 0.0, 1.0)])
def test_choices(text: str, ours: float, harness: float, items: list[Item]) -> None:
    assert RealWorldQa().score(RealWorldQa().parse(text, items[0]), items[0]) == ours
    assert RealWorldQa().harness_points(text, items[0]) == harness


@pytest.mark.parametrize(("text", "ours", "harness"), [("three.", 1.0, 1.0), ("3", 1.0, 0.0), ("13", 0.0, 0.0)])
def test_words_and_numbers(text: str, ours: float, harness: float, items: list[Item]) -> None:
    assert RealWorldQa().score(RealWorldQa().parse(text, items[1]), items[1]) == ours
    assert RealWorldQa().harness_points(text, items[1]) == harness
