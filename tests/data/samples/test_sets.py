"""Files of annotations in every format, and which of their rows are taken."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from himmel.data.samples import Sample, SampleTable, SetSpec, Unusable, read_set
from himmel.errors import HimmelError
from himmel.training.corpus.reading import read_picture
from shades import png

ROWS = [{"id": str(i), "video": f"{i}.mp4", "question": f"q{i}", "answer": f"a{i}"} for i in range(10)]


def _ids(spec: SetSpec, seed: int = 0) -> list[str]:
    return [one.id for one in read_set(spec, seed=seed) if isinstance(one, Sample)]


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=4)
    elif path.suffix == ".arrow":
        table = pyarrow.Table.from_pylist(rows)
        with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text(json.dumps(rows))
    return path


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".parquet", ".arrow"])
def test_every_format_holds_the_same_samples(suffix: str, tmp_path: Path) -> None:
    file = _write(tmp_path / f"q{suffix}", ROWS)
    samples = list(read_set(SetSpec(file), seed=0))
    assert [one.id for one in samples if isinstance(one, Sample)] == [row["id"] for row in ROWS]
    assert isinstance(samples[3], Sample)
    assert samples[3].media[0].path == str(tmp_path / "3.mp4")


def test_a_folder_that_the_datasets_package_saved(tmp_path: Path) -> None:
    _write(tmp_path / "set" / "train" / "data-00000-of-00002.arrow", ROWS[:5])
    _write(tmp_path / "set" / "train" / "data-00001-of-00002.arrow", ROWS[5:])
    (tmp_path / "set" / "dataset_dict.json").write_text('{"splits": ["train"]}')
    (tmp_path / "set" / "train" / "state.json").write_text("{}")
    assert _ids(SetSpec(tmp_path / "set")) == [row["id"] for row in ROWS]


@pytest.mark.parametrize(
    ("sampling", "ids"),
    [("all", "0123456789"), ("first:3", "012"), ("end:2", "89"), ("first:25%", "012"), ("end:99", "0123456789")],
)
def test_sampling_strategies(sampling: str, ids: str, tmp_path: Path) -> None:
    assert "".join(_ids(SetSpec(_write(tmp_path / "q.json", ROWS), sampling=sampling))) == ids


def test_a_random_sample_is_drawn_by_the_seed(tmp_path: Path) -> None:
    spec = SetSpec(_write(tmp_path / "q.json", ROWS), sampling="random:4")
    assert _ids(spec, 1) == _ids(spec, 1) != _ids(spec, 2)
    assert len(set(_ids(spec, 1))) == 4


def test_llavas_yaml_with_braces(tmp_path: Path) -> None:
    for name in ("cap", "oe"):
        _write(tmp_path / "academic" / f"{name}.json", [{**row, "id": name + str(row["id"])} for row in ROWS])
    (tmp_path / "exp.yaml").write_text(
        "datasets:\n  - {json_path: 'academic/{cap,oe}.json', sampling_strategy: 'first:2'}\n"
        "  - {json_path: academic/oe.json, sampling_strategy: 'end:1'}\n"
    )
    spec = SetSpec(tmp_path / "exp.yaml", media=tmp_path / "videos")
    assert _ids(spec) == ["cap0", "cap1", "oe0", "oe1", "oe9"]
    first = next(iter(read_set(spec, seed=0)))
    assert isinstance(first, Sample)
    assert first.media[0].path == str(tmp_path / "videos" / "0.mp4")


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_pictures_inside_a_file_are_read_when_they_are_needed(suffix: str, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"image": {"bytes": png(10 * i), "path": None}, "question": f"q{i}", "answer": "a"} for i in range(6)
    ]
    (tmp_path / "beside.png").write_bytes(png(70))
    rows.append({"image": {"bytes": None, "path": "beside.png"}, "question": "q", "answer": "a"})
    rows.append({"image": None, "question": "without", "answer": "a"})
    samples = [
        one for one in read_set(SetSpec(_write(tmp_path / f"p{suffix}", rows)), seed=0) if isinstance(one, Sample)
    ]
    assert [one.kind for one in samples] == [*["image"] * 7, "text"]
    assert [int(read_picture(Sample.from_json(one.to_json()).media[0])[0, 0, 0]) for one in samples[:7]] == [
        *(10 * i for i in range(6)),
        70,
    ]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_lists_of_pictures_inside_a_file(suffix: str, tmp_path: Path) -> None:
    rows = [
        {
            "images": [{"bytes": png(10 * i + k), "path": None} for k in range(i % 3)],
            "messages": [{"role": "user", "content": "Same?"}, {"role": "assistant", "content": "no"}],
        }
        for i in range(6)
    ]
    file = _write(tmp_path / f"p{suffix}", rows)
    samples = [one for one in read_set(SetSpec(file), seed=0) if isinstance(one, Sample)]
    shades = [[int(read_picture(medium)[0, 0, 0]) for medium in one.media] for one in samples]
    assert shades == [[10 * i + k for k in range(i % 3)] for i in range(6)]
    names = [medium.name for one in samples for medium in one.media]
    assert len(set(names)) == len(names) == 6
    assert names[0].startswith(f"{file}#images/")


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
@pytest.mark.parametrize("several", [False, True])
def test_columns_of_videos_are_paths_and_no_pictures(suffix: str, several: bool, tmp_path: Path) -> None:
    """The `datasets` package keeps both kinds of files as bytes and path."""
    videos: list[dict[str, Any] | None] = [
        {"bytes": None, "path": "a.mp4"},
        {"bytes": b"inside", "path": None},
        None,
        {"bytes": None, "path": "b.mp4"},
    ]
    rows: list[dict[str, Any]] = [{"question": f"q{i}", "answer": "a"} for i in range(4)]
    for row, video in zip(rows, videos, strict=True):
        row["videos" if several else "video"] = ([] if video is None else [video]) if several else video
    found = list(read_set(SetSpec(_write(tmp_path / f"v{suffix}", rows)), seed=0))
    shown = [[(one.kind, one.path) for one in sample.media] for sample in found if isinstance(sample, Sample)]
    assert [one for one in shown if one] == [
        [("video", str(tmp_path / "a.mp4"))],
        [("video", str(tmp_path / "b.mp4"))],
    ]


def test_rows_that_are_none_are_counted_and_the_others_kept(tmp_path: Path) -> None:
    file = _write(tmp_path / "q.jsonl", [ROWS[0], {"video": "v.mp4"}, ROWS[1]])
    file.write_text(file.read_text() + "[1, 2]\n")
    found = list(read_set(SetSpec(file), seed=0))
    assert [one for one in found if isinstance(one, Unusable)] == [
        Unusable(str(file), 2, "has no question"),
        Unusable(str(file), 4, "has no question"),
    ]
    assert len(found) == 4


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("q.json", "{", "damaged"),
        ("q.json", "{}", "no list of objects"),
        ("q.jsonl", '{"a": \n', "damaged"),
        ("q.jsonl", '{"question": "q", "answer": "a"}\n\n{"a"}\n', "damaged .line 3, column 5"),
        ("q.parquet", "PAR1", "damaged"),
        ("q.arrow", "none", "damaged"),
        ("q.csv", "a,b", "none of .jsonl"),
        ("q.yaml", "datasets: 3", "lists no annotation files"),
        ("q.yaml", "datasets: [{json_path: q.json, sampling_strategy: some}]", "There are no annotations"),
    ],
)
def test_damaged_files_are_one_sentence(name: str, content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(HimmelError, match=said):
        list(read_set(SetSpec(tmp_path / name), seed=0))


def test_a_strategy_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(HimmelError, match="'middle:3' does not exist; choose all, first:N"):
        list(read_set(SetSpec(_write(tmp_path / "q.json", ROWS), sampling="middle:3"), seed=0))


def test_a_table_gives_back_what_it_was_made_of(tmp_path: Path) -> None:
    rows = [*ROWS, {"question": "ä" * 5, "answer": "ö"}, {"image": "p.png", "question": "q", "answer": "a"}]
    samples = [one for one in read_set(SetSpec(_write(tmp_path / "q.json", rows)), seed=0) if isinstance(one, Sample)]
    table = SampleTable.of((i % 2, one) for i, one in enumerate(samples))
    assert [table[i] for i in range(len(table))] == samples
    assert table.rows_of(0, "video").tolist() == [0, 2, 4, 6, 8]
    assert table.rows_of(0, "text").tolist() == [10]
    assert (table.letters[10], table.pictures[11]) == (6, 1)
    assert table.ends.dtype == np.int64
    assert io.BytesIO(table.text.tobytes()).read(1) == b"{"
