"""Progress on stderr, where results never go: a bar or a spinner in a terminal, a line now and then elsewhere."""

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Item = TypeVar("Item")

EVERY: Final = 30.0
"""Seconds between two lines where stderr is no terminal."""


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say that something is under way, for as long as the block takes."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(f"{what} ..."):
            yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_tell_time, args=(what, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def track(items: Iterable[Item], *, what: str, total: int) -> Iterator[Item]:
    """Hand on the items, and show how many of `total` are done, how many a second, and how much time is left."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn()
        with Progress(*columns, console=console) as progress:
            yield from progress.track(items, description=what, total=total)
        return
    begin = told = time.monotonic()
    for count, item in enumerate(items):
        if time.monotonic() - told >= EVERY:
            told = time.monotonic()
            _tell(f"{what}: {count} of {total}{_pace(count, total, told - begin)}")
        yield item


class _Rate(ProgressColumn):
    """How many items a second, over the last half minute."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.3g} a second" if task.speed else "")


def _pace(count: int, total: int, seconds: float) -> str:
    """What is added to a line once something is done: the mean rate, and the time left if it stays."""
    if not count:
        return ""
    left = timedelta(seconds=round((total - count) * seconds / count))
    return f", {count / seconds:.3g} a second, {left} left"


def _tell_time(what: str, done: threading.Event) -> None:
    begin = time.monotonic()
    while not done.wait(EVERY):
        _tell(f"{what}: {time.monotonic() - begin:.0f} s so far")


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
