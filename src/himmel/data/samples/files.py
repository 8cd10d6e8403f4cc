"""Rows of annotation files: JSON lines, JSON, Parquet, Arrow, and folders as the `datasets` package writes them."""

import json
from collections.abc import Iterator
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
                yield number, _object(json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8")))


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
    import pyarrow

    number = 0
    with pyarrow.memory_map(str(file)) as source, pyarrow.ipc.open_stream(source) as stream:
        for batch in stream:
            for start in range(0, len(batch), _BATCH):
                for row in batch.slice(start, _BATCH).to_pylist():
                    number += 1
                    yield number, row


def _parquet(file: Path) -> Rows:
    """Pictures inside the file become a `Medium` that says where, and are not read."""
    from pyarrow import parquet

    number = 0
    with parquet.ParquetFile(file) as opened:
        pictures = [one.name for one in opened.schema_arrow if _holds_pictures(one.type)]
        columns = [one.name for one in opened.schema_arrow if one.name not in pictures]
        columns += [f"{name}.path" for name in pictures]
        for group in range(opened.metadata.num_row_groups):
            place = 0
            for batch in opened.iter_batches(batch_size=_BATCH, row_groups=[group], columns=columns):
                for row in batch.to_pylist():
                    for name in pictures:
                        row[name] = Medium("image", str(file), cell=Cell(name, group, place))
                    number, place = number + 1, place + 1
                    yield number, row


def _holds_pictures(kind: Any) -> bool:
    """Whether a column is a picture as the `datasets` package writes it."""
    from pyarrow import types

    return types.is_struct(kind) and {one.name for one in kind} == {"bytes", "path"}
