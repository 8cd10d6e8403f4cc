"""The questions of `himmel watch`: lines of stdin, answered in a thread of their own while events go on."""

import contextlib
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, TextIO

from himmel._install import missing_package
from himmel._trouble import explain
from himmel.cli.console import quieten
from himmel.cli.live_lines import LinePrinter
from himmel.errors import HimmelError

if TYPE_CHECKING:
    from himmel.methods.watch import Watch
    from himmel.video import LiveVideo

# What is between a question and the answers to choose from.
_BAR: Final = "|"
# How long a stream that has ended waits for lines that are on their way through a pipe, in seconds.
_GRACE: Final = 0.5
_TICK: Final = 0.1
_AT_ONCE: Final = 2**16
_LONGEST: Final = 2**16


class Questions:
    """Reads questions and answers them, one after the other, until the stream has ended and none is left.

    Args:
        live: what they are about.
        loading: arguments of `Session`, which is made at the first question.
        asking: arguments of `Watch.ask` for each of them.
    """

    def __init__(
        self, live: "LiveVideo", printer: LinePrinter, *, loading: dict[str, Any], asking: dict[str, Any]
    ) -> None:
        self._live, self._printer = live, printer
        self._loading, self._asking = loading, asking
        self._lines: queue.Queue[str] = queue.Queue()
        self._read_all = threading.Event()
        self._answering = threading.Thread(target=self._answer_all, name="himmel-answers", daemon=True)
        self._watch: Watch | None = None

    def start(self) -> None:
        """Begin to listen."""
        if sys.platform != "win32" and threading.current_thread() is threading.main_thread():
            # In the background of a shell, reading from the terminal would stop the program; so it only fails.
            signal.signal(signal.SIGTTIN, signal.SIG_IGN)
        threading.Thread(target=self._listen, name="himmel-questions", daemon=True).start()
        self._answering.start()

    def finish(self) -> None:
        """Wait for the answers to all that was asked."""
        self._read_all.wait(_GRACE)
        # It ends where nobody reads what it prints any more.
        while self._lines.unfinished_tasks and self._answering.is_alive():
            time.sleep(_TICK)

    def _listen(self) -> None:
        # The terminal or the pipe may be gone.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            for line in _lines_of(sys.stdin):
                if line.strip():
                    self._lines.put(line.strip())
        self._read_all.set()

    def _answer_all(self) -> None:
        while True:
            line = self._lines.get()
            try:
                self._answer(line)
            except BrokenPipeError:
                return
            except Exception as error:
                self._printer.failure(line, _sentence(error))
            finally:
                self._lines.task_done()

    def _answer(self, line: str) -> None:
        if self._watch is None:
            self._printer.say("loading the model for the first question ...")
            quieten()
            from himmel.methods.session import Session
            from himmel.methods.watch import Watch

            self._watch = Watch(self._live, session=Session(**self._loading, cache_bytes=0, prompt_cache_bytes=0))
        question, *choices = (part.strip() for part in line.split(_BAR))
        self._printer.answer(self._watch.ask(question, choices=choices, **self._asking))


def _lines_of(stream: TextIO) -> Iterator[str]:
    """Lines as they come, read past Python's own buffer, whose lock a thread that waits would hold at the end."""
    rest = b""
    while read := os.read(stream.fileno(), _AT_ONCE):
        *whole, rest = (rest + read).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", errors="surrogateescape")
        # More than that is no question.
        rest = rest[-_LONGEST:]
    yield rest.decode("utf-8", errors="surrogateescape")


def _sentence(error: Exception) -> str:
    missing = missing_package(error) if isinstance(error, ModuleNotFoundError) else None
    if isinstance(error, HimmelError) or missing is not None:
        return str(missing or error)
    return explain(error) or f"unexpected {type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"
