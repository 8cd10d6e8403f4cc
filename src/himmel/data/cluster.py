"""Videos read by a cluster of Ray's, in place of processes of this machine.

A task is one video. Whichever of the cluster's processes takes it reads the video in a process of its own, with the
code and the limits of a run without a cluster, and sends the video's row back to where `prepare` runs. That writes
pieces and shards, so that the cluster needs to see the videos, and not the cache.
"""

import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

import himmel
from himmel._ray import cluster_joined
from himmel._versions import engine_version
from himmel.data.cache.layout import Layout
from himmel.data.cache.records import Record
from himmel.data.cache.settings import CacheSettings
from himmel.data.cache.videos import Found
from himmel.data.extract import Done, Extracted, NotWritten, ShardTask, Task, keep, make_shard, read_video, take_little
from himmel.data.sources.video import NoRoomError, SourceVideo
from himmel.data.workers import Apart, Failure, Limits, Outcome
from himmel.errors import HimmelError, UsageError

RunTasks = Callable[[Iterable[Task]], Generator[Outcome[Task, Done], None, None]]
"""Carries out tasks as they come; outcomes come as they are ready, in any order."""

# How often a video is given to another process after the one that had it, or its machine, was lost.
_RETRIES: Final = 3
# Tasks for each processor, so that none of them waits until it is heard that it has nothing to do.
_AHEAD: Final = 2
# Seconds. Machines come and go; rows that arrive and shards that are made are looked for in turn.
_RECOUNT, _PATIENCE = 10.0, 0.05
_THREADS: Final = max(2, os.cpu_count() or 1)

_Read = tuple[Extracted, Record | None] | NotWritten
_Answer = tuple[_Read | None, Failure | None, float]


@dataclass(frozen=True)
class Orders:
    """What each task is told besides its video.

    Attributes:
        settings, limits: see `prepare`.
        version, engine: of himmel where `prepare` runs; another one would give other rows.
    """

    settings: CacheSettings
    limits: Limits
    version: str = himmel.__version__
    engine: str | None = engine_version()


@dataclass(frozen=True)
class Errand:
    """A video, and a folder for a copy of it where one is needed."""

    video: SourceVideo
    scratch: Path


@dataclass(frozen=True)
class ReadErrand:
    """Reads a video in a process of its own.

    Attributes:
        settings: how.
    """

    settings: CacheSettings

    def __call__(self, errand: Errand) -> _Read:
        """Read it.

        Raises:
            HimmelError: it cannot be read.
        """
        take_little()
        try:
            return read_video(errand.video, self.settings, scratch=errand.scratch, known=_nothing)
        except NoRoomError as error:
            return NotWritten(f"On {socket.gethostname()}: {error}")


def read_on_node(video: SourceVideo, orders: Orders) -> _Answer:
    """What one of the cluster's processes does with a video; returns value, failure and seconds of an `Outcome`.

    Raises:
        HimmelError: no process can be started there.
        UsageError: another himmel is installed there.
    """
    here = (himmel.__version__, engine_version())
    if here != (orders.version, orders.engine):
        names = [f"himmel {version} {'with' if engine else 'without'} its engine" for version, engine in
                 (here, (orders.version, orders.engine))]  # fmt: skip
        raise UsageError(
            f"{socket.gethostname()}, a machine of the cluster, has {names[0]} and this one {names[1]}; install the "
            "same on all of them."
        )
    try:
        scratch = tempfile.TemporaryDirectory(prefix="himmel-")
    except OSError as error:
        said = f"no folder for copies can be made ({error.strerror}); free some space there, or set TMPDIR."
        return NotWritten(f"On {socket.gethostname()}, {said}"), None, 0.0
    with scratch as folder:
        outcome = _apart(orders)(Errand(video, Path(folder)))
    return outcome.value, outcome.failure, outcome.seconds


@lru_cache(maxsize=1)
def _apart(orders: Orders) -> Apart[Errand, _Read]:
    # One process for all tasks that come here: starting one takes as long as reading several videos.
    return Apart(ReadErrand(orders.settings), orders.limits)


def _nothing(key: str) -> Found | None:
    """Nothing is known of any video: the cache is on another machine."""
    del key
    return None


@contextmanager
def joined(
    address: str, *, layout: Layout, settings: CacheSettings, limits: Limits, workers: int | None
) -> Iterator[RunTasks]:
    """Join a cluster for as long as the block takes.

    Args:
        address: see `cluster_joined`.
        layout: of the cache.
        settings, limits: see `prepare`.
        workers: most videos that are read at once; None: as many as the cluster has processors, at any moment.

    Raises:
        HimmelError: there is no such cluster.
        ModuleNotFoundError: Ray is not installed.
    """
    # What Ray tells of lost processes, it prints where results go.
    with cluster_joined(address, num_cpus=workers), redirect_stdout(sys.stderr):
        yield _Cluster(layout, Orders(settings, limits), workers).run


class _Cluster:
    """A cluster that was joined."""

    def __init__(self, layout: Layout, orders: Orders, workers: int | None) -> None:
        import ray

        self._ray: Any = ray
        self._layout, self._orders, self._workers = layout, orders, workers
        # Ray gives a task to another process where the first one was lost; what a task raises is never tried again.
        self._read: Any = ray.remote(num_cpus=1, max_retries=_RETRIES, retry_exceptions=False)(read_on_node)
        self._most, self._counted = 1, float("-inf")

    def run(self, tasks: Iterable[Task]) -> Generator[Outcome[Task, Done], None, None]:
        """See `RunTasks`.

        Raises:
            HimmelError: the cluster is lost, or not fit for the work.
        """
        queue = iter(tasks)
        reading: dict[Any, SourceVideo] = {}
        keeping: set[Future[Outcome[Task, Done]]] = set()
        # Rows and shards are written by threads: the disk would keep the cluster waiting.
        pool = ThreadPoolExecutor(_THREADS)
        try:
            while True:
                for task in islice(queue, self._room(len(reading), len(keeping))):
                    if isinstance(task, ShardTask):
                        keeping.add(pool.submit(self._make_shard, task))
                    else:
                        reading[self._read.remote(task, self._orders)] = task
                if not reading and not keeping:
                    return
                if reading:
                    ready, _ = self._ray.wait([*reading], timeout=_PATIENCE if keeping else None)
                    keeping |= {pool.submit(self._keep, reading.pop(one), one) for one in ready}
                done, keeping = wait(keeping, 0 if reading else None, FIRST_COMPLETED)
                for one in done:
                    yield one.result()
        finally:
            for one in reading:
                self._ray.cancel(one, force=True)
            pool.shutdown(cancel_futures=True)

    def _room(self, reading: int, keeping: int) -> int:
        """How many more tasks are handed out: what is under way is bounded, and so is the memory that it takes."""
        if keeping >= 2 * _THREADS:
            return 0
        if self._workers is None and time.monotonic() - self._counted > _RECOUNT:
            self._counted = time.monotonic()
            self._most = max(1, int(_AHEAD * self._ray.cluster_resources().get("CPU", 1)))
        return max(0, (self._workers or self._most) - reading)

    def _make_shard(self, task: ShardTask) -> Outcome[Task, Done]:
        begin = time.monotonic()
        made = make_shard(task, self._layout)
        return Outcome(task, made, None, time.monotonic() - begin)

    def _keep(self, video: SourceVideo, reference: Any) -> Outcome[Task, Done]:
        """Take a video's row from the cluster, and keep it.

        Raises:
            HimmelError: the cluster is lost, or not fit for the work.
        """
        errors = self._ray.exceptions
        try:
            answer: _Answer = self._ray.get(reference)
        except errors.RayTaskError as error:
            if isinstance(error.cause, HimmelError):
                raise error.cause from error
            said = " ".join(str(error.cause).split())
            raise HimmelError(
                f"The Ray cluster cannot read videos ({type(error.cause).__name__}: {said}); install himmel with its "
                "extra 'ray' on all of its machines."
            ) from error
        except (
            errors.WorkerCrashedError,
            errors.NodeDiedError,
            errors.OutOfMemoryError,
            errors.ObjectLostError,
        ) as error:
            lost = f"{type(error).__name__}, {1 + _RETRIES} times"
            return Outcome(video, None, Failure("crash", lost), 0.0)
        except errors.RayError as error:
            said = " ".join(str(error).split()).partition(". ")[0].rstrip(".")
            raise HimmelError(f"The Ray cluster is lost ({said}); run the same command again to go on.") from error
        read, failure, seconds = answer
        done: Done | None = read if read is None or isinstance(read, NotWritten) else keep(*read, self._layout)
        return Outcome(video, done, failure, seconds)
