"""Reading released annotation files (Parquet, JSON, JSON lines) row by row, with one sentence for what is wrong."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pyarrow
import pyarrow.parquet

from himmel.errors import HimmelError
from himmel.evaluation.benchmarks.media import below

# The largest set has 10,000 questions of a few hundred bytes; pictures of a megabyte come in row groups of a hundred.
_MOST_ROWS: Final = 1_000_000
_MOST_BYTES: Final = 1 << 30
_MOST_GROUP_BYTES: Final = 4 << 30
_BATCH: Final = 256
# What pyarrow raises about damaged files; names that are no UTF-8 are among it.
_DAMAGE: Final = (OSError, ValueError, MemoryError, pyarrow.ArrowException)


@dataclass(frozen=True)
class Cell:
    """A picture in a cell of a Parquet column, read when it is needed.

    Attributes:
        file: the Parquet file.
        column: a column of structs with the fields `bytes` and `path`, as the `datasets` package writes pictures.
        group: index of its row group.
        row: index within the row group.
    """

    file: Path
    column: str
    group: int
    row: int

    def read(self) -> bytes:
        """The encoded picture.

        Raises:
            HimmelError: the file cannot be read any more.
        """
        try:
            cell = _column(self.file, self.column, self.group)[self.row]["bytes"].as_py()
        except _DAMAGE as error:
            raise HimmelError(f"Cannot read a picture of {str(self.file)!r} ({_short(error)}).") from error
        if not cell:
            place = f"row {self.row + 1} of row group {self.group + 1}"
            raise HimmelError(f"{str(self.file)!r} has no picture in {place}; download it again.")
        return bytes(cell)


@dataclass(frozen=True)
class Row:
    """One row of an annotation file.

    Attributes:
        file: where it is from.
        number: its place in the file, from 1.
        values: by column.
        names: what the file calls its columns, where that is something else; for messages.
    """

    file: Path
    number: int
    values: Mapping[str, Any] = field(repr=False)
    names: Mapping[str, str] = field(default_factory=dict, repr=False)

    def text(self, column: str) -> str:
        """A text that is not empty; whole numbers count as texts.

        Raises:
            HimmelError: it is missing or something else.
        """
        value = self.values.get(column)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(column, "is no text")
        return value

    def maybe(self, column: str) -> str | None:
        """A text, or None where there is none; NaN is how some writers say so."""
        value = self.values.get(column)
        is_nan = isinstance(value, float) and math.isnan(value)
        return None if value is None or value == "" or is_nan else str(value)

    def texts(self, column: str) -> tuple[str, ...]:
        """A list of texts; a single text is a list of one, no value is an empty list.

        Raises:
            HimmelError: it is something else.
        """
        value = self.values.get(column)
        if value is None:
            return ()
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, list) or not all(isinstance(one, str | int | float) for one in value):
            raise self.wrong(column, "is no list of texts")
        return tuple(str(one) for one in value)

    def number_of(self, column: str) -> float | None:
        """A finite number, or None where there is none.

        Raises:
            HimmelError: it is something else.
        """
        value = self.values.get(column)
        if value is None or value == "":
            return None
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise self.wrong(column, "is no number") from None
        if not math.isfinite(number):
            return None
        return number

    def index(self, column: str, *, below: int) -> int:
        """A whole number from 0 to below `below`.

        Raises:
            HimmelError: it is something else.
        """
        number = self.number_of(column)
        if number is None or number != int(number) or not 0 <= number < below:
            raise self.wrong(column, f"is no whole number from 0 to {below - 1}")
        return int(number)

    def wrong(self, column: str, why: str) -> HimmelError:
        """The error to raise about a value."""
        shown = repr(self.values.get(column))
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        place = f"{self.names.get(column, column)!r} in row {self.number} of {str(self.file)!r}"
        return HimmelError(f"{place} {why}: {shown}; correct it, or download the file again.")


def find_annotations(data: Path, patterns: Sequence[str], *, title: str) -> list[Path]:
    """The files below `data` that match the first pattern that any file matches, by name.

    Raises:
        HimmelError: `data` is no folder, or no file matches.
    """
    if not data.is_dir():
        raise HimmelError(f"{str(data)!r} is no folder; name the folder that {title} was downloaded to.")
    for pattern in patterns:
        found = sorted(path for path in data.glob(pattern) if path.is_file())
        if found:
            return found
    raise HimmelError(
        f"{str(data)!r} has no annotations of {title} ({', '.join(patterns)}); download them there, or name another "
        "folder."
    )


def read_rows(
    files: Iterable[Path], columns: Mapping[str, Sequence[str]], *, title: str, optional: Sequence[str] = ()
) -> list[Row]:
    """All rows of some files.

    Args:
        files: Parquet (`.parquet`), JSON lines (`.jsonl`) or JSON (a list of objects; any other suffix).
        columns: name -> the names that the column has in one release or another; the first that is there is taken.
        title: what the files should belong to.
        optional: columns that may be missing.

    Raises:
        HimmelError: a file is unreadable, empty, too large or lacks a column.
    """
    rows: list[Row] = []
    for file in files:
        found = list(_parquet_rows(file)) if file.suffix == ".parquet" else _json_rows(file)
        if not found:
            raise HimmelError(f"{str(file)!r} is empty; download it again.")
        if len(found) + len(rows) > _MOST_ROWS:
            raise HimmelError(f"{str(file)!r} has more than {_MOST_ROWS:,} rows; it is no benchmark's annotations.")
        chosen = _choose_columns(file, found, columns, title=title, optional=optional)
        for number, values in enumerate(found, start=1):
            renamed = {name: values.get(source) for name, source in chosen.items()}
            rows.append(Row(file, number, renamed, chosen))
    return rows


def picture_of(row: Row, column: str, data: Path) -> tuple[Cell | None, Path | None]:
    """A row's picture: a cell with its bytes, or a file below `data`.

    Raises:
        HimmelError: there is neither.
    """
    value = row.values.get(column)
    if isinstance(value, Cell):
        return value, None
    if isinstance(value, str) and value:
        return None, below(data, value)
    raise row.wrong(column, "is no picture")


def _choose_columns(
    file: Path,
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, Sequence[str]],
    *,
    title: str,
    optional: Sequence[str],
) -> dict[str, str]:
    there = {name for row in rows for name in row}
    chosen = {}
    for name, sources in columns.items():
        source = next((source for source in sources if source in there), None)
        if source is not None:
            chosen[name] = source
        elif name not in optional:
            wanted = " or ".join(repr(one) for one in sources)
            raise HimmelError(
                f"{str(file)!r} has no column {wanted} (it has {_list(sorted(there))}), so it is no annotation file of "
                f"{title}; name the folder of the right one."
            )
    return chosen


def _parquet_rows(file: Path) -> Iterator[dict[str, Any]]:
    """Rows whose pictures are `Cell`s."""
    try:
        with pyarrow.parquet.ParquetFile(file) as opened:
            pictures = [one.name for one in opened.schema_arrow if _holds_pictures(one.type)]
            plain = [one.name for one in opened.schema_arrow if one.name not in pictures]
            _check_sizes(file, opened.metadata)
            size = 0
            for group in range(opened.metadata.num_row_groups):
                inside = {name: _has_bytes(opened.metadata.row_group(group), name) for name in pictures}
                columns = [*plain, *(f"{name}.path" for name in pictures)]
                row = 0
                for batch in opened.iter_batches(batch_size=_BATCH, row_groups=[group], columns=columns):
                    # What takes little room in a file, such as one text for all rows, may take much in memory.
                    size += sum(_decoded(one).nbytes for one in batch.columns)
                    if size > _MOST_BYTES:
                        raise HimmelError(f"{str(file)!r} takes more memory than any benchmark's annotations do.")
                    for values in batch.to_pylist():
                        for name in pictures:
                            path = (values[name] or {}).get("path")
                            values[name] = Cell(file, name, group, row) if inside[name] else path
                        row += 1
                        yield values
    except _DAMAGE as error:
        raise HimmelError(f"{str(file)!r} cannot be read as Parquet ({_short(error)}); download it again.") from error


def _decoded(column: Any) -> Any:
    return column.dictionary_decode() if pyarrow.types.is_dictionary(column.type) else column


def _has_bytes(group: Any, picture: str) -> bool:
    """Whether a row group holds a column's pictures themselves, by its statistics: reading them would take long."""
    chunks = [group.column(index) for index in range(group.num_columns)]
    chunk = next((one for one in chunks if one.path_in_schema == f"{picture}.bytes"), None)
    statistics = None if chunk is None else chunk.statistics
    return statistics is None or not statistics.has_null_count or statistics.null_count < group.num_rows


def _check_sizes(file: Path, metadata: Any) -> None:
    if metadata.num_rows > _MOST_ROWS:
        raise HimmelError(f"{str(file)!r} has more than {_MOST_ROWS:,} rows; it is no benchmark's annotations.")
    if any(metadata.row_group(index).total_byte_size > _MOST_GROUP_BYTES for index in range(metadata.num_row_groups)):
        raise HimmelError(f"{str(file)!r} takes more memory than any benchmark's annotations do.")


@lru_cache(maxsize=1)
def _column(file: Path, column: str, group: int) -> Any:
    """A row group's column; pictures are asked for in order, so that the last one read is kept."""
    with pyarrow.parquet.ParquetFile(file) as opened:
        return opened.read_row_group(group, columns=[column]).column(column)


def _holds_pictures(kind: Any) -> bool:
    return pyarrow.types.is_struct(kind) and {one.name for one in kind} == {"bytes", "path"}


def _json_rows(file: Path) -> list[dict[str, Any]]:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise HimmelError(f"{str(file)!r} is larger than any benchmark's annotations are.")
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            rows = json.loads(text) if text.strip() else []
    except OSError as error:
        raise HimmelError(f"Cannot read {str(file)!r} ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise HimmelError(f"{str(file)!r} cannot be read as JSON ({_short(error)}); download it again.") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise HimmelError(f"{str(file)!r} is no list of questions; name the folder of the released annotations.")
    return rows


def _short(error: BaseException) -> str:
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return line if len(line) <= 120 else f"{line[:117]}..."


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:12])
    return f"{shown}, ..." if len(names) > 12 else shown or "none"
