"""A run's folder while answers are written into it: no answer ever in part."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from himmel.errors import HimmelError, UsageError
from himmel.evaluation.items import Item
from himmel.evaluation.runs.record import ANSWERS, HEADER, Header, Row, read_header


def begin(folder: Path, header: Header) -> Header:
    """The header of the run that is there already, or this one, written.

    Raises:
        UsageError: another run is there.
    """
    if not (folder / HEADER).is_file():
        if (folder / ANSWERS).is_file():
            raise UsageError(f"{str(folder)!r} holds answers without {HEADER}; choose another folder for the run.")
        header.write(folder)
        return header
    there = read_header(folder)
    differences = there.differences(header)
    if differences:
        more = f", and {len(differences) - 1} more differences" if len(differences) > 1 else ""
        raise UsageError(
            f"{str(folder)!r} holds another run, with {differences[0]}{more}; choose another folder, or remove "
            "this one."
        )
    return there


def check_known(rows: Sequence[Row], items: Sequence[Item], folder: Path) -> None:
    """See that each answer is to a question of the run.

    Raises:
        HimmelError: one is not.
    """
    unknown = {row.id for row in rows} - {item.id for item in items}
    if unknown:
        raise HimmelError(
            f"{str(folder / ANSWERS)!r} answers the question {min(unknown)!r}, which this run does not ask; remove "
            "that line."
        )


@contextmanager
def answer_file(path: Path) -> Iterator[BinaryIO]:
    """The file of answers, to be written at its end; a line that was cut off is removed first."""
    with path.open("ab+") as file:
        file.seek(0)
        whole = file.read().rfind(b"\n") + 1
        file.truncate(whole)
        file.seek(0, os.SEEK_END)
        yield file
        os.fsync(file.fileno())
