"""Work on files in processes of its own: what crashes, hangs or takes too much memory costs its file, not the run."""

import errno
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing import current_process, get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Generic, Literal, TypeVar

from himmel._interrupts import interrupts_held
from himmel.errors import HimmelError

Item = TypeVar("Item")
Value = TypeVar("Value")

Cause = Literal["refused", "time", "memory", "crash", "unexpected"]

MEGABYTE = 2**20
# Seconds. Imports on a busy machine take some; a process that waits for a dead disk doesn't end when it is killed.
_START = 300.0
_END = 5.0
# Items until a worker is replaced, so that what libraries don't give back never adds up to the limit on memory.
_TURN = 500


@dataclass(frozen=True)
class Limits:
    """What one item may take.

    Attributes:
        seconds: wall time.
        memory: bytes beyond what a worker takes before its first item; kept where the system can hold a process to
            it, which is Linux.
    """

    seconds: float = 120.0
    memory: int = 2048 * MEGABYTE


@dataclass(frozen=True)
class Failure:
    """Why there is no value.

    Attributes:
        cause: "refused": a `HimmelError`, whose sentence is `said`; "time" and "memory": a limit was met; "crash": the
            process ended, and `said` is how; "unexpected": any other exception, `said` being its kind and message.
        said: a sentence or a clause; empty where the cause says it all.
    """

    cause: Cause
    said: str = ""


@dataclass(frozen=True)
class Outcome(Generic[Item, Value]):
    """What became of one item; either a value or a failure.

    Attributes:
        seconds: wall time that it took.
    """

    item: Item
    value: Value | None
    failure: Failure | None
    seconds: float


def _once(item: object) -> int:
    del item
    return 1


def run_apart(
    work: Callable[[Item], Value],
    items: Iterable[Item],
    *,
    workers: int,
    limits: Limits,
    times: Callable[[Item], int] = _once,
) -> Generator[Outcome[Item, Value], None, None]:
    """Give each item to one of `workers` processes; outcomes come as they are ready, in any order.

    The processes end with this one, even if it is killed, and when the iteration is given up. A worker that met a limit
    or crashed is replaced.

    Args:
        work: can be pickled, as a function of a module can, and so can the items and what it returns.
        items: taken one by one, as workers get free.
        times: how many times the limit of seconds an item may take.

    Raises:
        HimmelError: no worker can be started.
    """
    queue = iter(items)
    busy: list[_Worker[Item, Value]] = []
    idle: list[_Worker[Item, Value]] = []
    try:
        while True:
            for item in islice(queue, workers - len(busy)):
                worker = idle.pop() if idle else _Worker(work, limits)
                busy.append(worker)
                worker.give(item, times(item))
            if not busy:
                return
            for worker in _ready(busy):
                busy.remove(worker)
                idle.append(worker)
                yield worker.outcome()
    finally:
        for worker in (*busy, *idle):
            worker.end()


class Apart(Generic[Item, Value]):
    """Work on one item after another in one process of its own, which is started at the first; see `run_apart`.

    It may be made anywhere and used in any process, such as a DataLoader's worker or one of Ray's. What a fork begins
    with, such as a DataLoader's worker after its parent has read too, starts a process of its own.

    Args:
        work, limits: see `run_apart`.
    """

    def __init__(self, work: Callable[[Item], Value], limits: Limits) -> None:
        self._work, self._limits = work, limits
        self._owner = os.getpid()
        self._next: Item
        self._outcomes: Generator[Outcome[Item, Value], None, None] | None = None

    def __call__(self, item: Item) -> Outcome[Item, Value]:
        """Do an item.

        Raises:
            HimmelError: no process can be started.
        """
        if self._owner != os.getpid():
            self._outcomes = None
        if self._outcomes is None:
            self._owner = os.getpid()
            # A DataLoader's workers are daemons, which may have no children; the one here ends with its parent.
            if current_process().daemon:
                current_process().daemon = False
            self._outcomes = run_apart(self._work, self._items(), workers=1, limits=self._limits)
        self._next = item
        try:
            return next(self._outcomes)
        except BaseException:
            self._outcomes = None
            raise

    def close(self) -> None:
        """End the process, if there is one; the next item starts another. Not while an item is being worked on."""
        outcomes, self._outcomes = self._outcomes, None
        if outcomes is not None and self._owner == os.getpid():
            outcomes.close()

    def _items(self) -> Iterator[Item]:
        while True:
            yield self._next


def _ready(busy: "list[_Worker[Item, Value]]") -> "list[_Worker[Item, Value]]":
    """Those that have an outcome, as soon as one has; it may be that their time is up."""
    while True:
        patience = max(min(worker.deadline for worker in busy) - time.monotonic(), 0.0)
        heard = wait([worker.connection for worker in busy], timeout=patience)
        for worker in busy:
            if worker.connection in heard:
                worker.listen()
        ready = [worker for worker in busy if worker.is_done or worker.deadline <= time.monotonic()]
        if ready:
            return ready


class _Worker(Generic[Item, Value]):
    """One process, started again when it is gone, and the item that it has.

    Attributes:
        connection: what it is heard on; the end of its process is heard as well.
        deadline: when its time is up, on the clock `time.monotonic`.
        is_done: it has answered, or ended.
    """

    connection: "Connection[tuple[Item, float], _Answer[Value] | None]"

    def __init__(self, work: Callable[[Item], Value], limits: Limits) -> None:
        self._work, self._limits = work, limits
        self._process: SpawnProcess | None = None
        self._owner = os.getpid()
        self._item: Item
        self._begin = self.deadline = math.inf
        self._seconds = limits.seconds
        self._answer: _Answer[Value] | None = None
        self._given = 0
        self.is_done = False

    def give(self, item: Item, times: int) -> None:
        """Let it work on an item, for so many times the limit of seconds."""
        self._item, self._answer, self.is_done = item, None, False
        self._seconds = times * self._limits.seconds
        # What ended it while it had nothing to do was not this item.
        if self._given == _TURN or (self._process is not None and not self._process.is_alive()):
            self.end()
        if self._process is None:
            self._given = 0
            self._start()
        else:
            self._set_out()
        self._given += 1
        # One that has just crashed is heard of when it is listened to.
        with suppress(OSError):
            self.connection.send((item, self._seconds))

    def listen(self) -> None:
        """Take what it has sent."""
        try:
            said = self.connection.recv()
        except (EOFError, OSError):
            self.is_done = True
            return
        if said is None:
            self._set_out()
        else:
            self._answer, self.is_done = said, True

    def outcome(self) -> Outcome[Item, Value]:
        """What became of its item."""
        seconds = max(time.monotonic() - self._begin, 0.0)
        if self._answer is not None:
            value, failure = self._answer
            if failure is not None and failure.cause == "memory":
                self.end()
            return Outcome(self._item, value, failure, seconds)
        was_running = math.isfinite(self._begin)
        how = self.end()
        if not was_running:
            raise HimmelError(f"A process to read files with cannot be started ({how}); free some memory.")
        # Its own alarm may be heard of before its time is seen to be up, on a busy machine.
        failure = Failure("crash", how) if self.is_done and how != _ALARM else Failure("time")
        return Outcome(self._item, None, failure, seconds)

    def end(self) -> str:
        """End the process; returns how it had ended by itself, if it had."""
        process, self._process = self._process, None
        if process is None:
            return ""
        self.connection.close()
        if self._owner != os.getpid():
            # In a fork: the process belongs to the one that started it.
            return ""
        # What has crashed may still be on its way out.
        process.join(_END if self.is_done and self._answer is None else 0)
        how = _describe(process.exitcode)
        if process.exitcode is None:
            process.kill()
            process.join(_END)
        return how

    def _start(self) -> None:
        try:
            # The first start brings up a process of multiprocessing's own, and that lets interrupts through again.
            if sys.platform != "win32":
                resource_tracker.ensure_running()
            self._begin_process()
        except OSError as error:
            raise HimmelError(
                f"A process to read files with cannot be started ({error.strerror}); use fewer of them (--workers)."
            ) from error

    def _begin_process(self) -> None:
        context = get_context("spawn")
        self.connection, far = context.Pipe()
        self._process = context.Process(target=_serve, args=(self._work, far, self._limits), daemon=True)
        self._begin, self.deadline = math.inf, time.monotonic() + _START
        try:
            with interrupts_held():
                self._process.start()
        except OSError:
            # There is none to be ended.
            self._process = None
            self.connection.close()
            raise
        finally:
            far.close()

    def _set_out(self) -> None:
        self._begin = time.monotonic()
        self.deadline = self._begin + self._seconds


_Answer = tuple[Value | None, Failure | None]
# How a process ends whose own alarm rang.
_ALARM = "SIGALRM"


def _describe(exitcode: int | None) -> str:
    if exitcode is None:
        return "it did not answer"
    if exitcode >= 0:
        return f"exit code {exitcode}"
    try:
        return signal.Signals(-exitcode).name
    except ValueError:
        return f"signal {-exitcode}"


def _serve(
    work: Callable[[Item], Value], connection: "Connection[_Answer[Value] | None, tuple[Item, float]]", limits: Limits
) -> None:
    """What a worker does: say that it is ready, then answer items until nobody sends any."""
    _hold_memory(limits.memory)
    # Whoever started this process may be gone before it has answered or been seen to hang.
    with suppress(EOFError, OSError):
        connection.send(None)
        while True:
            item, seconds = connection.recv()
            _set_alarm(2 * seconds)
            answer = _try(work, item)
            _set_alarm(0)
            try:
                connection.send(answer)
            except MemoryError:
                # The value could be made, and there is no room for the copy that is sent.
                connection.send((None, Failure("memory")))


def _try(work: Callable[[Item], Value], item: Item) -> _Answer[Value]:
    try:
        return work(item), None
    except Exception as error:
        if _is_of_memory(error):
            return None, Failure("memory")
        if isinstance(error, HimmelError):
            return None, Failure("refused", str(error))
        said = " ".join(str(error).split())
        return None, Failure("unexpected", f"{type(error).__name__}: {said}" if said else type(error).__name__)


def _is_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised from, says that there is no memory."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        error = error.__cause__
    return False


def _set_alarm(seconds: float) -> None:
    """End this process after a while, in case nobody is there to do it."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _hold_memory(more: int) -> None:
    """Refuse this process memory beyond what it has and so many bytes."""
    if sys.platform == "linux":
        import resource

        status = Path("/proc/self/status").read_text()
        used = 1024 * int(status.partition("VmData:")[2].split(maxsplit=1)[0])
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = used + more
        resource.setrlimit(resource.RLIMIT_DATA, (wanted if most < 0 else min(wanted, most), most))
