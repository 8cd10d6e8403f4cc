"""`prepare` on a real Ray cluster of two nodes, which run on this machine."""

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from himmel.data import cluster
from himmel.data.cache import CacheSettings, StreamCache
from himmel.data.cache.layout import Layout
from himmel.data.cache.lines import read_lines
from himmel.data.cache.videos import Prepared
from himmel.data.cluster import Errand, Orders, ReadErrand, read_on_node
from himmel.data.extract import NotWritten
from himmel.data.prepare import prepare
from himmel.data.sources import SourceVideo
from himmel.data.workers import MEGABYTE, Limits
from himmel.errors import HimmelError, UsageError

Encode = Callable[..., Path]
SETTINGS = CacheSettings(num_anchors=2, steps_per_interval=3)
# How Ray calls a process while it has a task.
BUSY = f"ray::{read_on_node.__name__}"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a cluster of two nodes with two processors each."""
    pytest.importorskip("ray", reason="Ray is not installed; `pip install '.[ray]'` gets it")
    from ray.cluster_utils import Cluster

    few: dict[str, Any] = {"num_cpus": 2, "object_store_memory": 100 * MEGABYTE}
    found = Cluster(initialize_head=True, head_node_args={**few, "include_dashboard": False})
    found.add_node(**few)
    found.wait_for_nodes()
    yield str(found.address)
    found.shutdown()


def journal(cache: Path) -> list[Prepared]:
    return list(read_lines(Layout(cache).journal, Prepared.from_json))


def contents(cache: Path) -> dict[str, bytes]:
    """What must not depend on who did the work."""
    files = [cache / "shards.jsonl", *sorted((cache / "shards").iterdir())]
    return {file.relative_to(cache).as_posix(): file.read_bytes() for file in files}


def at_work() -> list[psutil.Process]:
    """The cluster's processes that have a task."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.cmdline()[:1] == [BUSY]:
                found.append(process)
        except psutil.Error:
            continue
    return found


class Killer(threading.Thread):
    """Ends one process that is at work, once so many videos are done.

    Attributes:
        killed: its process id; None as long as it was not found.
    """

    def __init__(self, cache: Path, *, done: int, choose: Callable[[psutil.Process], psutil.Process | None]) -> None:
        super().__init__(daemon=True)
        self._cache, self._done, self._choose = cache, done, choose
        self.killed: int | None = None
        self.start()

    def run(self) -> None:
        end = time.monotonic() + 120
        while self.killed is None and time.monotonic() < end:
            if len(journal(self._cache)) >= self._done:
                self._try()
            time.sleep(0.005)

    def _try(self) -> None:
        for process in at_work():
            chosen = self._choose(process)
            if chosen is None:
                continue
            # Stopped first, so that what it had is certainly lost.
            os.kill(chosen.pid, signal.SIGSTOP)
            time.sleep(0.05)
            if process.cmdline()[:1] == [BUSY]:
                os.kill(chosen.pid, signal.SIGKILL)
                self.killed = chosen.pid
                return
            os.kill(chosen.pid, signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_lost_process_of_the_cluster_loses_no_video(
    encode_clip: Encode, tmp_path: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "corpus").mkdir()
    for number in range(24):
        encode_clip(f"corpus/{number:02}.mp4", num_frames=30 + number, options={"g": "10"})
    (tmp_path / "corpus" / "bad.mp4").write_text("no video")
    corpus, cache = str(tmp_path / "corpus"), tmp_path / "cache"
    here = prepare(corpus, tmp_path / "here", settings=SETTINGS, shard_videos=4)
    killer = Killer(cache, done=3, choose=lambda process: process)
    there = prepare(corpus, cache, settings=SETTINGS, shard_videos=4, ray=address)
    killer.join()
    assert killer.killed is not None
    assert capsys.readouterr().out == ""
    assert contents(cache) == contents(tmp_path / "here")
    times = Counter(one.name for one in journal(cache))
    assert (len(times), set(times.values())) == (25, {1})
    assert (there.prepared, there.read, there.failed) == (24, 25, here.failed)
    # What nobody needs any more is gone, and a second run has nothing to do.
    assert not (cache / "pieces").exists()
    assert prepare(corpus, cache, settings=SETTINGS, shard_videos=4, ray=address).read == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux alone")
def test_limits_hold_on_a_cluster_and_a_reader_that_dies_costs_its_video(
    encode_clip: Encode, tmp_path: Path, address: str
) -> None:
    (tmp_path / "videos").mkdir()
    for number in range(4):
        encode_clip(f"videos/{number}.mp4", num_frames=20 + number)
    large = [np.zeros((8000, 8000, 3), np.uint8)] * 2
    encode_clip("videos/large.mkv", large, codec="mjpeg", pix_fmt="yuvj420p")
    videos, cache = str(tmp_path / "videos"), tmp_path / "cache"

    def reader(process: psutil.Process) -> psutil.Process | None:
        found = [child for child in process.children() if "spawn_main" in " ".join(child.cmdline())]
        return found[0] if found else None

    killer = Killer(cache, done=4, choose=reader)
    found = prepare(videos, cache, settings=SETTINGS, ray=address, workers=1)
    killer.join()
    assert killer.killed is not None
    assert [(one.name, one.cause) for one in found.failed] == [("large.mkv", "crash")]
    assert "SIGKILL" in found.failed[0].error
    little = Limits(memory=100 * MEGABYTE)
    found = prepare(videos, cache, settings=SETTINGS, ray=address, limits=little, retry=True)
    assert [(one.name, one.cause in ("memory", "refused")) for one in found.failed] == [("large.mkv", True)]
    assert (found.read, len(StreamCache(cache))) == (1, 4)


def test_a_machine_with_another_himmel_reads_nothing(tmp_path: Path) -> None:
    video = SourceVideo("a.mp4", str(tmp_path / "a.mp4"), 0, 0)
    with pytest.raises(UsageError, match=r"has himmel .* and this one himmel 0\.0 without its engine; install"):
        read_on_node(video, Orders(SETTINGS, Limits(), version="0.0", engine=None))


def test_what_a_node_reads_is_a_row_and_its_scratch_is_removed(
    encode_clip: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode_clip("a.mp4")
    monkeypatch.setattr(cluster.tempfile, "tempdir", str(tmp_path))
    before = set(tmp_path.iterdir())
    read, failure, seconds = read_on_node(SourceVideo("a.mp4", str(path), 0, 0), Orders(SETTINGS, Limits()))
    assert (failure, seconds > 0) == (None, True)
    assert isinstance(read, tuple)
    found, record = read
    assert record is not None
    assert record["key"] == SETTINGS.key(found.sha256)
    assert set(tmp_path.iterdir()) == before


def test_a_node_without_room_for_copies_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.tempfile, "tempdir", str(tmp_path / "gone"))
    read, failure, _ = read_on_node(SourceVideo("a.mp4", "a.mp4", 0, 0), Orders(SETTINGS, Limits()))
    assert failure is None
    assert isinstance(read, NotWritten)
    assert "no folder for copies can be made (No such file or directory)" in read.said


def test_a_reader_on_a_node_takes_one_thread_as_one_here_does(encode_clip: Encode, tmp_path: Path) -> None:
    video = SourceVideo("a.mp4", str(encode_clip("a.mp4")), 0, 0)
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        ReadErrand(SETTINGS)(Errand(video, tmp_path))
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize("place", ["127.0.0.1:1", "ray://127.0.0.1:1", "ftp://nobody"])
def test_a_cluster_that_is_not_there_is_one_sentence(encode_clip: Encode, tmp_path: Path, place: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed; `pip install '.[ray]'` gets it")
    (tmp_path / "videos").mkdir()
    encode_clip("videos/a.mp4")
    with pytest.raises(HimmelError, match=rf"^The Ray cluster '{place}' cannot be joined \([^.]*\); check the"):
        prepare(str(tmp_path / "videos"), tmp_path / "cache", settings=SETTINGS, ray=place)


def test_without_ray_the_extra_is_named(
    encode_clip: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from himmel.cli import main

    (tmp_path / "videos").mkdir()
    encode_clip("videos/a.mp4")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SystemExit) as stopped:
        main(["prepare", str(tmp_path / "videos"), "-o", str(tmp_path / "cache"), "--ray", "local"])
    assert stopped.value.code == 1
    assert "of the extra 'ray', which is not installed; `pip install \".[ray]\"`" in capsys.readouterr().err
