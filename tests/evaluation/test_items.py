"""Items of any benchmark: letters, splits, and media that are not all there."""

from pathlib import Path

import pytest

from himmel.errors import HimmelError, UsageError
from himmel.evaluation.benchmarks import BENCHMARK_NAMES, benchmark
from himmel.evaluation.items import Item, check_ids, check_media, check_split, letter


def item(name: str, path: Path | None, **fields: object) -> Item:
    given: dict = {"kind": "video", "question": "What?", "choices": ("a", "b"), "answers": ("B",)}
    return Item(id=name, media=name.partition("/")[0], path=path, **(given | fields))


def test_the_right_choice_has_an_index_and_a_letter() -> None:
    one = item("a", None)
    assert (one.right, one.letters, one.form) == (1, ("A", "B"), "choice")
    free = item("a", None, choices=(), answers=("red",))
    assert (free.right, free.letters, free.form) == (None, (), "text")


def test_questions_about_one_video_are_a_cluster() -> None:
    assert item("a.mp4/0", None).cluster == item("a.mp4/1", None).cluster == "a.mp4"


def test_there_are_26_letters() -> None:
    assert (letter(0), letter(25)) == ("A", "Z")
    with pytest.raises(ValueError, match="no letter for choice 26"):
        letter(26)


def test_a_picture_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"encoded")
    assert item("a", tmp_path / "a.png", kind="image").read_picture() == b"encoded"
    with pytest.raises(HimmelError, match=r"Cannot read the picture .*b\.png' \(No such file"):
        item("b", tmp_path / "b.png", kind="image").read_picture()


def test_missing_media_are_counted_and_named(tmp_path: Path) -> None:
    (tmp_path / "0").write_bytes(b"video")
    items = [item(f"{name}/{place}", tmp_path / str(name)) for name in range(8) for place in range(2)]
    with pytest.raises(HimmelError) as caught:
        check_media(items)
    sentence = str(caught.value)
    assert sentence.startswith("7 of 8 files are missing, which 14 of 16 questions are about: ")
    assert [str(tmp_path / str(name)) in sentence for name in range(8)] == [False, *[True] * 5, False, False]
    assert " and 2 more; finish the download" in sentence
    assert "--allow-missing" in sentence


def test_questions_without_media_are_left_out_where_that_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"video")
    items = [item("a", tmp_path / "a"), item("b", tmp_path / "b")]
    told: list[str] = []
    assert check_media(items, allow_missing=True, warn=told.append) == items[:1]
    missing = f"1 of 2 files is missing, which 1 of 2 questions are about: {str(tmp_path / 'b')!r}"
    assert told == [f"{missing}; these questions are left out."]


def test_nothing_is_left_to_ask_without_any_media(tmp_path: Path) -> None:
    with pytest.raises(HimmelError, match=r"1 of 1 file is missing.*name the folder"):
        check_media([item("a", tmp_path / "a")], allow_missing=True)


def test_an_empty_folder_of_pictures_is_missing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/1.jpg").write_bytes(b"picture")
    items = [item(name, tmp_path / name, kind="frames", frame_rate=3.0) for name in ("empty", "full")]
    assert check_media(items, allow_missing=True) == items[1:]


def test_pictures_inside_annotations_are_never_missing() -> None:
    items = [item("a", None, kind="image")]
    assert check_media(items) == items


def test_ids_that_come_twice_are_refused(tmp_path: Path) -> None:
    twice = [item("a", None), item("b", None), item("a", None)]
    with pytest.raises(HimmelError, match="gives one id more than once, the first 'a'"):
        check_ids(twice, tmp_path / "test.json")


def test_annotations_without_questions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HimmelError, match="has no question in it"):
        check_ids([], tmp_path / "test.json")


def test_a_split_that_does_not_exist_is_refused() -> None:
    mlvu = benchmark("mlvu")
    assert (check_split(mlvu, None), check_split(mlvu, "dev")) == ("test", "dev")
    with pytest.raises(UsageError, match=r"MLVU has no split 'train' that can be scored; take 'test' or 'dev'\."):
        check_split(mlvu, "train")


def test_an_unknown_benchmark_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="no benchmark 'videomme'; did you mean 'video_mme'"):
        benchmark("videomme")
    with pytest.raises(UsageError, match="no benchmark 'xyz'; choose among video_mme, mvbench"):
        benchmark("xyz")


def test_every_benchmark_says_that_its_folder_is_missing(tmp_path: Path) -> None:
    for name in BENCHMARK_NAMES:
        one = benchmark(name)
        with pytest.raises(HimmelError, match=r"is no folder; name the folder|does not exist; name a file"):
            one.load(tmp_path / "nowhere")
        with pytest.raises(HimmelError, match="has no annotations of"):
            one.load(tmp_path)
