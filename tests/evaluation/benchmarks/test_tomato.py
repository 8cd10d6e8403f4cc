from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.evaluation.benchmarks.tomato import Tomato
from himmel.evaluation.items import Item

ROW = {
    "id": "rotation_1",
    "question": "Which way does it turn?",
    "options": ["Clockwise", "Counterclockwise", "Not at all"],
    "answer": 0,
    "video_path": "videos/object/1.mp4",
    "reason_type": "rotation",
    "demonstration_type": "object",
}


@pytest.fixture
def item(write: Callable[..., Path], tmp_path: Path) -> Item:
    write("data/test-00000-of-00001.parquet", [ROW])
    return Tomato().load(tmp_path)[0]


def test_an_item(item: Item, tmp_path: Path) -> None:
    assert (item.id, item.path, item.answers) == ("rotation_1", tmp_path / "videos/object/1.mp4", ("A",))
    assert (item.category, item.task) == ("rotation", "object")


def test_the_prompt_has_the_options_as_a_dictionary(item: Item) -> None:
    prompt = Tomato().prompt(item)
    assert "<question> \nWhich way does it turn? \n</question>\n\n<options> \n" in prompt
    assert "{'A': 'Clockwise', 'B': 'Counterclockwise', 'C': 'Not at all'} \n</options>\n\nEven if" in prompt
    assert prompt.endswith("DO NOT GENERATE ANSWER SUCH AS 'NOT POSSIBLE TO DETERMINE.' \n")


def test_no_answer_is_wrong_here_and_a_for_the_harness(item: Item) -> None:
    text = "it is hard to say"
    assert Tomato().score(Tomato().parse(text, item), item) == 0.0
    assert Tomato().harness_points(text, item) == 1.0


def test_an_option_by_its_text(item: Item) -> None:
    assert Tomato().parse("It turns counterclockwise.", item) == "B"
