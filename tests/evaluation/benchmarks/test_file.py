"""Questions of a file of one's own."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from himmel.errors import HimmelError
from himmel.evaluation.benchmarks.file import QuestionFile
from himmel.evaluation.items import Item, check_media
from shades import png, shade_of

ROW: dict[str, Any] = {"video": "clips/a.mp4", "question": "What?", "choices": ["up", "down"], "answer": "down"}
MORE = ROW | {
    "id": "first", "category": "direction", "task": "motion", "duration": 2, "duration_group": "short",
    "subtitles": "a.srt", "start": 0.5, "end": 1.5,
}  # fmt: skip


@pytest.mark.parametrize("name", ["questions.jsonl", "questions.json", "questions.parquet", "mine.jsonl"])
def test_every_column(name: str, write: Callable[..., Path], tmp_path: Path) -> None:
    assert QuestionFile().load(write(name, [MORE])) == [
        Item(
            id="first",
            media="clips/a.mp4",
            path=tmp_path / "clips/a.mp4",
            kind="video",
            question="What?",
            choices=("up", "down"),
            answers=("B",),
            start=0.5,
            end=1.5,
            category="direction",
            task="motion",
            duration=2.0,
            duration_group="short",
            subtitles=tmp_path / "a.srt",
        )
    ]


def test_a_folder_with_questions(write: Callable[..., Path], clip: Callable[[str], Path], tmp_path: Path) -> None:
    write("questions.jsonl", [ROW, ROW])
    there = clip("clips/a.mp4")
    items = check_media(QuestionFile().load(tmp_path))
    assert [(item.id, item.path) for item in items] == [("1", there), ("2", there)]


@pytest.mark.parametrize("answer", ["down", "B", "b", 1])
def test_an_answer_is_a_text_a_letter_or_an_index(answer: object, write: Callable[..., Path]) -> None:
    assert QuestionFile().load(write("a.jsonl", [ROW | {"answer": answer}]))[0].answers == ("B",)


def test_a_free_answer_may_have_several_wordings(write: Callable[..., Path]) -> None:
    row = {"video": "a.mp4", "question": "Who?", "answer": ["a dog", "one puppy"]}
    (item,) = QuestionFile().load(write("a.jsonl", [row]))
    assert item.form == "text"
    for text, points in (("Dog!", 1.0), ("1 puppy", 1.0), ("cat", 0.0)):
        assert QuestionFile().score(QuestionFile().parse(text, item), item) == points


@pytest.mark.parametrize(
    ("text", "points"),
    [("5", 0.0), ("-5.", 1.0), ("\u22125", 1.0), ("minus 5", 0.0), ("1.5 m", 1.0), ("1/5 m", 0.0), ("15 m", 0.0)],
)
def test_a_number_is_right_with_its_sign_and_fraction_alone(
    text: str, points: float, write: Callable[..., Path]
) -> None:
    free = {key: value for key, value in ROW.items() if key != "choices"}
    (item,) = QuestionFile().load(write("a.jsonl", [free | {"answer": ["-5", "1.5 m"]}]))
    assert QuestionFile().score(QuestionFile().parse(text, item), item) == points


def test_a_number_that_is_an_index_and_a_text_is_refused(write: Callable[..., Path]) -> None:
    rows = [ROW | {"choices": [0, 1, 2], "answer": 1}, ROW | {"choices": [3, 4], "answer": 1}]
    assert [item.answers for item in QuestionFile().load(write("a.jsonl", rows))] == [("B",), ("B",)]
    with pytest.raises(HimmelError, match="by its text and another by its index; give the letter"):
        QuestionFile().load(write("a.jsonl", [ROW | {"choices": [1, 2, 3], "answer": 1}]))


def test_pictures_as_files_and_inside_parquet(write: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    picture = {key: value for key, value in ROW.items() if key != "video"}
    (outside,) = QuestionFile().load(write("a.jsonl", [picture | {"image": "a.png"}]))
    (inside,) = QuestionFile().load(write("a.parquet", [picture | {"image": {"bytes": png(2), "path": None}}]))
    assert (outside.kind, outside.media, shade_of(outside.read_picture())) == ("image", "a.png", 1)
    assert (inside.kind, inside.media, shade_of(inside.read_picture())) == ("image", "a.parquet#1", 2)


def test_the_prompt(write: Callable[..., Path]) -> None:
    (item,) = QuestionFile().load(write("a.jsonl", [ROW]))
    ending = "Answer with the option's letter from the given choices directly."
    assert QuestionFile().prompt(item) == f"What?\nA. up\nB. down\n{ending}"
    assert QuestionFile().prompt(item, listing=False) == "What?"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"answer": "left"}, "'answer' in row 1 of"),
        ({"answer": 2}, "is no whole number from 0 to 1"),
        ({"answer": None}, "is no text"),
        ({"choices": ["up"]}, "has 1 options, not 2 to 26"),
        ({"choices": ["up", "up"], "answer": "up"}, "has an option twice"),
        ({"question": " "}, "'question' in row 1 of"),
        ({"video": "../a.mp4"}, "is not a file below"),
        ({"video": "a" * 300 + ".mp4"}, "is not a file below"),
        ({"video": "a/" * 3000 + "a.mp4"}, "is not a file below"),
        ({"video": None}, "'image' in row 1 of"),
        ({"start": 2, "end": 1}, "is not after the start"),
        ({"start": -1}, "is before the video's own"),
        ({"duration": "long"}, "is no number"),
        ({"duration": 10**400}, "is no number"),
    ],
)
def test_rows_that_cannot_be_are_named(wrong: dict, says: str, write: Callable[..., Path]) -> None:
    with pytest.raises(HimmelError, match=re.escape(says)):
        QuestionFile().load(write("a.jsonl", [ROW | wrong]))


def test_a_file_without_answers_is_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(HimmelError, match="has no column 'answer'"):
        QuestionFile().load(write("a.jsonl", [{"video": "a.mp4", "question": "?"}]))


def test_ids_that_come_twice_are_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(HimmelError, match="gives one id more than once, the first 'x'"):
        QuestionFile().load(write("a.jsonl", [ROW | {"id": "x"}] * 2))
