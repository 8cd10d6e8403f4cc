"""Workers are kept, and end soon when nobody wants what they do."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from himmel.video import Video
from himmel.video.file.container import open_stream
from himmel.video.file.decoder import Segment, Stopped
from himmel.video.file.index import PictureIndex, build_index
from himmel.video.file.workers import MOST, Decoders, run_tasks

Encode = Callable[..., Path]
Clip = tuple[Path, PictureIndex]


@pytest.fixture
def clip(encode_clip: Encode) -> Clip:
    path = encode_clip("a.ts", options={"g": "10"}, num_frames=40)
    with open_stream(path) as opened:
        return path, build_index(path, *opened)


def read(decoders: Decoders, clip: Clip, start: int) -> tuple[int, list[int]]:
    """The thread, and the numbers of ten pictures."""
    decoder = decoders.get(*clip, vectors=False)
    numbers = [number for number, _ in decoder.pictures(Segment(start, tuple(range(start, start + 10))))]
    return threading.get_ident(), sorted(numbers)


def read_forever(decoders: Decoders, clip: Clip) -> None:
    while True:
        read(decoders, clip, 0)


@pytest.mark.parametrize("threads", [1, 2, 5, 4096])
def test_results_come_in_the_order_of_the_tasks(threads: int, clip: Clip) -> None:
    starts = [0, 20, 10, 30, 0]
    found = run_tasks([partial(read, clip=clip, start=start) for start in starts], threads)
    assert [numbers for _, numbers in found] == [list(range(start, start + 10)) for start in starts]
    assert run_tasks([], threads) == []


def test_threads_are_kept(clip: Clip) -> None:
    tasks = [partial(read, clip=clip, start=0)] * 4
    assert {thread for thread, _ in run_tasks(tasks, 1)} == {threading.get_ident()}
    used = {thread for _ in range(30) for thread, _ in run_tasks(tasks, 3)}
    alive = {thread.ident for thread in threading.enumerate()}
    assert used <= alive
    assert len(used) <= 1 + MOST


@pytest.mark.parametrize("caller", ["reads", "fails"])
def test_one_failure_ends_all(caller: str, clip: Clip) -> None:
    """Not within so many seconds: how long a thread waits for its turn is up to the machine."""
    reading = threading.Event()
    ends: list[str] = []

    def fail(decoders: Decoders) -> None:
        assert reading.wait(60)
        raise ValueError("this one")

    def read_on(decoders: Decoders) -> None:
        late = False
        try:
            while not late:
                late = decoders.stopping
                read(decoders, clip, 0)
                reading.set()
            ends.append("read on, with nobody left to read for")
        except Stopped:
            ends.append("stopped")
            raise

    def work(decoders: Decoders) -> None:
        called = threading.get_ident() == calling
        (read_on if called == (caller == "reads") else fail)(decoders)

    calling = threading.get_ident()
    with pytest.raises(ValueError, match="this one"):
        run_tasks([work, work], 2)
    assert ends == ["stopped"]


@pytest.mark.parametrize("threads", [1, 2])
def test_control_c_ends_all(threads: int, clip: Clip) -> None:
    reading = threading.Event()

    def interrupt() -> None:
        if reading.wait(60):
            signal.raise_signal(signal.SIGINT)

    def work(decoders: Decoders) -> None:
        reading.set()
        read_forever(decoders, clip=clip)

    heard = threading.Thread(target=interrupt)
    heard.start()
    with pytest.raises(KeyboardInterrupt):
        run_tasks([work] * threads, threads)
    heard.join()
    # Both threads are available again.
    assert len(run_tasks([partial(read, clip=clip, start=0)] * 2, 2)) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows")
def test_a_forked_process_has_threads_of_its_own(clip: Clip) -> None:
    """A data loader forks: the parent's threads are not there, and waiting for them would take for ever."""
    script = """
import os, sys, threading
from himmel.video.file.workers import run_tasks
meet = threading.Barrier(2)
tasks = [lambda decoders: meet.wait(20)] * 2
run_tasks(tasks, 2)
child = os.fork()
if child == 0:
    run_tasks(tasks, 2)
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=60)


def test_a_worker_opens_a_file_once(clip: Clip) -> None:
    with ExitStack() as closing:
        decoders = Decoders(closing, threading.Event())
        one = decoders.get(*clip, vectors=False)
        assert decoders.get(*clip, vectors=False) is one
        assert decoders.get(*clip, vectors=True) is not one


def test_repeated_decompositions_start_no_threads(monkeypatch: pytest.MonkeyPatch, encode_clip: Encode) -> None:
    """Thousands of short files, one after the other: the memory of ever new threads is never given back."""
    path = encode_clip("short.ts", options={"g": "5"}, num_frames=20)
    started: list[threading.Thread] = []
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda thread: (started.append(thread), start(thread)))
    Video(path).decompose(threads=1, rgb_difference=True)
    assert not started
    for _ in range(10):
        Video(path).decompose(threads=3, rgb_difference=True)
    # Otherwise 40 would be started.
    assert len(started) <= MOST
