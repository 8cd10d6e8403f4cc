from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.evaluation.benchmarks.mathvista import MathVista
from himmel.evaluation.items import Item
from shades import png, shade_of

ROW = {
    "pid": "1",
    "question": "How long?",
    "image": "images/1.jpg",
    "decoded_image": {"bytes": png(7), "path": "1.jpg"},
    "choices": None,
    "unit": "cm",
    "precision": 1.0,
    "answer": "1.2",
    "question_type": "free_form",
    "answer_type": "float",
    "metadata": {"category": "math-targeted-vqa", "task": "geometry problem solving", "source": "GEOS"},
    "query": "Hint: ...",
}
CHOICE = ROW | {
    "pid": "2",
    "choices": ["3/11", "8/11", "6/11"],
    "unit": None,
    "precision": None,
    "answer": "8/11",
    "question_type": "multi_choice",
    "answer_type": "text",
}


@pytest.fixture
def items(write: Callable[..., Path], tmp_path: Path) -> list[Item]:
    write("data/testmini-00000-of-00001-725687bf7a18d64b.parquet", [ROW, CHOICE])
    return MathVista().load(tmp_path)


def test_a_number_to_be_found(items: list[Item]) -> None:
    item = items[0]
    assert (item.id, item.kind, item.path, item.form, item.answers) == ("1", "image", None, "text", ("1.2",))
    assert (item.answer_type, item.unit, item.precision) == ("float", "cm", 1)
    assert (item.category, item.task, item.source) == ("geometry problem solving", "math-targeted-vqa", "GEOS")
    assert item.media == "data/testmini-00000-of-00001-725687bf7a18d64b.parquet#1"
    assert shade_of(item.read_picture()) == 7


def test_a_choice(items: list[Item]) -> None:
    assert (items[1].choices, items[1].answers) == (("3/11", "8/11", "6/11"), ("B",))


def test_the_prompts_say_how_to_answer(items: list[Item]) -> None:
    assert MathVista().prompt(items[0]) == (
        "How long? (Unit: cm)\nAnswer the question using a single floating-point number with one decimal place."
    )
    assert MathVista().prompt(items[1]) == (
        "How long?\nA. 3/11\nB. 8/11\nC. 6/11\nAnswer with the option's letter from the given choices directly."
    )


def free(answer: str, answer_type: str, precision: int | None = None) -> Item:
    return Item("1", "1", None, "image", "?", (), (answer,), answer_type=answer_type, precision=precision)


@pytest.mark.parametrize(
    ("text", "item", "points"),
    [
        ("14", free("14", "integer"), 1.0),
        ("There are 3 red ones, so the answer is 14.", free("14", "integer"), 1.0),
        ("The answer is 14 because 2 are hidden.", free("14", "integer"), 1.0),
        ("14.0", free("14", "integer"), 1.0),
        ("1,234 people", free("1234", "integer"), 1.0),
        ("15", free("14", "integer"), 0.0),
        ("fourteen", free("14", "integer"), 0.0),
        ("9" * 400, free("14", "integer"), 0.0),
        ("1e999", free("14", "integer"), 0.0),
        ("It is about 1.23 cm", free("1.2", "float", 1), 1.0),
        ("1.45", free("1.45", "float", 2), 1.0),
        ("$1.45", free("1.45", "float", 2), 1.0),
        ("1.44", free("1.45", "float", 2), 0.0),
        ("Between 2007 and 2008: [2007, 2008]", free("[2007, 2008]", "list"), 1.0),
        ("[2007.0,2008.0]", free("[2007, 2008]", "list"), 1.0),
        ("[2008, 2007]", free("[2007, 2008]", "list"), 0.0),
        ("2007, 2008", free("[2007, 2008]", "list"), 0.0),
        ("", free("14", "integer"), 0.0),
    ],
)
def test_numbers_are_found_by_rules(text: str, item: Item, points: float) -> None:
    assert MathVista().score(MathVista().parse(text, item), item) == points


@pytest.mark.parametrize("text", ["B", "(B) 8/11", "The correct answer is (B) 8/11.", "8/11"])
def test_choices_are_letters_or_texts(text: str, items: list[Item]) -> None:
    assert MathVista().parse(text, items[1]) == "B"


def test_what_chooses_nothing_is_wrong_not_the_most_similar_option(items: list[Item]) -> None:
    assert MathVista().parse("9/11", items[1]) is None
    assert MathVista().harness_points("9/11", items[1]) == "needs a judge"
