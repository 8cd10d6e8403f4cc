"""Small downloads of benchmarks: annotation files of the released form, and real media."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

Rows = Sequence[Mapping[str, Any]]
Write = Callable[[str, Rows], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write("data/test.parquet", rows)` writes annotations below the test's folder, in the form its suffix says."""

    def write_rows(name: str, rows: Rows) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path, row_group_size=2)
        elif path.suffix == ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        else:
            path.write_text(json.dumps(rows), encoding="utf-8")
        return path

    return write_rows


@pytest.fixture
def clip(tmp_path: Path, encode_clip: Callable[..., Path]) -> Callable[[str], Path]:
    """`clip("videos/a.mp4")` encodes a short video below the test's folder."""

    def encode(name: str) -> Path:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        return encode_clip(name, num_frames=3)

    return encode
