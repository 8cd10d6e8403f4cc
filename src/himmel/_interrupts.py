"""When Ctrl-C is heard."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType


class interrupts_kept:
    """Raise what the handler of Ctrl-C raised within the block, if a library lost it there.

    PyAV 19 is built for Python's stable interface, where an exception that rises through compiled code runs a piece
    of Python for each line of its traceback. A handler that is called during that piece raises in vain: the exception
    on its way is put back in place of what the handler raised. At the end of a file that exception is `EOFError`,
    which PyAV expects, so that Ctrl-C would do nothing.

    It costs a few microseconds, and does nothing outside the main thread, which alone calls handlers. Not to be held
    across the `yield` of a generator: the caller may deal with an interrupt in between.
    """

    def __enter__(self) -> None:
        self._raised: BaseException | None = None
        handler = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(handler):
            self._handler = None
            return
        self._handler = handler

        def note(number: int, frame: FrameType | None) -> None:
            try:
                handler(number, frame)
            except BaseException as error:
                self._raised = error
                raise

        signal.signal(signal.SIGINT, note)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handler is None:
            return
        signal.signal(signal.SIGINT, self._handler)
        if self._raised is not None and self._raised is not error:
            raise self._raised


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back until the block ends; processes that are started in it never get it.

    The latter not on Windows, which has no such thing.
    """
    with _handler_held(), _signal_masked():
        yield


@contextmanager
def _handler_held() -> Iterator[None]:
    """Call Python's handler of SIGINT after the block: threads of libraries hear what the calling one has masked."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    heard: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: heard.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if heard:
            handler(*heard[0])


@contextmanager
def _signal_masked() -> Iterator[None]:
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
