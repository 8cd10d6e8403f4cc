from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.evaluation.benchmarks.activitynet_qa import ActivityNetQa
from himmel.evaluation.items import Item, check_media

ROW = {"video_name": "1QIUV7WYKXg", "question": "is the man happy", "question_id": "v_0", "answer": "yes", "type": "3"}
ITEM = Item("v_0", "a.mp4", None, "video", "how many dogs are there", (), ("two dogs",))


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv"])
def test_an_item(suffix: str, write: Callable[..., Path], clip: Callable[[str], Path], tmp_path: Path) -> None:
    write("data/test-00000-of-00001.parquet", [ROW])
    there = clip("all_test/v_1QIUV7WYKXg.mkv").rename(tmp_path / f"all_test/v_1QIUV7WYKXg{suffix}")
    (item,) = check_media(ActivityNetQa().load(tmp_path))
    assert (item.id, item.path, item.form, item.answers, item.category) == ("v_0", there, "text", ("yes",), "yes or no")


def test_the_prompt() -> None:
    assert ActivityNetQa().prompt(ITEM) == (
        "How many dogs are there? Answer the question using a single word or phrase."
    )


@pytest.mark.parametrize(
    "text", ["two dogs", "Two dogs.", "2 dogs", " the two\ndogs! ", "<think>three</think>Two dogs"]
)
def test_the_same_words_are_an_exact_match(text: str) -> None:
    assert ActivityNetQa().score(ActivityNetQa().parse(text, ITEM), ITEM) == 1.0


@pytest.mark.parametrize("text", ["", "dogs", "three dogs", "There are two dogs.", "!"])
def test_other_words_are_none(text: str) -> None:
    assert ActivityNetQa().score(ActivityNetQa().parse(text, ITEM), ITEM) == 0.0


def test_the_harness_asks_a_judge() -> None:
    assert ActivityNetQa().harness_points("two dogs", ITEM) == "needs a judge"
