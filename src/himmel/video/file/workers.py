"""Threads that read stretches of files at once, kept from one call to the next.

A new thread for each call would cost memory for good: the C library gives each its own arena and keeps it.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Generic, TypeVar

from himmel._interrupts import interrupts_held
from himmel.video.file.decoder import Decoder, Stopped
from himmel.video.file.index import PictureIndex

T = TypeVar("T")

MOST = max(8, os.cpu_count() or 1)
"""Threads that are ever started, besides those that call."""

# Seconds; a wait without an end can't be interrupted on every system.
_PATIENCE = 0.2


class Decoders:
    """The decoders of one worker, one for each file and kind, opened when first needed."""

    def __init__(self, closing: ExitStack, stop: threading.Event) -> None:
        self._closing = closing
        self._stop = stop
        self._open: dict[tuple[Path, int, bool], Decoder] = {}

    @property
    def stopping(self) -> bool:
        """Whether another worker has failed or was interrupted, so that nothing more is needed."""
        return self._stop.is_set()

    def get(self, path: Path, index: PictureIndex, *, vectors: bool) -> Decoder:
        """A decoder of a file; see `Decoder`."""
        kind = path, id(index), vectors
        if kind not in self._open:
            decoder = Decoder(path, index, vectors=vectors, stop=self._stop)
            self._open[kind] = self._closing.enter_context(decoder)
        return self._open[kind]


def run_tasks(tasks: Sequence[Callable[[Decoders], T]], threads: int) -> list[T]:
    """Do all tasks in up to `threads` threads, the calling one among them; results come in the order of the tasks.

    If one fails, or the caller is interrupted, the others end at the next packet that they read.
    """
    job = _Job(tasks)
    helpers: list[Future[None]] = []
    try:
        # A thread whose start is interrupted is one that its pool doesn't know: Python would wait for its end for ever.
        with interrupts_held():
            helpers += [_pool(os.getpid()).submit(job.work) for _ in range(min(threads, len(tasks)) - 1)]
        job.work()
        _end(helpers)
    except BaseException:
        job.stop.set()
        _end(helpers)
        raise
    for helper in helpers:
        if not helper.cancelled():
            helper.result()
    return [job.results[number] for number in range(len(tasks))]


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """The threads of this process: one that was forked has lost its parent's, and gets its own."""
    return ThreadPoolExecutor(MOST, thread_name_prefix=f"himmel-{process}")


def _end(helpers: Sequence["Future[None]"]) -> None:
    """Wait for the helpers that have begun."""
    begun = [helper for helper in helpers if not helper.cancel()]
    while wait(begun, timeout=_PATIENCE).not_done:
        pass


class _Job(Generic[T]):
    """Tasks that several workers share.

    Attributes:
        results: by the task's number.
        stop: set when the remaining tasks are not needed.
    """

    def __init__(self, tasks: Sequence[Callable[[Decoders], T]]) -> None:
        self._tasks = tasks
        self._next = iter(range(len(tasks)))
        self._lock = threading.Lock()
        self.results: dict[int, T] = {}
        self.stop = threading.Event()

    def work(self) -> None:
        """Do tasks until none is left."""
        with ExitStack() as closing:
            decoders = Decoders(closing, self.stop)
            while not self.stop.is_set():
                with self._lock:
                    number = next(self._next, None)
                if number is None:
                    return
                try:
                    self.results[number] = self._tasks[number](decoders)
                except Stopped:
                    return
                except BaseException:
                    self.stop.set()
                    raise
