from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.evaluation.benchmarks.motionbench import MotionBench
from himmel.evaluation.items import Item, check_media

QUESTION = "What does\nthe man do?\nA. He walks.\nB. He runs,\nthen stops.\nC. He sits."
ROW = {
    "key": "k1",
    "video_path": "a.mp4",
    "video_type": "motion",
    "question_type": "Motion Recognition",
    "qa": [
        {"uid": "u1", "question": QUESTION, "answer": "B", "start": 0, "end": 5},
        {"uid": "u2", "question": QUESTION, "answer": "NA"},
    ],
}


@pytest.fixture
def item(write: Callable[..., Path], clip: Callable[[str], Path], tmp_path: Path) -> Item:
    write("video_info.meta.jsonl", [ROW])
    clip("self-collected/A.MP4")
    (item,) = MotionBench().load(tmp_path)
    return item


def test_only_questions_with_public_answers_are_items(item: Item) -> None:
    assert (item.id, item.answers, item.category, item.task) == ("u1", ("B",), "Motion Recognition", "motion")
    assert (item.question, item.choices) == ("What does the man do?", ("He walks.", "He runs, then stops.", "He sits."))


def test_a_video_is_found_in_any_folder(item: Item) -> None:
    assert item.media == "self-collected/A.MP4"
    assert check_media([item]) == [item]


def test_the_prompt(item: Item) -> None:
    assert MotionBench().prompt(item) == (
        "What does the man do?\nA. He walks.\nB. He runs, then stops.\nC. He sits.\n"
        "Answer with only the option letter (A, B, C, D, E, or F)."
    )


def test_a_word_is_a_letter_for_the_harness_alone(item: Item) -> None:
    assert MotionBench().parse("a dog", item) is None
    assert MotionBench().harness_points("so it is b", item) == 1.0
