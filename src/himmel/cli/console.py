"""Printing: results on stdout, everything else on stderr."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

console = Console(highlight=False)
_GAP = 2
_NARROW = 14


def print_json(content: Any) -> None:
    """Print one JSON document on stdout."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False, default=str))


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: its heading.
        text: whether it holds text, which starts at the left and may be broken into lines; else numbers, which may not.
        whole: whether its text is never broken, since people copy it.
    """

    name: str
    text: bool = False
    whole: bool = False


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table without lines; where the window is too narrow for it, each row as lines of heading and value.

    Nothing is cut off at any width.
    """
    if sum(_least_widths(columns, rows)) + _GAP * (len(columns) - 1) > console.width:
        for row in rows:
            first, *others = zip(columns, row, strict=True)
            console.print(escape(f"{first[0].name}: {first[1]}"), overflow="fold")
            print_rows({f"  {column.name}": cell for column, cell in others})
        return
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(
            escape(column.name),
            justify="left" if column.text else "right",
            overflow="fold",
            no_wrap=column.whole or not column.text,
        )
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def _least_widths(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    """The width below which each column would be cut, or broken into uncomfortably short lines."""
    widths = [max(map(cell_len, (column.name, *cells))) for column, *cells in zip(columns, *rows, strict=True)]
    return [
        min(width, _NARROW) if column.text and not column.whole else width
        for column, width in zip(columns, widths, strict=True)
    ]


def print_rows(rows: dict[str, str]) -> None:
    """Print names and what is said about each, a line or more each; empty texts are left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in rows.items():
        if text:
            grid.add_row(escape(name), escape(text))
    console.print(grid)


def switch_bars_off() -> None:
    """Keep tqdm's bars away, before anything imports it."""
    # Transformers' reader of GGUF knows no other switch.
    os.environ["TQDM_DISABLE"] = "1"


def quieten(*, bars: bool = False) -> None:
    """Keep the progress bars and notices of transformers and huggingface_hub out of what is printed.

    Args:
        bars: let other bars be, such as that of transformers' Trainer.
    """
    if not bars:
        switch_bars_off()
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bars()
    # For processes that this one starts.
    os.environ |= {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
