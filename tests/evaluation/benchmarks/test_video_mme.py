from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.errors import HimmelError
from himmel.evaluation.benchmarks.video_mme import VideoMme
from himmel.evaluation.items import Item, check_media

ROW = {
    "video_id": "001",
    "duration": "short",
    "domain": "Knowledge",
    "sub_category": "Humanity & History",
    "url": "https://www.youtube.com/watch?v=fFjv93ACGo8",
    "videoID": "fFjv93ACGo8",
    "question_id": "001-1",
    "task_type": "Counting Problem",
    "question": "How many?",
    "options": ["A. Apples.", "B. Candles.", "C. Berries.", "D. All the same."],
    "answer": "C",
}


@pytest.fixture
def item(write: Callable[..., Path], tmp_path: Path) -> Item:
    write("videomme/test-00000-of-00001.parquet", [ROW])
    return VideoMme().load(tmp_path)[0]


def test_an_item(item: Item, tmp_path: Path) -> None:
    assert item == Item(
        id="001-1",
        media="data/fFjv93ACGo8.mp4",
        path=tmp_path / "data/fFjv93ACGo8.mp4",
        kind="video",
        question="How many?",
        choices=("Apples.", "Candles.", "Berries.", "All the same."),
        answers=("C",),
        category="Counting Problem",
        task="Knowledge",
        duration_group="short",
        subtitles=tmp_path / "subtitle/fFjv93ACGo8.srt",
        cluster="fFjv93ACGo8",
    )


@pytest.mark.parametrize("suffix", [".mp4", ".MP4", ".mkv"])
def test_videos_have_one_of_three_suffixes(
    suffix: str, write: Callable[..., Path], clip: Callable[[str], Path], tmp_path: Path
) -> None:
    write("videomme/test.parquet", [ROW, ROW | {"question_id": "001-2"}])
    there = clip(f"data/fFjv93ACGo8{suffix}")
    items = check_media(VideoMme().load(tmp_path))
    assert [item.path for item in items] == [there, there]


def test_the_harness_speaks_of_subtitles_even_without_any(item: Item) -> None:
    assert VideoMme().prompt(item) == (
        "Select the best answer to the following multiple-choice question based on the video and the subtitles. "
        "Respond with only the letter (A, B, C, or D) of the correct option.\n"
        "How many?\nA. Apples.\nB. Candles.\nC. Berries.\nD. All the same.\n\n"
        "Answer with the option's letter from the given choices directly."
    )


def test_the_authors_speak_of_subtitles_only_with_them(item: Item) -> None:
    authors = VideoMme(wording="authors")
    assert "based on the video. Respond" in authors.prompt(item)
    assert authors.prompt(item).endswith("D. All the same.\nThe best answer is:")
    shown = authors.prompt(item, subtitles="Hello.")
    assert shown.startswith("This video's subtitles are listed below: \nHello.\nSelect the best answer")
    assert "based on the video and the subtitles." in shown
    assert shown == VideoMme().prompt(item, subtitles="Hello.")


def test_a_video_where_nothing_is_said_has_no_subtitles_available(item: Item) -> None:
    assert "listed below: \nNo subtitles available\n" in VideoMme().prompt(item, subtitles="")


def test_qwen3_vl_is_asked_in_other_words(item: Item) -> None:
    assert VideoMme(wording="qwen3-vl").prompt(item) == (
        "Question: How many?\nOptions:\nA. Apples.\nB. Candles.\nC. Berries.\nD. All the same.\n"
        "Answer with the option letter only."
    )


def test_the_question_alone(item: Item) -> None:
    assert VideoMme().prompt(item, listing=False) == "How many?"


def test_a_letter_inside_a_word_counts_for_the_harness_alone(item: Item) -> None:
    text = "Cannot tell"
    assert VideoMme().parse(text, item) is None
    assert (VideoMme().score(None, item), VideoMme().harness_points(text, item)) == (0.0, 1.0)
    assert VideoMme().score(VideoMme().parse("(C)", item), item) == 1.0


@pytest.mark.parametrize(
    ("wrong", "says"), [({"answer": "E"}, "is no letter of 4 options"), ({"options": ["A. one"]}, "has 1 options")]
)
def test_rows_that_cannot_be_are_named(wrong: dict, says: str, write: Callable[..., Path], tmp_path: Path) -> None:
    write("videomme/test.parquet", [ROW | wrong])
    with pytest.raises(HimmelError, match=f"in row 1 of .* {says}"):
        VideoMme().load(tmp_path)


def test_questions_that_come_twice_are_refused(write: Callable[..., Path], tmp_path: Path) -> None:
    write("videomme/test.parquet", [ROW, ROW])
    with pytest.raises(HimmelError, match="gives one id more than once, the first '001-1'"):
        VideoMme().load(tmp_path)
