from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.errors import HimmelError
from himmel.evaluation.benchmarks.ocrbench import OcrBench
from himmel.evaluation.items import Item
from shades import png, shade_of

ROW = {
    "dataset": "IIIT5K",
    "question": " what is written in the image?",
    "question_type": "Regular Text Recognition",
    "answer": ["CENTRE", "CENTER"],
    "image": {"bytes": png(3), "path": ""},
}
FORMULA = ROW | {"dataset": "HME100k", "answer": [r"\frac { a } { B }"]}


@pytest.fixture
def items(write: Callable[..., Path], tmp_path: Path) -> list[Item]:
    write("data/test-00000-of-00001.parquet", [ROW, FORMULA])
    return OcrBench().load(tmp_path)


def test_an_item(items: list[Item]) -> None:
    item = items[0]
    assert (item.id, item.answers, item.category) == ("0", ("CENTRE", "CENTER"), "Regular Text Recognition")
    assert shade_of(item.read_picture()) == 3
    assert OcrBench().prompt(item) == "what is written in the image?"


def test_the_authors_own_file_has_other_names(write: Callable[..., Path], tmp_path: Path) -> None:
    row = {"dataset_name": "svt", "image_path": "svt/1.jpg", "question": "?", "answers": "BAR", "type": "Text", "id": 0}
    write("OCRBench.json", [row])
    (item,) = OcrBench().load(tmp_path)
    assert (item.media, item.answers, item.source) == ("svt/1.jpg", ("BAR",), "svt")


@pytest.mark.parametrize(
    ("text", "points"),
    [("The word is Center.", 1.0), ("ＣＥＮＴＲＥ", 1.0), ("CEN\nTRE", 0.0), ("c e n t r e", 0.0), ("", 0.0)],  # noqa: RUF001
)
def test_an_answer_must_occur_in_the_text(text: str, points: float, items: list[Item]) -> None:
    assert OcrBench().score(OcrBench().parse(text, items[0]), items[0]) == points
    assert OcrBench().harness_points(text, items[0]) == points


@pytest.mark.parametrize(("text", "points"), [(r"$\frac{a}{B}$", 1.0), ("\\frac\n{a} {B}", 1.0), (r"\frac{a}{b}", 0.0)])
def test_formulas_are_compared_without_blanks_and_with_capitals(text: str, points: float, items: list[Item]) -> None:
    assert OcrBench().score(OcrBench().parse(text, items[1]), items[1]) == points


def test_an_empty_answer_would_occur_everywhere(write: Callable[..., Path], tmp_path: Path) -> None:
    write("OCRBench.json", [ROW | {"image": "a.png", "answer": [" "]}])
    with pytest.raises(HimmelError, match=r"'answer' in row 1 of .* has no answer"):
        OcrBench().load(tmp_path)
