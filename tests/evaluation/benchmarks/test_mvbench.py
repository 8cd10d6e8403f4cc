from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.errors import HimmelError
from himmel.evaluation.benchmarks.media import frame_files
from himmel.evaluation.benchmarks.mvbench import TASKS, MvBench
from himmel.evaluation.items import Item, Scored, check_media
from shades import png

ROW = {"video": "a.mp4", "question": "What?", "candidates": ["up", "down", "left"], "answer": "down"}
CUT = ROW | {"start": 1.5, "end": 4.0}


@pytest.fixture
def load(write: Callable[..., Path], tmp_path: Path) -> Callable[..., list[Item]]:
    """Load with some tasks' rows replaced; all others have one question."""

    def with_rows(**tasks: list[dict]) -> list[Item]:
        for task in TASKS:
            write(f"json/{task}.json", tasks.get(task, [ROW]))
        return MvBench().load(tmp_path)

    return with_rows


def of(items: list[Item], task: str) -> Item:
    return next(item for item in items if item.task == task)


def test_all_twenty_tasks_are_loaded(load: Callable[..., list[Item]], tmp_path: Path) -> None:
    items = load(action_count=[ROW, ROW])
    assert len(items) == 21
    assert {item.task for item in items} == set(TASKS)
    assert of(items, "action_count") == Item(
        id="action_count/0",
        media="perception/videos/a.mp4",
        path=tmp_path / "perception/videos/a.mp4",
        kind="video",
        question="What?",
        choices=("up", "down", "left"),
        answers=("B",),
        category="action_count",
        task="action_count",
    )


def test_a_task_without_annotations_is_named(load: Callable[..., list[Item]], tmp_path: Path) -> None:
    load()
    (tmp_path / "json/state_change.json").unlink()
    with pytest.raises(HimmelError, match="has no annotations of MVBench's task state_change"):
        MvBench().load(tmp_path)


def test_media_may_be_in_the_folder_that_their_archives_are_in(
    load: Callable[..., list[Item]], clip: Callable[[str], Path]
) -> None:
    there = clip("video/clevrer/video_validation/a.mp4")
    items = load()
    assert of(items, "moving_count").path == there
    assert [item.task for item in check_media(items, allow_missing=True)] == [
        "counterfactual_inference", "moving_attribute", "moving_count", "moving_direction", "object_existence",
    ]  # fmt: skip


def test_a_whole_video_is_asked_about_between_start_and_end(
    load: Callable[..., list[Item]], clip: Callable[[str], Path]
) -> None:
    clip("video/star/Charades_v1_480/a.mp4")
    item = of(load(action_sequence=[CUT]), "action_sequence")
    assert (item.start, item.end) == (1.5, 4.0)


def test_a_clip_that_was_cut_is_asked_about_as_it_is(
    load: Callable[..., list[Item]], clip: Callable[[str], Path]
) -> None:
    there = clip("star/Charades_segment/a.mp4")
    item = of(load(action_sequence=[CUT]), "action_sequence")
    assert (item.path, item.start, item.end) == (there, None, None)


def test_episodes_are_folders_of_three_pictures_a_second(load: Callable[..., list[Item]], tmp_path: Path) -> None:
    folder = tmp_path / "tvqa/frames_fps3_hq/friends_s01"
    folder.mkdir(parents=True)
    for number in range(1, 16):
        (folder / f"{number:05}.jpg").write_bytes(png())
    item = of(load(episodic_reasoning=[CUT | {"video": "friends_s01"}]), "episodic_reasoning")
    assert (item.kind, item.frame_rate, item.start, item.end) == ("frames", 3.0, 1.5, 4.0)
    assert [path.stem for _, path in frame_files(item)] == [f"{number:05}" for number in range(6, 14)]


def test_the_prompt(load: Callable[..., list[Item]]) -> None:
    item = load()[0]
    assert MvBench().prompt(item) == "Question:What?\nOption:\n(A) up\n(B) down\n(C) left\nOnly give the best option.\n"
    assert MvBench().prompt(item, listing=False) == "What?"


def test_empty_answers_are_wrong_here_and_left_out_by_the_harness(load: Callable[..., list[Item]]) -> None:
    item = load()[0]
    assert MvBench().score(MvBench().parse("", item), item) == 0.0
    assert MvBench().harness_points("", item) == "left out"
    assert (MvBench().harness_points("(B) down", item), MvBench().harness_points("(A)", item)) == (1.0, 0.0)


def test_the_average_counts_every_task_the_same() -> None:
    scored = [Scored("1", None, "a", 1.0), *(Scored(str(n), None, "b", 0.0) for n in range(3))]
    assert MvBench().figures(scored) == {"Avg": 0.5}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"answer": "right"}, "is none of the options"), ({"start": 4.0, "end": 1.0}, "is not after the start")],
)
def test_rows_that_cannot_be_are_named(wrong: dict, says: str, load: Callable[..., list[Item]]) -> None:
    with pytest.raises(HimmelError, match=says):
        load(action_sequence=[CUT | wrong])
