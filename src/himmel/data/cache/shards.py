"""Videos in files: a piece holds one that is in no shard yet, a shard several.

Shards are Parquet with zstd, a row group a video, so that one video is read without the others. Pieces are Arrow files,
which cost no compression. Both are on the disk, whole, before they have their name.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import pyarrow
import pyarrow.parquet

from himmel._files import atomic_path
from himmel.data.cache.layout import Layout, Shard
from himmel.data.cache.lines import write_through
from himmel.data.cache.records import SCHEMA, Record, schema_of
from himmel.errors import HimmelError
from himmel.video.file.source import show

DAMAGE: Final = (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException)
"""What is raised about damaged files and rows."""
_LEVEL: Final = 3


def write_piece(path: Path, record: Record) -> None:
    """Keep one video until its shard is made."""
    with atomic_path(path) as temporary:
        schema = schema_of(record)
        with pyarrow.OSFile(str(temporary), "wb") as file, pyarrow.ipc.new_file(file, schema) as writer:
            writer.write_table(_table(record, schema))
        write_through(temporary)


def read_piece(path: Path, columns: Sequence[str] | None = None) -> Record | None:
    """A video that is in no shard yet, or some columns of it; None if it is not there or is damaged."""
    try:
        options = None if columns is None else [SCHEMA.get_field_index(name) for name in columns]
        with pyarrow.OSFile(str(path), "rb") as file:
            reader = pyarrow.ipc.open_file(file, options=pyarrow.ipc.IpcReadOptions(included_fields=options))
            return _record(reader.read_all())
    except DAMAGE:
        return None


def write_shard(layout: Layout, number: int, videos: Sequence[tuple[str, str]]) -> Shard:
    """Make a shard of pieces, which stay where they are.

    Args:
        videos: key and name of each, in the order of the rows.

    Raises:
        HimmelError: a piece is missing or damaged, or the shard can't be written.
    """

    def pieces() -> Iterator[Record]:
        for key, name in videos:
            record = read_piece(layout.piece(key))
            if record is None:
                # So that the next run reads the video again.
                layout.piece(key).unlink(missing_ok=True)
                raise HimmelError(f"{show(layout.piece(key))} is missing or damaged; run the same command again.")
            # A table holds Unicode alone, which the name of a file need not be.
            yield record | {"name": name.encode("utf-8", "backslashreplace").decode("utf-8")}

    return _write_shard(layout, number, pieces(), [key.partition("-")[0] for key, _ in videos])


def write_rows(path: Path, records: Iterable[Record], schema: pyarrow.Schema) -> tuple[int, str]:
    """Make a file of rows, a row group each; returns its size and SHA-256.

    Raises:
        HimmelError: it can't be written.
    """
    with atomic_path(path) as temporary:
        with _writer(temporary, schema) as writer:
            for record in records:
                writer.write_table(_table(record, schema), row_group_size=1)
        write_through(temporary)
        size, digest = temporary.stat().st_size, hash_file(temporary)
    write_through(path.parent)
    return size, digest


def copy_shard(layout: Layout, shard: Shard, rows: Sequence[int], number: int) -> Shard:
    """Make a shard of some rows of another, which stays where it is.

    Raises:
        HimmelError: the other is damaged, or the new one can't be written.
    """
    found = read_rows(layout.shard(shard.number), rows)
    return _write_shard(layout, number, found, [shard.hashes[row] for row in rows])


def read_rows(path: Path, rows: Iterable[int]) -> Iterator[Record]:
    """Some rows of a file.

    Raises:
        HimmelError: it is damaged.
    """
    try:
        with open_shard(path) as opened:
            for row in rows:
                yield read_row(opened, row)
    except DAMAGE as error:
        said = f"{show(path)} cannot be read ({error})"
        raise HimmelError(f"{said}; `himmel cache verify` lists what is damaged.") from error


def _write_shard(layout: Layout, number: int, records: Iterable[Record], hashes: Sequence[str]) -> Shard:
    seconds = 0.0

    def counted() -> Iterator[Record]:
        nonlocal seconds
        for record in records:
            seconds += json.loads(record["about"])["duration"]
            yield record

    rows = counted()
    first = list(islice(rows, 1))
    size, digest = write_rows(layout.shard(number), chain(first, rows), schema_of(*first) if first else SCHEMA)
    return Shard(number, size, digest, tuple(hashes), seconds)


def open_shard(path: Path) -> pyarrow.parquet.ParquetFile:
    """A shard to read rows of; what was written of each page is compared with its sum.

    Raises:
        Any of `DAMAGE`.
    """
    return pyarrow.parquet.ParquetFile(path, page_checksum_verification=True, pre_buffer=False)


def read_row(shard: pyarrow.parquet.ParquetFile, row: int, columns: Sequence[str] | None = None) -> Record:
    """A video of a shard, or some columns of it.

    Raises:
        Any of `DAMAGE`.
    """
    return _record(shard.read_row_group(row, columns=columns, use_threads=False))


def is_there(path: Path, shard: Shard) -> bool:
    """Whether a shard's file is there and has its size; its bytes are not read.

    Raises:
        OSError: that can't be known, as of a disk that is out of reach.
    """
    try:
        return path.stat().st_size == shard.bytes
    except FileNotFoundError:
        return False


def hash_file(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _writer(path: Path, schema: pyarrow.Schema) -> pyarrow.parquet.ParquetWriter:
    return pyarrow.parquet.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=_LEVEL,
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
    )


def _table(record: Record, schema: pyarrow.Schema) -> Any:
    return pyarrow.Table.from_pylist([record], schema=schema)


def _record(table: Any) -> Record:
    (record,) = table.to_pylist()
    return dict(record)
