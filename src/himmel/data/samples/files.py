"""Rows of annotation files: JSON lines, JSON, Parquet, Arrow, and folders as the `datasets` package writes them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from himmel.data.samples.sample import Cell, Medium
from himmel.errors import HimmelError

# LLaVA-Video-178K's largest file is below half a gigabyte; a JSON document takes about ten times its size in memory.
_MOST_JSON: Final = 4 << 30
_MOST_LINE: Final = 64 << 20
_BATCH: Final = 256
SUFFIXES: Final = (".jsonl", ".json", ".parquet", ".arrow")

Rows = Iterator[tuple[int, dict[str, Any]]]


def find_files(path: Path) -> list[Path]:
    """The annotation files that a path stands for, by name: a file, a pattern such as `*/*_qa.json`, or a folder.

    A folder is what `datasets` saved to disk, or has Parquet files somewhere below, or JSON-lines files, or JSON.

    Raises:
        HimmelError: there are none.
    """
    if path.is_file():
        return [path]
    if path.is_dir():
        for suffix in (".arrow", ".parquet", ".jsonl", ".json"):
            found = sorted(file for file in path.rglob(f"*{suffix}") if file.is_file() and not _is_about(file))
            if found:
                return found
        raise HimmelError(f"The folder {str(path)!r} has no {', '.join(SUFFIXES)} file; name one that has annotations.")
    fixed = path
    while any(sign in str(fixed) for sign in "*?[") and fixed != fixed.parent:
        fixed = fixed.parent
    found = sorted(one for one in fixed.glob(str(path.relative_to(fixed)))) if fixed != path else []
    if not found:
        raise HimmelError(
            f"There are no annotations {str(path)!r}; name a file, a folder or a pattern, or the folder where they are "
            "by --set data.folder=DIR."
        )
    return found


def read_rows(file: Path) -> Rows:
    """Number, from 1, and columns of each row; what is no object comes as an empty one.

    Raises:
        HimmelError: the file can't be read.
    """
    readers = {".jsonl": _json_lines, ".json": _json, ".parquet": _parquet, ".arrow": _arrow}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise HimmelError(f"Annotations {str(file)!r} are none of {', '.join(SUFFIXES)}; convert them to one of these.")
    try:
        yield from reader(file)
    except OSError as error:
        raise HimmelError(f"Cannot read the annotations {str(file)!r} ({error.strerror or error}).") from error
    except (ValueError, RecursionError) as error:
        # pyarrow's errors about damaged files are among these.
        said = (str(error).splitlines() or [""])[0][:120]
        raise HimmelError(f"The annotations {str(file)!r} are damaged ({said}); correct or download them.") from error


def _is_about(file: Path) -> bool:
    """What `datasets` writes beside its data."""
    return file.name in ("dataset_info.json", "dataset_dict.json", "dataset_infos.json", "state.json")


def _json_lines(file: Path) -> Rows:
    with file.open("rb") as opened:
        number = 0
        while line := opened.readline(_MOST_LINE + 1):
            number += 1
            if len(line) > _MOST_LINE:
                raise ValueError(f"line {number} is longer than {_MOST_LINE >> 20} MB")
            if line.strip():
                yield number, _object(_parse(line.decode("utf-8-sig" if number == 1 else "utf-8"), number))


def _parse(line: str, number: int) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        # Its own message counts lines in this line alone.
        raise ValueError(f"line {number}, column {error.colno}: {error.msg}") from error


def _json(file: Path) -> Rows:
    if file.stat().st_size > _MOST_JSON:
        raise ValueError(f"it has more than {_MOST_JSON >> 30} GB; write it as JSON lines")
    rows = json.loads(file.read_text(encoding="utf-8-sig"))
    if not isinstance(rows, list):
        raise ValueError("it is no list of objects")
    for number, row in enumerate(rows, 1):
        yield number, _object(row)


def _object(row: Any) -> dict[str, Any]:
    return row if isinstance(row, dict) else {}


def _arrow(file: Path) -> Rows:
    """Pictures inside the file become `Medium`s that say where, and are not read; so too below."""
    import pyarrow

    number = 0
    with pyarrow.memory_map(str(file)) as source, pyarrow.ipc.open_stream(source) as stream:
        pictures, videos = _columns_of_files(stream.schema)
        for group, batch in enumerate(stream):
            plain = batch.select([name for name in batch.schema.names if name not in (*pictures, *videos)])
            for name in videos:
                plain = plain.append_column(name, _paths_alone(batch.column(name)))
            outlines = {name: _outline(batch.column(name)) for name in pictures}
            for start in range(0, len(batch), _BATCH):
                for place, row in enumerate(plain.slice(start, _BATCH).to_pylist(), start):
                    for name, outline in outlines.items():
                        row[name] = _located(outline[place], file, Cell(name, group, place))
                    number += 1
                    yield number, row


def _parquet(file: Path) -> Rows:
    from pyarrow import parquet

    number = 0
    with parquet.ParquetFile(file) as opened:
        pictures, videos = _columns_of_files(opened.schema_arrow)
        files = (*pictures, *videos)
        leaves = [opened.schema.column(index).path for index in range(len(opened.schema))]
        columns = [name for name in opened.schema_arrow.names if name not in files]
        columns += [leaf for leaf in leaves if leaf.split(".")[0] in files and leaf.endswith(".path")]
        for group in range(opened.metadata.num_row_groups):
            place = 0
            for batch in opened.iter_batches(batch_size=_BATCH, row_groups=[group], columns=columns):
                for row in batch.to_pylist():
                    for name in pictures:
                        row[name] = _located(row[name], file, Cell(name, group, place))
                    number, place = number + 1, place + 1
                    yield number, row


def read_cell(file: Path, cell: Cell) -> bytes | None:
    """The bytes of a picture inside a Parquet or Arrow file, or of the file that it names; None if it is neither.

    Raises:
        OSError, ValueError, LookupError: a file can't be read, or has changed.
    """
    import pyarrow
    from pyarrow import parquet

    if file.suffix.lower() == ".arrow":
        with pyarrow.memory_map(str(file)) as source, pyarrow.ipc.open_stream(source) as stream:
            for _ in range(cell.group):
                stream.read_next_batch()
            found = stream.read_next_batch().column(cell.column)[cell.row].as_py()
    else:
        with parquet.ParquetFile(file) as opened:
            found = opened.read_row_group(cell.group, columns=[cell.column]).column(cell.column)[cell.row].as_py()
    picture = found if found is None or cell.item is None else found[cell.item]
    if picture is None:
        return None
    if picture["bytes"] is None and picture["path"]:
        return (file.parent / picture["path"]).read_bytes()
    return None if picture["bytes"] is None else bytes(picture["bytes"])


def _columns_of_files(schema: Any) -> tuple[list[str], list[str]]:
    """Columns of pictures and of videos, or of lists of such, as the `datasets` package writes them.

    Only their names tell the two apart. Of a video, its path is taken; bytes of videos are never read.
    """
    from pyarrow import types

    found = []
    for one in schema:
        is_list = types.is_list(one.type) or types.is_large_list(one.type)
        kind = one.type.value_type if is_list else one.type
        if types.is_struct(kind) and {field.name for field in kind} == {"bytes", "path"}:
            found.append(one.name)
    videos = [name for name in found if name in ("video", "videos")]
    return [name for name in found if name not in videos], videos


def _paths_alone(column: Any) -> Any:
    """A column of videos of an Arrow batch as their paths, without touching their bytes."""
    from pyarrow import types

    if types.is_struct(column.type):
        return column.field("path")
    return type(column).from_arrays(column.offsets, column.values.field("path"))


def _outline(column: Any) -> list[list[bool] | bool | None]:
    """What pictures a column of an Arrow batch has, row by row, without touching their bytes."""
    from pyarrow import types

    if types.is_struct(column.type):
        return [True if there else None for there in column.is_valid().to_pylist()]
    return [None if count is None else [True] * count for count in column.value_lengths().to_pylist()]


def _located(pictures: Any, file: Path, cell: Cell) -> list[Medium] | Medium | None:
    """A column's pictures as media; None where it has none."""
    if isinstance(pictures, list):
        return [Medium("image", str(file), cell=replace(cell, item=item)) for item in range(len(pictures))]
    return None if pictures is None else Medium("image", str(file), cell=cell)
