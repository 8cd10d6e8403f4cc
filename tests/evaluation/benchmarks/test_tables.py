"""Annotation files: Parquet, JSON and JSON lines of the released forms, and damaged ones."""

import re
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from himmel.errors import HimmelError
from himmel.evaluation.benchmarks import tables
from himmel.evaluation.benchmarks.media import below, frame_files
from himmel.evaluation.benchmarks.tables import Cell, Row, find_annotations, picture_of, read_rows
from himmel.evaluation.items import Item
from shades import png, shade_of

Write = Callable[..., Path]
COLUMNS = {"question": ("question", "text"), "answer": ("answer",)}
ROWS = [{"question": f"What is {number}?", "answer": number} for number in range(5)]


@pytest.mark.parametrize("name", ["a.parquet", "a.json", "a.jsonl"])
def test_every_kind_of_file_gives_the_same_rows(name: str, write: Write) -> None:
    rows = read_rows([write(name, ROWS)], COLUMNS, title="Test")
    assert [(row.number, row.text("question"), row.number_of("answer")) for row in rows] == [
        (number + 1, f"What is {number}?", number) for number in range(5)
    ]


def test_shards_are_read_in_order(write: Write, tmp_path: Path) -> None:
    for shard in (2, 0, 1):
        write(f"data/test-0000{shard}.parquet", [{"question": str(shard), "answer": "x"}])
    files = find_annotations(tmp_path, ("**/test-*.parquet",), title="Test")
    assert [row.text("question") for row in read_rows(files, COLUMNS, title="Test")] == ["0", "1", "2"]


def test_the_first_pattern_with_files_wins(write: Write, tmp_path: Path) -> None:
    write("b.json", ROWS)
    preferred = write("a.jsonl", ROWS)
    assert find_annotations(tmp_path, ("*.parquet", "*.jsonl", "*.json"), title="Test") == [preferred]


def test_a_column_may_have_another_name(write: Write) -> None:
    assert (
        read_rows([write("a.json", [{"text": "?", "answer": "x"}])], COLUMNS, title="Test")[0].text("question") == "?"
    )


def test_pictures_are_read_when_asked_for(write: Write, tmp_path: Path) -> None:
    rows = [{"image": {"bytes": png(shade), "path": f"{shade}.png"}, "n": shade} for shade in range(5)]
    read = read_rows([write("a.parquet", rows)], {"image": ("image",)}, title="Test")
    cells = [picture_of(row, "image", tmp_path)[0] for row in read]
    assert [shade_of(cell.read()) for cell in cells if cell is not None] == [0, 1, 2, 3, 4]


def test_pictures_outside_are_files_below_the_folder(write: Write, tmp_path: Path) -> None:
    rows = [{"image": {"bytes": None, "path": f"images/{number}.png"}} for number in range(3)]
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    pyarrow.parquet.write_table(
        pyarrow.table({"image": pyarrow.array([row["image"] for row in rows], kind)}), tmp_path / "a.parquet"
    )
    read = read_rows([tmp_path / "a.parquet"], {"image": ("image",)}, title="Test")
    assert picture_of(read[2], "image", tmp_path) == (None, tmp_path / "images/2.png")


def test_a_missing_picture_is_an_error_when_read(write: Write, tmp_path: Path) -> None:
    path = write("a.parquet", [{"image": {"bytes": png(), "path": "a"}}, {"image": {"bytes": None, "path": "b"}}])
    cell = picture_of(read_rows([path], {"image": ("image",)}, title="Test")[1], "image", tmp_path)[0]
    assert isinstance(cell, Cell)
    with pytest.raises(HimmelError, match="has no picture in row 2 of row group 1"):
        cell.read()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.json", b"", "is empty; download it again"),
        ("a.json", b"[]", "is empty"),
        ("a.jsonl", b"\n\n", "is empty"),
        ("a.json", b"{", "cannot be read as JSON"),
        ("a.json", b"[" * 100_000, "cannot be read as JSON"),
        ("a.json", b"\xff\xfe", "cannot be read as JSON"),
        ("a.json", b'{"a": 1}', "is no list of questions"),
        ("a.json", b"[1, 2]", "is no list of questions"),
        ("a.parquet", b"", "cannot be read as Parquet"),
        ("a.parquet", b"PAR1 and then nothing", "cannot be read as Parquet"),
        (
            "a.json",
            b'[{"question": "?"}]',
            "has no column 'answer' (it has question), so it is no annotation file of Test",
        ),
        ("a.json", b'[{"answer": "?"}]', "has no column 'question' or 'text'"),
    ],
)
def test_a_file_that_is_none_of_the_benchmark_is_one_sentence(
    name: str, content: bytes, says: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(HimmelError, match=re.escape(says)) as caught:
        read_rows([tmp_path / name], COLUMNS, title="Test")
    assert "\n" not in str(caught.value)


def repeated(path: Path, text: str, rows: int) -> Path:
    """A small file with the same text in all rows."""
    places = pyarrow.array([0] * rows, pyarrow.int32())
    column = pyarrow.DictionaryArray.from_arrays(places, pyarrow.array([text]))
    pyarrow.parquet.write_table(pyarrow.table({"question": column, "answer": column}), path)
    return path


def test_a_file_with_too_many_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HimmelError, match="has more than 1,000,000 rows"):
        read_rows([repeated(tmp_path / "a.parquet", "x", 1_000_001)], COLUMNS, title="Test")


def test_a_small_file_that_takes_much_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_MOST_BYTES", 10_000_000)
    file = repeated(tmp_path / "a.parquet", "x" * 10_000, 1000)
    assert file.stat().st_size < 100_000
    with pytest.raises(HimmelError, match="takes more memory than any"):
        read_rows([file], COLUMNS, title="Test")


@given(st.binary(max_size=400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_parquet_never_breaks_anything_else(tmp_path: Path, noise: bytes) -> None:
    whole = tmp_path / "whole.parquet"
    if not whole.exists():
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), whole)
    content = bytearray(whole.read_bytes())
    place = sum(noise) % len(content)
    content[place : place + len(noise)] = noise
    (tmp_path / "a.parquet").write_bytes(content)
    try:
        rows = read_rows([tmp_path / "a.parquet"], COLUMNS, title="Test")
    except HimmelError:
        return
    assert len(rows) <= 1_000_000


VALUES = Row(
    Path("a.json"), 3, {"text": "x", "number": 2, "nan": float("nan"), "list": ["a", 1], "none": None, "odd": {}}
)


def test_values_of_a_row() -> None:
    assert (VALUES.text("text"), VALUES.text("number")) == ("x", "2")
    assert (VALUES.texts("list"), VALUES.texts("text"), VALUES.texts("none")) == (("a", "1"), ("x",), ())
    assert (VALUES.number_of("number"), VALUES.number_of("none"), VALUES.number_of("nan")) == (2.0, None, None)
    assert (VALUES.maybe("none"), VALUES.maybe("nan"), VALUES.maybe("number")) == (None, None, "2")
    assert VALUES.index("number", below=3) == 2


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (lambda: VALUES.text("none"), "'none' in row 3 of 'a.json' is no text: None; correct it"),
        (lambda: VALUES.texts("odd"), "is no list of texts"),
        (lambda: VALUES.number_of("text"), "is no number: 'x'"),
        (lambda: VALUES.index("number", below=2), "is no whole number from 0 to 1"),
        (lambda: VALUES.index("nan", below=2), "is no whole number from 0 to 1"),
        (lambda: picture_of(VALUES, "odd", Path()), "is no picture"),
    ],
)
def test_wrong_values_are_named_with_their_row(read: Callable[[], object], says: str) -> None:
    with pytest.raises(HimmelError, match=re.escape(says)):
        read()


@pytest.mark.parametrize("name", ["../a.mp4", "a/../../b.mp4", "/etc/passwd", "C:\\a.mp4", "", "a\0b", ".."])
def test_annotations_name_no_file_outside_their_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(HimmelError, match="is not a file below"):
        below(tmp_path, name)


def test_a_file_in_a_folder_of_the_folder(tmp_path: Path) -> None:
    assert below(tmp_path, "videos/a b.mp4") == tmp_path / "videos" / "a b.mp4"


def frames(folder: Path, **fields: float) -> Item:
    return Item("a", "a", folder, "frames", "What?", ("a", "b"), ("A",), frame_rate=3.0, **fields)


def test_pictures_of_a_folder_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 1, 2):
        (tmp_path / f"{number}.jpg").write_bytes(png())
    (tmp_path / "Thumbs.db").write_bytes(b"")
    assert [(round(time, 3), path.name) for time, path in frame_files(frames(tmp_path))] == [
        (0.0, "1.jpg"), (0.333, "2.jpg"), (0.667, "9.jpg"), (1.0, "10.jpg"),
    ]  # fmt: skip


def test_only_pictures_between_start_and_end_are_taken(tmp_path: Path) -> None:
    for number in range(1, 13):
        (tmp_path / f"{number:05}.jpg").write_bytes(png())
    names = [path.stem for _, path in frame_files(frames(tmp_path, start=1.0, end=2.0))]
    assert names == ["00004", "00005", "00006", "00007"]
    with pytest.raises(HimmelError, match="has no picture between 9 and 10 seconds"):
        frame_files(frames(tmp_path, start=9.0, end=10.0))
