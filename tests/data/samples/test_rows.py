"""Rows of all forms become samples; what can't be learned from says why."""

from pathlib import Path
from typing import Any

import pytest

from himmel.data.samples import Medium, RowError, Sample, Turn, parse_row

FOLDER = Path("/media")


def _parse(row: dict[str, Any], **options: Any) -> Sample:
    return parse_row(row, folder=FOLDER, name="7", **options)


def test_a_plain_question() -> None:
    sample = _parse({"video": "a/b.mp4", "question": " Who runs? ", "answer": "a dog", "start": 2, "end": 3.5})
    assert sample == Sample("7", (Medium("video", "/media/a/b.mp4", 2.0, 3.5),), (Turn("Who runs?", "a dog"),))
    assert sample.kind == "video"
    assert Sample.from_json(sample.to_json()) == sample


@pytest.mark.parametrize("answer", [1, "right", "B", "b"])
def test_choices_are_answered_in_words_or_listed(answer: Any) -> None:
    row = {"image": "a.png", "question": "Which way?", "choices": ["left", "right"], "answer": answer}
    assert _parse(row).turns == (Turn("Which way?", "right"),)
    assert _parse(row, choices="listed").turns == (Turn("Which way?\nA. left\nB. right", "B. right"),)


def test_llava_conversations() -> None:
    row = {
        "id": "x",
        "video": "v.mp4",
        "data_source": "0_30_s_academic_v0_1",
        "conversations": [
            {"from": "human", "value": "<image>\nWhat happens?"},
            {"from": "gpt", "value": "A dog runs."},
            {"from": "human", "value": "Where to?"},
            {"from": "gpt", "value": "To the left."},
        ],
    }
    sample = _parse(row)
    assert sample.id == "x"
    assert sample.turns == (Turn("What happens?", "A dog runs."), Turn("Where to?", "To the left."))


def test_messages_with_parts_and_a_system_message() -> None:
    row = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "video_url", "video_url": {"url": "file:///v%201.mp4"}},
                    {"type": "text", "text": "What happens?"},
                ],
            },
            {"role": "assistant", "content": "A dog runs."},
            {"role": "user", "content": "A question without an answer"},
        ]
    }
    sample = _parse(row)
    assert sample.media == (Medium("video", "/v 1.mp4"),)
    assert sample.turns == (Turn("Be brief.\nWhat happens?", "A dog runs."),)


def test_text_alone_and_several_pictures() -> None:
    assert _parse({"question": "2 + 2?", "answer": 4}).kind == "text"
    pictures = _parse({"image": ["a.png", "b.png"], "question": "Same?", "answer": "no"})
    assert [medium.path for medium in pictures.media] == ["/media/a.png", "/media/b.png"]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"video": "v.mp4"}, "has no question"),
        ({"video": "v.mp4", "question": "q"}, "has no answer"),
        ({"video": "v.mp4", "question": "q", "choices": ["a"], "answer": "c"}, "answer 'c' is neither"),
        ({"video": ["a.mp4", "b.mp4"], "question": "q", "answer": "a"}, "shows 2 videos"),
        ({"video": 3, "question": "q", "answer": "a"}, "its video is no path"),
        ({"video": "https://e.org/v.mp4", "question": "q", "answer": "a"}, "not a file of this machine"),
        ({"video": "v.mp4", "question": "q", "answer": "a", "start": 3, "end": 2}, "is not after its start"),
        ({"conversations": [{"from": "gpt", "value": "a"}]}, "begins with an answer"),
        ({"conversations": [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "a"}]}, "empty question"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "none of human, user"),
        ({"messages": "none"}, "no list of messages"),
        ({"video": "s3://bucket/v.mp4", "question": "q", "answer": "a"}, r"not a file of this machine \(s3:\)"),
        ({"video": {"path": None}, "question": "q", "answer": "a"}, "its video has no path"),
        ({"video": "v.mp4", "question": "q", "answer": "a", "start": 10**400}, "its start 10+ is no number"),
        ({"video": "v.mp4", "question": "q", "answer": "a", "start": -1.0}, "its start -1.0 is no number"),
        ({"question": "q", "answer": float("nan")}, "has no answer"),
        ({"question": "q", "choices": [2, 3, 4], "answer": 2}, "answer 2 is one of its choices and the index of"),
        ({"question": "q", "answer": "half \ud83d"}, "half a character"),
        ({"question": "q", "answer": "a", "subtitles": "s.srt"}, "has subtitles and no video"),
        ({"image": "a.png", "question": "q", "answer": "a", "subtitles": "s.srt"}, "has subtitles and no video"),
    ],
)
def test_what_cannot_be_learned_from(row: dict[str, Any], why: str) -> None:
    with pytest.raises(RowError, match=why):
        _parse(row)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("//[2020/v.mp4", "//[2020/v.mp4"),
        ("a:b.mp4", "/media/a:b.mp4"),
        ("file:/v%231.mp4", "/v#1.mp4"),
        ("FILE://localhost/v.mp4", "/v.mp4"),
    ],
)
def test_a_path_is_taken_as_it_is_and_a_file_url_by_its_path(value: str, path: str) -> None:
    assert _parse({"video": value, "question": "q", "answer": "a"}).media[0].path == path


def test_an_index_that_is_the_choice_of_that_place_too_is_no_riddle() -> None:
    assert _parse({"question": "q", "choices": [0, 1, 2], "answer": 1}).turns == (Turn("q", "1"),)
    assert _parse({"question": "q", "choices": [2, 3, 4], "answer": "2"}).turns == (Turn("q", "2"),)
