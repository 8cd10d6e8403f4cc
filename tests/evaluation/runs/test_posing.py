"""From an item to a question, and from an answer to a row."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from himmel.errors import UsageError
from himmel.evaluation.benchmarks import benchmark
from himmel.evaluation.items import Item
from himmel.evaluation.runs.posing import Posing
from himmel.methods.answer import Answer, ChoiceScore, VideoRead

ITEM = Item("1", "a.mp4", Path("a.mp4"), "video", "Which way?", ("left", "to the right"), ("B",))
FREE = replace(ITEM, choices=(), answers=("a dog",))
FILE = benchmark("file")
READ = VideoRead(
    path="a.mp4", sha256="ab", codec="h264", width=8, height=8, duration=1.0, num_frames=1, average_rate=1.0,
    backend="none", backend_reason="", residual_kind="none", distance_kind="none", accumulated=False, cell=0,
    anchor_width=8, anchor_height=8, anchors=(), intervals=(), num_vectors=0, num_damaged=0,
)  # fmt: skip


def answer(text: str, *choices: ChoiceScore) -> Answer:
    return Answer(
        text=text, question="?", choices=choices, method="dense", options={}, video=READ, host="nano", adapter=None,
        tokens={"text": 1}, removed=None, prompt_sha256="cd", scoring="prior", listing="none", answer_form="text",
        max_new_tokens=4, seed=0, seconds={"answer": 1.0}, first_token=0.5, peak_memory=1, notes=(), versions={},
    )  # fmt: skip


def test_options_are_scored_without_being_listed() -> None:
    question = Posing(scoring="byte").pose(FILE, ITEM)
    assert (question.prompt, question.targets, question.scoring) == ("Which way?", ITEM.choices, "byte")


def test_listed_texts_are_those_of_the_question() -> None:
    question = Posing(listing="texts").pose(FILE, ITEM)
    assert question.prompt.splitlines()[:3] == ["Which way?", "left", "to the right"]
    assert question.targets == ITEM.choices


def test_letters_are_asked_for_in_the_benchmarks_own_words() -> None:
    posing = Posing(listing="letters", answer_form="letter")
    for name in ("file", "mvbench", "video_mme"):
        question = posing.pose(benchmark(name), ITEM)
        assert question.prompt == benchmark(name).prompt(ITEM, listing=True)
        assert question.targets == ("A", "B")


def test_what_is_written_is_asked_for_in_the_benchmarks_own_words() -> None:
    for posing, item in ((Posing(generate=True), ITEM), (Posing(), FREE)):
        question = posing.pose(FILE, item)
        assert (question.prompt, question.choices) == (FILE.prompt(item), ())


@pytest.mark.parametrize(("scores", "right"), [((-2.0, -1.0), True), ((-1.0, -2.0), False)])
def test_the_option_with_the_highest_score_is_the_answer(scores: tuple[float, float], right: bool) -> None:
    choices = [ChoiceScore(text, -9.0, score, 0.5) for text, score in zip(ITEM.choices, scores, strict=True)]
    row = Posing().judge(FILE, ITEM, answer("", *choices), ahead=None)
    assert (row.given, row.parsed) == (("to the right", "B") if right else ("left", "A"))
    assert (row.scores, row.right, row.points, row.harness_points) == (scores, right, float(right), None)


def test_a_written_answer_is_read_and_scored_by_both_rules() -> None:
    asked = Posing(generate=True)
    row = asked.judge(FILE, ITEM, answer("(B) to the right"), ahead=None)
    assert (row.given, row.parsed, row.right, row.harness_points) == ("(B) to the right", "B", True, 1.0)
    row = asked.judge(FILE, ITEM, answer("I cannot tell."), ahead=None)
    assert (row.parsed, row.right, row.scores) == (None, False, None)
    # lmms-eval has a model judge this set, which gives no number here.
    free = benchmark("activitynet_qa")
    assert Posing().judge(free, FREE, answer("A dog."), ahead=None).harness_points is None
    assert Posing().judge(free, FREE, answer("A dog."), ahead=None).right


def test_reading_ahead_counts_for_the_first_token() -> None:
    row = Posing().judge(FILE, FREE, answer("a dog"), ahead=2.0)
    assert row.record is not None
    assert row.record.seconds == {"read_ahead": 2.0, "answer": 1.0, "first_token": 2.5}
    assert row.record.backend is None


@pytest.mark.parametrize(
    ("options", "match"), [({"answer_form": "letter"}, "listing='letters'"), ({"scoring": "fair"}, "does not exist")]
)
def test_ways_that_do_not_go_together(options: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        Posing(**options)


def test_subtitles_must_be_there_to_be_shown() -> None:
    with pytest.raises(UsageError, match="ActivityNet-QA comes without subtitles"):
        Posing(subtitles=True).check(benchmark("activitynet_qa"))
    Posing(subtitles=True).check(benchmark("video_mme"))
