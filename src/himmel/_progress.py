"""Progress on stderr, where results never go: a bar or a spinner in a terminal, a line now and then elsewhere."""

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import track as rich_track

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
    """Hand on the items, and show how many of `total` are done."""
    console = Console(stderr=True)
    if console.is_terminal:
        yield from rich_track(items, description=what, total=total, console=console)
        return
    told = time.monotonic()
    for count, item in enumerate(items):
        if time.monotonic() - told >= EVERY:
            told = time.monotonic()
            _tell(f"{what}: {count} of {total}")
        yield item


def _tell_time(what: str, done: threading.Event) -> None:
    begin = time.monotonic()
    while not done.wait(EVERY):
        _tell(f"{what}: {time.monotonic() - begin:.0f} s so far")


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
