"""Rows of Parquet files by the number of the file and of the row, in any number of processes at once."""

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from himmel.data.cache.records import Record
from himmel.data.cache.shards import open_shard, read_row

_MOST_OPEN: Final = 32


class RowReader:
    """Opens files as they are asked for, and keeps some of them open; after a fork, the copy opens files of its own.

    Args:
        file: the file of a number.
    """

    def __init__(self, file: Callable[[int], Path]) -> None:
        self._file = file
        self._open: OrderedDict[int, Any] = OrderedDict()
        self._process = os.getpid()

    def read(self, number: int, row: int, columns: Sequence[str] | None = None) -> Record:
        """A row of a file, or some columns of it.

        Raises:
            Any of `shards.DAMAGE`.
        """
        if self._process != os.getpid():
            # Files that were opened before a fork are shared with the process that opened them.
            self._open, self._process = OrderedDict(), os.getpid()
        if number not in self._open:
            if len(self._open) >= _MOST_OPEN:
                self._open.popitem(last=False)[1].close()
            self._open[number] = open_shard(self._file(number))
        self._open.move_to_end(number)
        return read_row(self._open[number], row, columns)
