"""Printing: results on stdout, everything else on stderr."""

import json
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

console = Console(highlight=False)
errors = Console(stderr=True)


def progress(what: str, *, quiet: bool) -> AbstractContextManager[Any]:
    """A spinner on stderr while something takes its time; nothing where stderr is no terminal."""
    return nullcontext() if quiet or not errors.is_terminal else errors.status(f"{what} ...")


def print_json(content: Any) -> None:
    """Print one JSON document on stdout."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False, default=str))


def plain_table(first: str, *others: str, left: Sequence[str] = ()) -> Table:
    """A table without lines: the first column and those named in `left` start at the left, the others hold numbers."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="left" if name in left else "right")
    return table


def print_rows(rows: dict[str, str]) -> None:
    """Print names and what is said about each, a line or more each; empty texts are left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in rows.items():
        if text:
            grid.add_row(name, escape(text))
    console.print(grid)


def list_seconds(seconds: dict[str, float]) -> str:
    """Seconds in total, then by stage."""
    stages = ", ".join(f"{stage} {value:.2f}" for stage, value in seconds.items())
    return f"{sum(seconds.values()):.2f}: {stages}"


def quieten() -> None:
    """Keep the progress bars and notices of transformers and huggingface_hub out of what is printed."""
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bars()
    # For processes that this one starts.
    os.environ |= {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
