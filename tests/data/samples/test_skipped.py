"""The list of what was skipped, when processes end while they write, and when training starts again."""

from pathlib import Path

import pytest

from himmel.data.samples.skipped import Skipped, SkippedList

ONE, TWO = Skipped("a.mp4", "refused", "there is no such file"), Skipped("b.mp4", "time", "it took more than 3 seconds")


def test_each_thing_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "skipped.jsonl"
    first, second = SkippedList(path), SkippedList(path)
    for entry in (ONE, TWO, ONE):
        first.add(entry)
    second.add(ONE)
    assert len(path.read_text().splitlines()) == 2
    assert second.entries() == [ONE, TWO]


@pytest.mark.parametrize("left", ["{", '{"what": "c.mp4", "cau', '{"what": "c.mp4"}', "[]"])
def test_half_a_line_is_none_and_spoils_no_other(left: str, tmp_path: Path) -> None:
    path = tmp_path / "skipped.jsonl"
    SkippedList(path).add(ONE)
    with path.open("a") as file:
        file.write(left)
    again = SkippedList(path)
    assert again.entries() == [ONE]
    again.add(TWO)
    assert SkippedList(path).entries() == [ONE, TWO]


def test_what_may_be_mended_is_tried_again_by_the_next_training(tmp_path: Path) -> None:
    """A disk that was not there, or a video that had not been prepared, was refused, and is good by now."""
    first = SkippedList(tmp_path / "skipped.jsonl")
    for entry in (ONE, TWO, Skipped("some id", "long", "2 of its 3 turns are dropped")):
        first.add(entry)
    assert [first.is_unreadable(name) for name in ("a.mp4", "b.mp4", "some id")] == [True, True, False]
    again = SkippedList(tmp_path / "skipped.jsonl")
    assert [again.is_unreadable(name) for name in ("a.mp4", "b.mp4")] == [False, True]
    # It is known all the same, and not written once more.
    again.add(ONE)
    assert again.is_unreadable("a.mp4")
    assert len(again.entries()) == 3
