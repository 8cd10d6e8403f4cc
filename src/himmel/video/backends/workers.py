"""Workers that read stretches of a file at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from himmel.video.backends.protocol import Extract, Work, merge
from himmel.video.file.decoder import Decoder


def run_work(work: list[Work], threads: int) -> Extract:
    """Do all work with up to `threads` workers, each with decoders of its own."""
    with ExitStack() as closing:
        decoders = _Decoders(closing)

        def do(task: Work) -> Extract:
            decoder = decoders.get(task)
            return merge(task.read(decoder, segment) for segment in task.segments)

        with ThreadPoolExecutor(max_workers=max(1, min(threads, len(work)))) as pool:
            return merge(pool.map(do, work))


class _Decoders(threading.local):
    """Each thread's decoders, one per file and kind, all closed together by `closing`.

    Python makes each thread's own attributes by calling `__init__` again there.
    """

    _lock = threading.Lock()

    def __init__(self, closing: ExitStack) -> None:
        self._closing = closing
        self._open: dict[tuple[Path, bool], Decoder] = {}

    def get(self, task: Work) -> Decoder:
        """The calling thread's decoder for a task."""
        kind = task.file.path, task.vectors
        if kind not in self._open:
            self._open[kind] = Decoder(task.file.path, task.file.index, vectors=task.vectors)
            with self._lock:
                self._closing.enter_context(self._open[kind])
        return self._open[kind]
