"""Ctrl-C in real processes: one line, exit code 130, within two seconds, and nothing half-written."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from process_groups import gone
from tiny_recipes import tiny_base

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")

# Each says that it is at work, and then works for minutes: in Python, or in native code that no signal breaks into.
_BUSY = {
    "python": "while True: time.sleep(0.01)",
    "native": "hashlib.pbkdf2_hmac('sha256', b'', b'', 2**30)",
    "threads": "ThreadPoolExecutor(2).submit(hashlib.pbkdf2_hmac, 'sha256', b'', b'', 2**30).result()",
}
_PROGRAM = """
import hashlib, sys, time
from concurrent.futures import ThreadPoolExecutor
import {module}
def work(*arguments, **options):
    print("at work", flush=True)
    {busy}
{module}.{name} = work
from himmel.cli import main
main()
"""


def interrupt(process: subprocess.Popen[str]) -> tuple[int, str, float]:
    """Exit code, stderr and the seconds that it took to end, once the process is at work."""
    assert process.stdout is not None
    for line in process.stdout:
        if line == "at work\n":
            break
    time.sleep(0.3)
    begin = time.monotonic()
    try:
        # As a terminal does it: to the process and all that it started.
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
        return process.returncode, err, time.monotonic() - begin
    finally:
        # One that does not listen would work for hours.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def start(program: str, *arguments: str | Path, **options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | options,
    )


def assert_ended(program: str, *arguments: str | Path, **options: str) -> int:
    """The program ends as it should, each time, and at least once of three times it does so in time.

    Returns:
        The process group of the last one.
    """
    for _ in range(3):
        process = start(program, *arguments, **options)
        code, err, seconds = interrupt(process)
        *before, last = err.splitlines()
        assert (code, last) == (130, "himmel: interrupted.")
        # On a machine that other tests keep busy, lines of progress come before.
        assert all(line.startswith(("Rendering", "Reading", "Fetching")) for line in before)
        # Two seconds, and as many for a busy machine, which may hold up any one process for longer.
        if seconds < 4:
            return process.pid
    pytest.fail(f"three times in a row it took more than 4 s to end, {seconds:.1f} s the last time")


@pytest.fixture
def deaf_index() -> Iterator[str]:
    """Address of a package index that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/simple"


@pytest.mark.parametrize("busy", _BUSY)
def test_streams(encode_clip: Callable[..., Path], tmp_path: Path, busy: str) -> None:
    program = _PROGRAM.format(module="himmel.video.video", name="decompose", busy=_BUSY[busy])
    video = encode_clip("clip.mp4")
    assert_ended(program, "streams", video, "-o", tmp_path / "maps.npz")
    assert list(tmp_path.iterdir()) == [video]


@pytest.mark.slow
@pytest.mark.parametrize("busy", _BUSY)
def test_ask(encode_clip: Callable[..., Path], checkpoint: Path, busy: str) -> None:
    program = _PROGRAM.format(module="himmel.methods.generation", name="Generation.step", busy=_BUSY[busy])
    assert_ended(program, "ask", encode_clip("clip.mp4"), "What moves?", "--adapter", checkpoint)


def test_where_it_meets_the_end_of_an_object(encode_clip: Callable[..., Path], tmp_path: Path) -> None:
    program = """
import time
import himmel.video.video
class Held:
    def __del__(self):
        print("at work", flush=True)
        time.sleep(60)
def work(*arguments, **options):
    Held()
    time.sleep(60)
himmel.video.video.decompose = work
from himmel.cli import main
main()
"""
    assert_ended(program, "streams", encode_clip("clip.mp4"), "-o", tmp_path / "maps.npz")


def test_nano_get(tmp_path: Path, deaf_index: str) -> None:
    program = """
import himmel.nano.wheels as wheels
from himmel.cli import interrupt, main
run = wheels.subprocess.run
def fetch(*arguments, **options):
    print("at work", flush=True)
    return run(*arguments, **options)
wheels.subprocess.run = fetch
# On a machine that stands still it may take longer to tidy up.
interrupt._PATIENCE = 60
main()
"""
    environment = {"HIMMEL_CACHE": str(tmp_path / "cache"), "PIP_INDEX_URL": deaf_index, "PIP_RETRIES": "0"}
    assert_ended(program, "nano", "get", **environment)
    assert list((tmp_path / "cache" / "nano-host").iterdir()) == []


@pytest.mark.slow
def test_train_between_two_steps(nano_folder: str, tmp_path: Path) -> None:
    base = tiny_base(tmp_path, of="nano", host=nano_folder)
    program = _PROGRAM.format(module="himmel.training.trainer", name="PartsTrainer.compute_loss", busy=_BUSY["python"])
    assert_ended(program, "train", "default", "--base", base, HIMMEL_CACHE=str(tmp_path / "cache"))


@pytest.mark.slow
def test_train_while_clips_are_rendered(nano_folder: str, tmp_path: Path) -> None:
    """Only their parent stops the workers that render, and they end with it."""
    program = """
import himmel._progress, himmel.training.store as store
def track(items, **options):
    for item in items:
        print("at work", flush=True)
        yield item
store.track = track
from himmel.cli import main
if __name__ == "__main__":
    main()
"""
    base = tiny_base(tmp_path, of="nano", host=nano_folder)
    command = ("train", "default", "--base", base, "--set", "data.clips=400")
    assert gone(assert_ended(program, *command, HIMMEL_CACHE=str(tmp_path / "cache")))


@pytest.mark.parametrize("remote", [False, True])
def test_watch(remote: bool, encode_clip: Callable[..., Path]) -> None:
    """While it waits for a file to grow, and while FFmpeg waits for a server that says nothing."""
    program = """
import himmel.video.live.live as live
from himmel.cli import main
create = live.Reader.start
def start(reader):
    create(reader)
    print("at work", flush=True)
live.Reader.start = start
main()
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = f"rtsp://127.0.0.1:{server.getsockname()[1]}/a" if remote else encode_clip("clip.ts")
        assert_ended(program, "watch", source)
