from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.evaluation.benchmarks.vinoground import Vinoground
from himmel.evaluation.items import Item, Scored

TEXT = "Which caption fits?\nA. the man eats, then walks\nB. the man walks, then eats"
VIDEO = "Which segment fits 'the man eats, then walks'? Answer A for the first, B for the second."


@pytest.fixture
def items(write: Callable[..., Path], tmp_path: Path) -> list[Item]:
    folder, joined = "vinoground_videos", "vinoground_videos_concated"
    write(
        f"{folder}/vinoground_textscore.json",
        [
            {"idx": "0_pos", "video_name": f"{folder}/0_pos.mp4", "question": TEXT, "GT": "A"},
            {"idx": "0_neg", "video_name": f"{folder}/0_neg.mp4", "question": TEXT, "GT": "B"},
        ],
    )
    write(
        f"{joined}/vinoground_videoscore.json",
        [{"idx": "0_pos", "video_name": f"{joined}/0.mp4", "question": VIDEO, "GT": "A"}],
    )
    write("data/lmmseval-00000-of-00001.parquet", [{"index": "0_pos_text", "major": "action", "minor": None}])
    return Vinoground().load(tmp_path)


def test_items_about_captions_and_about_halves(items: list[Item], tmp_path: Path) -> None:
    assert [item.id for item in items] == ["0_pos_text", "0_neg_text", "0_pos_video"]
    assert [item.task for item in items] == ["text", "text", "video"]
    assert items[0].choices == ("the man eats, then walks", "the man walks, then eats")
    assert (items[2].choices, items[2].question) == (("A", "B"), VIDEO)
    assert items[0].path == tmp_path / "vinoground_videos/0_pos.mp4"


def test_a_pair_is_a_cluster_and_categories_are_optional(items: list[Item]) -> None:
    assert {item.cluster for item in items} == {"0"}
    assert [item.category for item in items] == ["action", None, None]


def test_the_prompt(items: list[Item]) -> None:
    assert Vinoground().prompt(items[0]) == f"{TEXT}\nPlease only output one English character."


@pytest.mark.parametrize(("text", "ours", "harness"), [("A", 1.0, 1.0), ("(A)", 1.0, 0.0), ("Animals", 0.0, 1.0)])
def test_the_first_character_counts_for_the_harness(text: str, ours: float, harness: float, items: list[Item]) -> None:
    assert Vinoground().score(Vinoground().parse(text, items[0]), items[0]) == ours
    assert Vinoground().harness_points(text, items[0]) == harness
    assert Vinoground().harness_points("", items[0]) == 0.0


def test_only_whole_pairs_and_whole_groups_count() -> None:
    right = {"0_pos_text", "0_neg_text", "0_pos_video", "0_neg_video", "1_pos_text", "1_neg_text", "1_pos_video"}
    scored = [
        Scored(f"{number}_{side}_{task}", None, task, float(f"{number}_{side}_{task}" in right))
        for number in range(2) for side in ("pos", "neg") for task in ("text", "video")
    ]  # fmt: skip
    assert Vinoground().figures(scored) == {"group": 0.5, "text": 1.0, "video": 0.5, "single": 7 / 8}


def test_half_a_pair_is_no_pair() -> None:
    assert Vinoground().figures([Scored("0_pos_text", None, "text", 1.0)])["text"] == 0.0
