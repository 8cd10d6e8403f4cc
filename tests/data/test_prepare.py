import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from held_command import held_command
from himmel._lock import alone_in
from himmel.data.cache import CacheSettings, StreamCache
from himmel.data.cache.layout import Layout, Shard, read_index
from himmel.data.cache.lines import read_lines
from himmel.data.cache.verify import verify_cache
from himmel.data.cache.videos import Prepared
from himmel.data.extract import ShardTask, Task, Work
from himmel.data.plan import State
from himmel.data.prepare import prepare
from himmel.data.sources import SourceVideo
from himmel.data.workers import MEGABYTE, Failure, Limits, Outcome
from himmel.errors import HimmelError, UsageError
from odd_folders import NO_UNICODE, name_without_unicode

Encode = Callable[..., Path]
SETTINGS = CacheSettings(num_anchors=2, steps_per_interval=3)


def journal(cache: Path) -> list[Prepared]:
    return list(read_lines(cache / "videos.jsonl", Prepared.from_json))


def contents(cache: Path) -> dict[str, bytes]:
    """What must not depend on how the work was done."""
    files = [cache / "shards.jsonl", *sorted((cache / "shards").iterdir())]
    return {file.relative_to(cache).as_posix(): file.read_bytes() for file in files}


@pytest.fixture
def corpus(encode_clip: Encode, tmp_path: Path) -> Path:
    """A folder of 12 small clips: one of them twice, one that is no video."""
    (tmp_path / "corpus" / "deep").mkdir(parents=True)
    for number in range(9):
        encode_clip(f"corpus/{number}.mp4", num_frames=8 + number)
    shutil.copy(tmp_path / "corpus" / "2.mp4", tmp_path / "corpus" / "deep" / "again.mp4")
    encode_clip("corpus/deep/x.mkv", codec="mpeg4", num_frames=12)
    (tmp_path / "corpus" / "7a.mp4").write_text("no video")
    return tmp_path / "corpus"


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_workers(corpus: Path, tmp_path: Path) -> None:
    found = [
        prepare(str(corpus), tmp_path / f"cache{workers}", settings=SETTINGS, shard_videos=4, workers=workers)
        for workers in (1, 3)
    ]
    assert contents(tmp_path / "cache1") == contents(tmp_path / "cache3")
    for one in found:
        assert (one.videos, one.prepared, one.read) == (12, 11, 12)
        assert [failed.name for failed in one.failed] == ["7a.mp4"]
        assert {(kind.codec, kind.backend, kind.videos) for kind in one.kinds} == {
            ("h264", "bitstream", 10),
            ("mpeg4", "libav", 1),
        }
    cache = StreamCache(tmp_path / "cache1")
    # What is there twice is kept once.
    assert len(cache) == 10
    assert cache.find("deep/again.mp4") == cache.find("2.mp4") is not None
    assert sorted(path.name for path in (tmp_path / "cache1").iterdir()) == [
        *(".lock", "cache.json", "shards", "shards.jsonl", "videos.jsonl")
    ]


def test_a_second_run_reads_only_what_is_new_or_has_changed(corpus: Path, tmp_path: Path, encode_clip: Encode) -> None:
    cache = tmp_path / "cache"
    prepare(str(corpus), cache, settings=SETTINGS, shard_videos=4)
    before = contents(cache)
    assert prepare(str(corpus), cache, settings=SETTINGS, shard_videos=4).read == 0
    assert contents(cache) == before
    encode_clip("corpus/3.mp4", num_frames=20)
    encode_clip("corpus/new.mp4", num_frames=21)
    found = prepare(str(corpus), cache, settings=SETTINGS, shard_videos=4)
    assert (found.read, found.prepared) == (2, 12)
    kept = contents(cache)
    assert all(kept[name] == data for name, data in before.items() if name != "shards.jsonl")
    store = StreamCache(cache)
    key = store.find("3.mp4")
    assert key is not None
    assert store.read(key).num_frames == 20
    # Moved files are hashed, and not read again.
    shutil.move(corpus / "4.mp4", corpus / "deep" / "4.mp4")
    prepare(str(corpus), cache, settings=SETTINGS, shard_videos=4)
    assert contents(cache) == kept
    assert StreamCache(cache).find("deep/4.mp4") is not None


def test_failures_are_tried_again_only_if_that_is_asked_for(corpus: Path, tmp_path: Path, encode_clip: Encode) -> None:
    cache = tmp_path / "cache"
    runs = [prepare(str(corpus), cache, settings=SETTINGS, retry=retry).read for retry in (False, False, True)]
    assert runs == [12, 0, 1]
    encode_clip("corpus/7a.mp4", num_frames=9)
    found = prepare(str(corpus), cache, settings=SETTINGS)
    assert (found.read, found.failed) == (1, ())
    assert StreamCache(cache).find("7a.mp4") is not None


def test_a_video_that_takes_too_much_costs_itself_alone(encode_clip: Encode, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    encode_clip("videos/a.mp4")
    encode_clip("videos/large.mkv", [np.zeros((8000, 8000, 3), np.uint8)], codec="mjpeg", pix_fmt="yuvj420p")
    found = prepare(
        str(tmp_path / "videos"), tmp_path / "cache", settings=SETTINGS, limits=Limits(memory=100 * MEGABYTE)
    )
    assert [one.name for one in found.failed] == ["large.mkv"]
    # PyAV 15 says of a picture for which there is no memory that it is damaged.
    says_so = int(av.__version__.split(".")[0]) >= 16
    assert found.failed[0].cause == ("memory" if says_so else "refused")
    assert len(StreamCache(tmp_path / "cache")) == 1


@pytest.mark.parametrize("ends", [1, 2])
def test_a_shard_whose_process_ends_is_made_once_more(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: int
) -> None:
    ended: list[int] = []
    times: dict[int, int] = {}

    def run_here(work: Work, tasks: Iterable[Task], **options: Any) -> Generator[Outcome[Task, Any], None, None]:
        for task in tasks:
            if isinstance(task, ShardTask):
                times[task.number] = options["times"](task)
            if isinstance(task, ShardTask) and task.number == 0 and len(ended) < ends:
                ended.append(task.number)
                yield Outcome(task, None, Failure("crash", "SIGABRT"), 0.0)
                continue
            try:
                yield Outcome(task, work(task), None, 0.0)
            except HimmelError as error:
                yield Outcome(task, None, Failure("refused", str(error)), 0.0)

    monkeypatch.setattr("himmel.data.prepare.run_apart", run_here)
    if ends == 2:
        with pytest.raises(HimmelError, match=r"shard 0 \(4 videos\) cannot be made \(SIGABRT\)"):
            prepare(str(corpus), tmp_path / "cache", settings=SETTINGS, shard_videos=4)
        return
    prepare(str(corpus), tmp_path / "cache", settings=SETTINGS, shard_videos=4)
    # A shard may take the time of all its videos.
    assert times == {0: 4, 1: 4, 2: 2}
    monkeypatch.undo()
    prepare(str(corpus), tmp_path / "unbroken", settings=SETTINGS, shard_videos=4)
    assert contents(tmp_path / "cache") == contents(tmp_path / "unbroken")


def test_another_cache_is_left_alone(corpus: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    prepare(str(corpus), cache, settings=SETTINGS)
    with pytest.raises(UsageError, match=r"num_anchors=2 \(now 3\)"):
        prepare(str(corpus), cache, settings=CacheSettings(num_anchors=3, steps_per_interval=3))
    with pytest.raises(UsageError, match="holds other files"):
        prepare(str(corpus), corpus, settings=SETTINGS)
    with pytest.raises(UsageError, match="shard_videos=0 is out of range"):
        prepare(str(corpus), tmp_path / "cache2", settings=SETTINGS, shard_videos=0)
    with pytest.raises(HimmelError, match="There is no folder"):
        prepare(str(tmp_path / "nowhere"), tmp_path / "cache2", settings=SETTINGS)
    assert not (tmp_path / "cache2").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="limits on files are set otherwise")
def test_a_cache_that_cannot_be_written_blames_no_video(corpus: Path, tmp_path: Path) -> None:
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000));"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from himmel.cli import main; main()"
    )
    cache = tmp_path / "cache"
    options = ["--anchors", "2", "--steps", "3", "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-c", limited, "prepare", str(corpus), "-o", str(cache), *options],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "would be larger than" in done.stderr
    assert journal(cache) == []
    found = prepare(str(corpus), cache, settings=SETTINGS)
    assert (found.prepared, len(found.failed)) == (11, 1)


@pytest.mark.skipif(sys.platform == "win32", reason="limits on files are set otherwise")
def test_a_journal_that_cannot_be_written_is_continued_when_it_can(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    for number in range(12):
        (tmp_path / "corpus" / f"{number:02}.mp4").write_text("no video")
    limited = (
        "import resource, signal, sys; from himmel.data.prepare import prepare; from himmel.errors import HimmelError\n"
        "if __name__ == '__main__':\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "    try:\n        prepare(sys.argv[1], sys.argv[2])\n"
        "    except HimmelError as error:\n        print(error)\n"
    )
    corpus, cache = tmp_path / "corpus", tmp_path / "cache"
    command = [sys.executable, "-c", limited, str(corpus), str(cache)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout.startswith(f"{str(cache)!r} would be larger than")) == (0, True), done.stderr
    assert not (cache / "videos.jsonl").read_bytes().endswith(b"\n")
    found = prepare(str(corpus), cache)
    assert (len(found.failed), len(journal(cache)), 0 < found.read < 12) == (12, 12, True)


def start(corpus: Path, cache: Path, most: int) -> "subprocess.Popen[bytes]":
    """A run that reads so many videos at most, and does not end by itself."""
    command = held_command("himmel.data.prepare", count=most)
    options = ["--anchors", "2", "--steps", "3", "--shard-videos", "4", "--workers", "2"]
    return subprocess.Popen(
        [sys.executable, "-c", command, "prepare", str(corpus), "-o", str(cache), *options],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def progress(cache: Path) -> int:
    """Grows with everything that a run puts on the disk."""
    return sum(1 + path.stat().st_size for path in cache.rglob("*") if path.is_file())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_run_that_is_killed_again_and_again_ends_like_one_that_is_not(encode_clip: Encode, tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    for number in range(28):
        encode_clip(f"corpus/{number:02}.mp4", num_frames=8 + number, options={"g": "10"})
    corpus, cache = tmp_path / "corpus", tmp_path / "cache"
    prepare(str(corpus), tmp_path / "undisturbed", settings=SETTINGS, shard_videos=4)
    patience = random.Random(0)
    kills = 0
    while kills < 5:
        more = patience.randrange(0, 7)
        process = start(corpus, cache, most=more + 3)
        wanted = more + (len(journal(cache)) if cache.exists() else 0)
        while process.poll() is None and (not cache.exists() or len(journal(cache)) <= wanted):
            time.sleep(0.002)
        if process.poll() is not None:
            break
        time.sleep(patience.random() * 0.03)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        # What is there is whole, and may be read at once.
        layout = Layout(cache)
        found = StreamCache(cache)
        assert len([found.read(key) for key in list(found.keys())]) == len(found)
        assert all(layout.shard(shard.number).stat().st_size == shard.bytes for shard in read_index(layout))
    assert kills >= 3
    prepare(str(corpus), cache, settings=SETTINGS, shard_videos=4, workers=2)
    assert contents(cache) == contents(tmp_path / "undisturbed")
    times = Counter(one.name for one in journal(cache))
    assert set(times.values()) == {1}
    assert len(times) == 28


@pytest.mark.parametrize("file", ["videos.jsonl", "shards.jsonl"])
def test_half_a_line_of_a_run_that_stopped_is_cut_off(corpus: Path, tmp_path: Path, file: str) -> None:
    cache = tmp_path / "cache"
    prepare(str(corpus), cache, settings=SETTINGS, shard_videos=4)
    whole = contents(cache)
    data = (cache / file).read_bytes()
    (cache / file).write_bytes(data[:-20])
    found = prepare(str(corpus), cache, settings=SETTINGS, shard_videos=4)
    assert (found.prepared, len(found.failed)) == (11, 1)
    assert not verify_cache(cache).damage
    assert len(StreamCache(cache)) == 10
    if file == "videos.jsonl":
        assert contents(cache) == whole


def test_settings_are_written_by_whoever_has_the_lock(corpus: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with alone_in(cache, what="cache"), pytest.raises(HimmelError, match="Another process is writing"):
        prepare(str(corpus), cache, settings=SETTINGS)
    assert not (cache / "cache.json").exists()


def test_a_cache_inside_its_source_is_no_part_of_it(corpus: Path) -> None:
    runs = [prepare(str(corpus), corpus / "cache", settings=SETTINGS, every_file=True) for _ in range(2)]
    assert [(one.videos, one.read) for one in runs] == [(12, 12), (12, 0)]


def test_what_a_killed_run_was_writing_is_removed(corpus: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    prepare(str(corpus), cache, settings=SETTINGS)
    left = [cache / name for name in (".shards.ab12.jsonl", ".cache.x.json", "shards/.000000.y.parquet")]
    for path in left:
        path.write_text("half")
    prepare(str(corpus), cache, settings=SETTINGS)
    assert [path for path in left if path.exists()] == []


def stop_after_three(corpus: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepare a corpus here, and interrupt that once three videos are read."""

    def run_here(work: Work, tasks: Iterable[Task], **options: Any) -> Generator[Outcome[Task, Any], None, None]:
        for number, task in enumerate(tasks):
            if number == 3:
                raise KeyboardInterrupt
            yield Outcome(task, work(task), None, 0.0)

    with monkeypatch.context() as patched:
        patched.setattr("himmel.data.prepare.run_apart", run_here)
        with pytest.raises(KeyboardInterrupt):
            prepare(str(corpus), cache, settings=SETTINGS, shard_videos=4)


def test_what_was_read_of_one_source_is_kept_when_another_follows(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encode_clip: Encode
) -> None:
    cache = tmp_path / "cache"
    (tmp_path / "other").mkdir()
    encode_clip("other/z.mp4", num_frames=40)
    stop_after_three(corpus, cache, monkeypatch)
    assert [one.name for one in journal(cache)] == ["0.mp4", "1.mp4", "2.mp4"]
    # In an unfinished run, what is in pieces is not lost.
    assert not verify_cache(cache).damage
    prepare(str(tmp_path / "other"), cache, settings=SETTINGS, shard_videos=4)
    assert len(StreamCache(cache)) == 4
    assert not verify_cache(cache).damage
    assert prepare(str(corpus), cache, settings=SETTINGS, shard_videos=4).read == 9


def test_a_file_that_changes_while_a_run_is_stopped_leaves_no_damage(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encode_clip: Encode
) -> None:
    cache = tmp_path / "cache"
    stop_after_three(corpus, cache, monkeypatch)
    encode_clip("corpus/1.mp4", num_frames=33)
    prepare(str(corpus), cache, settings=SETTINGS, shard_videos=4)
    assert not verify_cache(cache).damage


def test_verify_is_not_misled_by_a_run_that_goes_on(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    stop_after_three(corpus, cache, monkeypatch)

    def read_and_go_on(layout: Layout) -> list[Shard]:
        found = read_index(layout)
        prepare(str(corpus), cache, settings=SETTINGS, shard_videos=4)
        return found

    monkeypatch.setattr("himmel.data.cache.verify.read_index", read_and_go_on)
    assert not verify_cache(cache).damage


def test_a_damaged_piece_is_read_again_by_the_next_run(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    stop_after_three(corpus, cache, monkeypatch)
    piece = next((cache / "pieces").glob("*.arrow"))
    piece.write_bytes(piece.read_bytes()[:100])
    with pytest.raises(HimmelError, match="damaged; run the same command again"):
        prepare(str(corpus), cache, settings=SETTINGS, shard_videos=4)
    assert prepare(str(corpus), cache, settings=SETTINGS, shard_videos=4).prepared == 11


def test_without_a_time_of_change_a_video_is_known_by_its_place_too() -> None:
    line = Prepared("a.mp4", "https://one/a.mp4", 5, 0, 1.0, sha256="ab")
    state = State({"a.mp4": line}, frozenset({SETTINGS.key("ab")}), frozenset(), frozenset({0}), SETTINGS)
    same = SourceVideo("a.mp4", "https://one/a.mp4", 5, 0)
    assert state.is_done(same, retry=False)
    assert not state.is_done(replace(same, place="https://two/a.mp4"), retry=False)
    moved = replace(state, last={"a.mp4": replace(line, modified=7)})
    assert moved.is_done(replace(same, place="https://two/a.mp4", modified=7), retry=False)


def test_names_that_are_no_unicode_are_kept(tmp_path: Path, encode_clip: Encode) -> None:
    (tmp_path / "corpus").mkdir()
    name_without_unicode(encode_clip("corpus/a.mp4", num_frames=8))
    found = prepare(str(tmp_path / "corpus"), tmp_path / "cache", settings=SETTINGS)
    assert (found.prepared, found.failed) == (1, ())
    cache = StreamCache(tmp_path / "cache")
    key = cache.find(os.fsdecode(NO_UNICODE))
    assert key is not None
    assert cache.read(key).path == r"\udcff\udcfe.mp4"
    assert prepare(str(tmp_path / "corpus"), tmp_path / "cache", settings=SETTINGS).read == 0
