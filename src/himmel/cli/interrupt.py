"""Ctrl-C: one line and exit code 130 within two seconds, whatever the process does.

Python runs its own handler between two steps of the main thread, so a long call into native code, or threads that are
waited for, can make it deaf. A thread that the system itself wakes ends the process if it is still there after a while.
"""

import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

EXIT_CODE: Final = 130
"""128 + SIGINT, as shells report it."""
_LINE: Final = "himmel: interrupted.\n"
_PATIENCE: Final = 1.0
"""Seconds for the ordinary way out, on which temporary files are removed."""

_told = threading.Event()


@contextmanager
def interruptible() -> Iterator[None]:
    """Watch for Ctrl-C while the block runs, and once it came, until the process ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(reader,), daemon=True)
    watcher.start()
    report = sys.unraisablehook

    def report_others(found: "sys.UnraisableHookArgs") -> None:
        # Where Ctrl-C meets the end of some object it goes no further; the watcher ends the process all the same.
        if not issubclass(found.exc_type, KeyboardInterrupt):
            report(found)

    sys.unraisablehook = report_others
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        if not _told.is_set():
            sys.unraisablehook = report
        # After a signal the watcher keeps running: the interpreter may still wait for threads.
        writer.close()


def tell() -> None:
    """Print the one line, at most once."""
    if not _told.is_set():
        _told.set()
        os.write(2, _LINE.encode())


def _watch(reader: socket.socket) -> None:
    with reader:
        while signals := reader.recv(1):
            if signals[0] == signal.SIGINT:
                threading.Event().wait(_PATIENCE)
                _leave()


def _leave() -> None:
    tell()
    for child in multiprocessing.active_children():
        child.terminate()
    os._exit(EXIT_CODE)
