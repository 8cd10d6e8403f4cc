"""Answers written and read again, and files of answers that are damaged."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from himmel.errors import HimmelError
from himmel.evaluation.items import Item
from himmel.evaluation.runs.record import (
    Evidence,
    Header,
    Row,
    load_run,
    questions_sha256,
    read_header,
    read_rows,
    weights_sha256,
)
from himmel.methods.removed import Removed

ROW = Row(
    id="1",
    media="a.mp4",
    media_kind="video",
    cluster="a",
    category="motion",
    question="Which way?",
    choices=("left", "nach rechts \u00fcber"),
    answer=("A",),
    given="left",
    parsed="A",
    scores=(-1.5, -2.25),
    right=True,
    points=1.0,
    record=Evidence(
        video_sha256="ab",
        frames=(0, 8),
        times=(0.0, 0.32),
        backend="bitstream",
        pixels=(160, 128),
        prompt_sha256="cd",
        tokens={"text": 20, "image": 32, "motion": 8},
        removed=Removed(unit="tokens", before=64, after=32, merged=3),
        seed=0,
        seconds={"open": 0.1, "first_token": 0.4},
        peak_memory=123,
    ),
)
BROKEN = Row(
    id="2", media="b.mp4", media_kind="video", cluster="b", question="?", answer=("x", "y"), right=False, points=0.0,
    error="It cannot be opened.",
)  # fmt: skip
HEADER = Header(
    benchmark="file",
    data="data",
    questions=2,
    questions_sha256="ef",
    method={"name": "dense", "num_frames": 8},
    host="nano",
    adapter=None,
    adapter_sha256=None,
    settings={"scoring": "prior"},
    versions={"himmel": "1"},
)
ITEM = Item("1", "a.mp4", Path("a.mp4"), "video", "Which way?", ("left", "right"), ("A",))


def test_a_row_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text(ROW.to_line() + BROKEN.to_line(), encoding="utf-8")
    assert read_rows(tmp_path / "answers.jsonl") == [ROW, BROKEN]


def test_a_line_has_the_agreed_fields() -> None:
    line = json.loads(ROW.to_line())
    assert list(line) == [
        "id", "media", "media_kind", "cluster", "category", "task", "duration", "duration_group", "question", "choices",
        "answer", "given", "parsed", "scores", "right", "points", "harness_points", "error", "record",
    ]  # fmt: skip
    assert line["record"]["removed"] == {"unit": "tokens", "before": 64, "after": 32, "merged": 3}
    assert ROW.to_line().count("\n") == 1


def test_a_last_line_that_was_cut_off_does_not_count(tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    for cut in (1, 20, len(BROKEN.to_line().encode()) - 1):
        answers.write_bytes(ROW.to_line().encode() + BROKEN.to_line().encode()[:cut])
        assert read_rows(answers) == [ROW]
    assert read_rows(tmp_path / "nowhere.jsonl") == []


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        ([ROW.to_line(), ROW.to_line()], "two answers to question '1', the second in line 2"),
        (["{\n", ROW.to_line()], "Line 1"),
        (["[]\n"], "Line 1"),
        (['{"id": "1"}\n'], "Line 1"),
        ([ROW.to_line().replace('"points"', '"point"')], "Line 1"),
        (["{}\n"], "Line 1"),
    ],
)
def test_damaged_answers_are_one_sentence(tmp_path: Path, lines: list[str], names: str) -> None:
    (tmp_path / "answers.jsonl").write_text("".join(lines), encoding="utf-8")
    with pytest.raises(HimmelError) as raised:
        read_rows(tmp_path / "answers.jsonl")
    assert names in str(raised.value)
    assert str(raised.value).count("\n") == 0


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    HEADER.write(tmp_path)
    (tmp_path / "answers.jsonl").write_text(ROW.to_line() + BROKEN.to_line(), encoding="utf-8")
    run = load_run(tmp_path)
    assert (run.header, run.rows, run.is_whole) == (HEADER, (ROW, BROKEN), True)


def test_a_run_without_all_its_answers_is_not_whole(tmp_path: Path) -> None:
    HEADER.write(tmp_path)
    (tmp_path / "answers.jsonl").write_text(ROW.to_line(), encoding="utf-8")
    with pytest.raises(HimmelError, match="has 1 of 2 answers"):
        load_run(tmp_path)
    assert load_run(tmp_path, whole=False).rows == (ROW,)


@pytest.mark.parametrize(
    ("content", "names"), [(None, "is no run"), ("{", "is damaged"), ('{"benchmark": "x"}', "is damaged")]
)
def test_a_folder_that_is_no_run(tmp_path: Path, content: str | None, names: str) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(HimmelError, match=names):
        read_header(tmp_path)


def test_what_makes_another_run() -> None:
    assert HEADER.differences(replace(HEADER, data="moved", machine={"cores": 4}, started="now", adapter="x")) == []
    assert HEADER.differences(replace(HEADER, versions={"himmel": "2"})) == ["versions himmel='1', not '2'"]
    assert HEADER.differences(replace(HEADER, method={"name": "dense"})) == ["method num_frames=8, not None"]


def test_the_hash_of_questions_is_of_what_is_asked() -> None:
    other = replace(ITEM, id="2")
    assert questions_sha256([ITEM, other]) == questions_sha256([other, ITEM])
    changes = ({"question": "What?"}, {"choices": ("left", "up")}, {"answers": ("B",)}, {"id": "3"}, {"media": "b.mp4"})
    found = {questions_sha256([replace(ITEM, **change)]) for change in changes}
    assert len({*found, questions_sha256([ITEM])}) == len(changes) + 1


def test_the_hash_of_weights_is_of_weights_and_settings(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    first = weights_sha256(tmp_path)
    (tmp_path / "state" / "optimizer.safetensors").write_bytes(b"more")
    (tmp_path / "README.md").write_text("words")
    assert weights_sha256(tmp_path) == first
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    assert weights_sha256(tmp_path) != first
