"""Videos that `himmel prepare` reads in a core-hour, beside FFmpeg's vectors and 32 decoded frames of the same clips.

    python -m benchmarks.prepare_rates [--minutes 1 10] [--videos 32] [--rounds 2] [--workers 1 2] [-o FILE]

One run, the same clips for all (720p25 H.264, 1.4 and 3 Mbit/s, of each length in turn):

    prepare       the whole command: reading, hashing, 8 anchors, 8 x 16 steps with residual, the last picture, JPEG,
                  int8, zstd, everything on the disk; with each number of workers
    libav         all vectors that FFmpeg exports, by PyAV with loop filter and IDCT left out; nothing is kept
    frames-pyav   32 exact frames at equal distances, by PyAV, as RGB; nothing is kept

A core-hour of `prepare` is wall time by the number of workers. The start of its processes is measured by itself, on a
small video for each, and taken off, since a corpus pays it once. The two others are single processes, and their start
is not counted either; they read each clip once a round, as copies would cost them the same. Rounds are interleaved, and
the best counts. Processor time is printed beside: other processes disturb it less, and waiting for the disk is not in
it.
`benchmarks.prepare_cost` reads the file.
"""

import argparse
import json
import os
import struct
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.footage import footage, lengthen, megabits
from benchmarks.process import read_once, warn_if_busy
from himmel._files import atomic_path
from himmel._versions import versions
from himmel.data.cache import CacheSettings
from himmel.data.prepare import prepare
from himmel.nano.assets import get_sample_clip

CLIPS = ("cabac-1.4", "cabac-3")
PEERS = ("libav", "frames-pyav")
# Fewer would measure the end of the run, when workers have nothing to do.
_LEAST = 4


@dataclass(frozen=True)
class Rate:
    """One way of reading videos of one length.

    Attributes:
        way: see above.
        workers: processes.
        minutes: length of each video.
        videos: that were read.
        seconds: wall time of the best round, without the start of processes.
        start: the time that was taken off; 0 for peers, whose own clock starts later.
        processor: processor time of the round that took least of it, likewise.
    """

    way: str
    workers: int
    minutes: float
    videos: int
    seconds: float
    start: float
    processor: float

    @property
    def videos_per_core_hour(self) -> float:
        """By wall time and workers."""
        return 3600 * self.videos / (self.seconds * self.workers)

    @property
    def hours_per_core_hour(self) -> float:
        """Hours of video."""
        return self.videos_per_core_hour * self.minutes / 60

    def as_json(self) -> dict[str, Any]:
        """The row as it is written."""
        derived = {"videos_per_core_hour": self.videos_per_core_hour, "hours_per_core_hour": self.hours_per_core_hour}
        return asdict(self) | derived


@dataclass(frozen=True)
class Stored:
    """What the cache of videos of one length takes."""

    minutes: float
    bytes_per_video: float


def make_copies(folder: Path, clips: Sequence[Path], count: int) -> list[Path]:
    """Copies of some clips in turn that differ in an empty box at their end, or a cache would keep one of each."""
    folder.mkdir()
    made = []
    for number in range(count):
        path = folder / f"{number:04d}.mp4"
        path.write_bytes(clips[number % len(clips)].read_bytes() + struct.pack(">I4sI", 12, b"free", number))
        made.append(path)
    return made


@dataclass(frozen=True)
class Run:
    """Wall time and processor time of one run into a new cache, and bytes for each video of it."""

    seconds: float
    processor: float
    bytes_per_video: float


def run_prepare(source: Path, cache: Path, workers: int) -> Run:
    """Prepare a folder."""
    begin, before = time.perf_counter(), processor_time()
    found = prepare(str(source), cache, settings=CacheSettings(), workers=workers)
    seconds, processor = time.perf_counter() - begin, processor_time() - before
    if found.failed or found.prepared != found.videos:
        raise SystemExit(found.sentence)
    return Run(seconds, processor, found.cache_bytes / found.prepared)


def processor_time() -> float:
    """Seconds that this process and those that it has started and ended have computed for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def measure(
    minutes: float, count: int, workers: Sequence[int], rounds: int, scratch: Path
) -> tuple[list[Rate], Stored]:
    """All ways on videos of one length."""
    clips = [lengthen(footage(name), scratch / f"{name}.mp4", minutes=minutes) for name in CLIPS]
    videos = make_copies(scratch / "videos", clips, count)
    found: dict[tuple[str, int], list[Rate]] = {}
    size = 0.0
    for turn in range(rounds):
        for number in workers:
            # Small videos, as many as there are workers, or not all of these would be started.
            few = make_copies(scratch / f"few-{turn}-{number}", [get_sample_clip("carphone")], number)
            start = run_prepare(few[0].parent, scratch / f"start-{turn}-{number}", number)
            run = run_prepare(videos[0].parent, scratch / f"cache-{turn}-{number}", number)
            size = run.bytes_per_video
            times = run.seconds - start.seconds, start.seconds, run.processor - start.processor
            found.setdefault(("prepare", number), []).append(Rate("prepare", number, minutes, count, *times))
        for name in PEERS:
            readings = [reading for path in clips if (reading := read_once(name, 1, path)) is not None]
            seconds, processor = (sum(reading[key] for reading in readings) for key in ("seconds", "processor"))
            found.setdefault((name, 1), []).append(Rate(name, 1, minutes, len(clips), seconds, 0.0, processor))
    best = [
        replace(min(of_way, key=lambda rate: rate.seconds), processor=min(rate.processor for rate in of_way))
        for of_way in found.values()
    ]
    return best, Stored(minutes, size)


def ratios(rates: Sequence[Rate]) -> dict[str, float]:
    """How many times as many videos `prepare` reads in a core-hour, and how it scales with workers."""
    found = {}
    for minutes in dict.fromkeys(rate.minutes for rate in rates):
        by_way = {(rate.way, rate.workers): rate for rate in rates if rate.minutes == minutes}
        counts = sorted(number for way, number in by_way if way == "prepare")
        one = by_way["prepare", counts[0]]
        for name in PEERS:
            label = f"{minutes:g} min: prepare, {counts[0]} worker / {name}"
            found[label] = one.videos_per_core_hour / by_way[name, 1].videos_per_core_hour
            found[f"{label}, processor time"] = (by_way[name, 1].processor / by_way[name, 1].videos) / (
                one.processor / one.videos
            )
        for number in counts[1:]:
            more = by_way["prepare", number]
            label = f"{minutes:g} min: videos a second, {number} workers / {counts[0]}"
            found[label] = (more.videos / more.seconds) / (one.videos / one.seconds)
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10], help="lengths of videos")
    parser.add_argument("--videos", type=int, default=32, help="of one minute; of longer ones, fewer")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    load = warn_if_busy()
    rates: list[Rate] = []
    stored = []
    for minutes in options.minutes:
        count = max(_LEAST * max(options.workers), round(options.videos / max(minutes, 1)))
        with tempfile.TemporaryDirectory(prefix="himmel-prepare-") as scratch:
            found, size = measure(minutes, count, options.workers, options.rounds, Path(scratch))
        rates += found
        stored.append(size)
    whole = {
        "clips": {name: megabits(footage(name)) for name in CLIPS},
        "load": load,
        "versions": versions("pyarrow"),
        "rates": [rate.as_json() for rate in rates],
        "stored": [asdict(one) for one in stored],
        "ratios": ratios(rates),
    }
    head = f"{'way':12} {'workers':>7} {'minutes':>7} {'videos':>6} {'s':>8} {'processor':>9}"
    print(f"{head} {'videos':>10} {'hours of video':>15}\n{'':{len(head)}} {'per core-hour':>26}")
    for rate in rates:
        print(
            f"{rate.way:12} {rate.workers:7} {rate.minutes:7g} {rate.videos:6} {rate.seconds:8.2f}"
            f" {rate.processor:9.2f} {rate.videos_per_core_hour:10,.0f} {rate.hours_per_core_hour:15,.1f}"
        )
    for one in stored:
        print(f"a video of {one.minutes:g} min takes {one.bytes_per_video / 1e6:.2f} MB in the cache")
    for label, ratio in whole["ratios"].items():
        print(f"{label}: {ratio:.2f}")
    if options.output is not None:
        with atomic_path(options.output) as temporary:
            temporary.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
