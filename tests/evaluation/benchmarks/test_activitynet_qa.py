from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from himmel.evaluation.benchmarks.activitynet_qa import ActivityNetQa, Verdict, judge_answer
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


def test_a_judge_is_asked_in_the_fields_words() -> None:
    asked: list[tuple[str, str]] = []

    def judge(*, system: str, prompt: str) -> str:
        asked.append((system, prompt))
        return "{'pred': 'yes', 'score': 4.8}"

    assert judge_answer(judge, ITEM, "a pair of dogs") == Verdict(right=True, match=4)
    ((system, prompt),) = asked
    assert system.startswith("You are an intelligent chatbot designed for evaluating the correctness")
    assert "Question: how many dogs are there\nCorrect Answer: two dogs\nPredicted Answer: a pair of dogs\n" in prompt


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ('```python\n{"pred": "no", "score": 0}\n```', Verdict(right=False, match=0)),
        ("{'pred': 'Yes', 'score': 5}", Verdict(right=True, match=5)),
        ("pred: no, score: 2", Verdict(right=False, match=2)),
        ("I cannot say.", None),
        ("{'pred': 'yes'}", None),
        ("{'pred': 'yes', 'score': 17}", None),
        ("__import__('os').system('false')", None),
        ("", None),
    ],
)
def test_a_judges_reply_is_read_not_run(reply: str, verdict: Verdict | None) -> None:
    assert judge_answer(lambda *, system, prompt: reply, ITEM, "x") == verdict


@given(st.text(max_size=200))
def test_any_reply_is_a_verdict_or_none(reply: str) -> None:
    verdict = judge_answer(lambda *, system, prompt: reply, ITEM, "x")
    assert verdict is None or 0 <= verdict.match <= 5
