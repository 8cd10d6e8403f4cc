"""Samples a second that training can read: from the cache, from `.npz`, and by extracting anew.

    python -m benchmarks.reading_rates [--videos 24] [--rounds 3] [--workers 0 2] [--json]

One run, the same videos of 720p and 20 seconds for all three. Every way ends in the same place, with what
`HimmelProcessor` takes of a video (anchors' pictures and maps), so that what follows is left out. `cache` reads what
`himmel prepare` wrote, `npz` the same arrays as `numpy.savez` keeps them, and `extract` parses the file as a
DataLoader's worker does, in a process of its own. Rounds are interleaved, and the best of them counts. Sizes on disk
are printed beside.
"""

import argparse
import json
import struct
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from benchmarks.footage import SECONDS, footage
from benchmarks.process import warn_if_busy
from himmel.data.cache import CacheSettings, StreamCache
from himmel.data.prepare import prepare
from himmel.data.samples import Medium
from himmel.data.samples.extract import ApartReader, Extraction
from himmel.data.workers import Limits
from himmel.video import Decomposition, Video

_MAPS = (
    "past",
    "future",
    "past_valid",
    "future_valid",
    "past_distance",
    "future_distance",
    "residual",
    "covered",
)


@dataclass(frozen=True)
class Rate:
    """One way of reading with one number of workers.

    Attributes:
        videos_per_second: over all workers, the best round.
        megabytes: on disk, of all videos; of the files themselves for `extract`.
    """

    way: str
    workers: int
    videos_per_second: float
    megabytes: float


class Extracted(Dataset[int]):
    """Item i extracts video i; its value is the number of its steps."""

    def __init__(self, videos: list[Path]) -> None:
        self._videos = videos
        self._reader = ApartReader(Limits())

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, index: int) -> int:
        found = self._reader.read(Extraction(Medium("video", str(self._videos[index]))))
        return _steps(found.decomposition)


class Cached(Dataset[int]):
    """Item i reads video i from the cache."""

    def __init__(self, cache: StreamCache) -> None:
        self._cache, self._keys = cache, list(cache.keys())

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> int:
        return _steps(self._cache.read(self._keys[index]))


class Stored(Dataset[int]):
    """Item i reads the arrays of video i from an `.npz`."""

    def __init__(self, files: list[Path]) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> int:
        with np.load(self._files[index]) as arrays:
            # An array is read when it is asked for.
            read = {name: arrays[name] for name in arrays.files}
        return sum(len(array) for name, array in read.items() if name.endswith(".covered"))


def measure(videos: list[Path], *, rounds: int, workers: list[int], scratch: Path) -> list[Rate]:
    """All three ways with each number of workers."""
    prepare(str(scratch / "videos"), scratch / "cache", settings=CacheSettings())
    files = [_store(path, scratch / f"{path.stem}.npz") for path in videos]
    ways: dict[str, tuple[Dataset[int], float]] = {
        "cache": (Cached(StreamCache(scratch / "cache")), _size((scratch / "cache").rglob("*"))),
        "npz": (Stored(files), _size(iter(files))),
        "extract": (Extracted(videos), _size(iter(videos))),
    }
    best: dict[tuple[str, int], float] = {}
    for _ in range(rounds):
        for count in workers:
            for way, (items, _) in ways.items():
                begin = time.perf_counter()
                # Without a collator's copies.
                for _ in DataLoader(items, batch_size=None, num_workers=count):
                    pass
                rate = len(videos) / (time.perf_counter() - begin)
                best[way, count] = max(rate, best.get((way, count), 0.0))
    return [Rate(way, count, rate, ways[way][1]) for (way, count), rate in best.items()]


def _make(folder: Path, count: int) -> list[Path]:
    """Copies of two clips that differ in an empty box at their end, or a cache would keep one of each."""
    made = []
    for number in range(count):
        path = folder / f"{number}.mp4"
        clip = footage(("cabac-1.4", "cabac-3")[number % 2]).read_bytes()
        path.write_bytes(clip + struct.pack(">I4sI", 12, b"free", number))
        made.append(path)
    return made


def _steps(found: Decomposition) -> int:
    return sum(len(interval.frames) for interval in found.intervals)


def _store(video: Path, target: Path) -> Path:
    found = Video(video).decompose()
    arrays: dict[str, Any] = {f"{k}.image": anchor.image for k, anchor in enumerate(found.anchors)}
    for k, interval in enumerate(found.intervals):
        arrays |= {f"{k}.{name}": array for name, array in vars(interval.maps).items() if name in _MAPS}
    np.savez(target, **arrays)
    return target


def _size(files: Iterator[Path]) -> float:
    return sum(file.stat().st_size for file in files if file.is_file()) / 2**20


def main() -> None:
    """Make the videos, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    warn_if_busy()
    with tempfile.TemporaryDirectory(prefix="himmel-rates-") as name:
        scratch = Path(name)
        (scratch / "videos").mkdir()
        videos = _make(scratch / "videos", asked.videos)
        rates = measure(videos, rounds=asked.rounds, workers=asked.workers, scratch=scratch)
    if asked.json:
        print(json.dumps([asdict(rate) for rate in rates], indent=1))
        return
    print(f"{asked.videos} videos of {SECONDS} s\n")
    print(f"{'way':10}{'workers':>8}{'videos/s':>10}{'MB':>9}")
    for rate in rates:
        print(f"{rate.way:10}{rate.workers:>8}{rate.videos_per_second:>10.1f}{rate.megabytes:>9.1f}")


if __name__ == "__main__":
    main()
