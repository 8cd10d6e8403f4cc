"""What reading motion costs, in milliseconds per second of video, beside what else reads or decodes the same file.

    python -m benchmarks.extraction [--clip NAME ...] [--minutes 1] [--rounds 3] [--threads 1 2] [--json]

One run, the same clips and thread counts for all: demuxing, this project's engine, and its peers, each as fast as it
can rightly be set (the table says how). Every reading is a process of its own; rounds are interleaved, so that all meet
the same disturbances, and the best of them counts. Imports are not timed. `pip install -e ".[bench]"` gets the peers;
what is not installed is named on stderr and left out. `bitstream-128-steps` and `decompose` read a file of ten minutes
(`--long`), all others one of `--minutes`.

`--json` prints an object per clip, in a list if there are several.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.footage import FOOTAGE, RATE, footage, lengthen, megabits
from benchmarks.process import read_once, warn_if_busy
from benchmarks.readers import READERS, STEPS

# Read files of ten minutes, and a part of them.
SAMPLED = ("bitstream-128-steps", "decompose")
# Beyond what the figures are about: peers' slower defaults, and the library's whole way from a path to maps.
ALSO = ("libav-default", "mv-extractor-default", "decompose")
_DENSE = ("rgb-pyav", "rgb-torchcodec", "rgb-opencv")


@dataclass(frozen=True)
class Row:
    """The best of all rounds of one reader.

    Attributes:
        milliseconds: wall time per second of video.
        processor: processor time per second of video, which other processes disturb less.
        peak_mb: peak memory of the process; before_mb: after its imports.
    """

    name: str
    threads: int
    milliseconds: float
    processor: float
    peak_mb: float
    before_mb: float

    def as_json(self) -> dict[str, Any]:
        """The row as `--json` prints it."""
        return {
            "name": self.name,
            "threads": self.threads,
            "ms_per_video_second": self.milliseconds,
            "processor_ms_per_video_second": self.processor,
            "peak_mb": self.peak_mb,
            "before_mb": self.before_mb,
        }


def measure(short: Path, long: Path, minutes: tuple[float, float], threads: Iterable[int], rounds: int) -> list[Row]:
    """Best rows of interleaved rounds, in the order of `READERS`, thread count by thread count."""
    readings: dict[tuple[int, str], list[dict[str, Any]]] = {(n, name): [] for n in threads for name in READERS}
    missing = set()
    for _ in range(rounds):
        for (count, name), found in readings.items():
            sampled = name in SAMPLED
            reading = None if name in missing else read_once(name, count, long if sampled else short)
            if reading is None:
                missing.add(name)
                continue
            expected = STEPS if sampled else round(60 * RATE * minutes[0])
            if reading["pictures"] != expected:
                raise SystemExit(f"{name} read {reading['pictures']} pictures where there are {expected}.")
            found.append(reading)
    for name in sorted(missing):
        print(f"{name}: not installed", file=sys.stderr)
    rows = []
    for (count, name), found in readings.items():
        if found:
            scale = 1000 / (60 * minutes[name in SAMPLED])
            best = {key: min(reading[key] for reading in found) for key in found[0]}
            times = best["seconds"] * scale, best["processor"] * scale
            rows.append(Row(name, count, *times, best["peak_mb"], best["before_mb"]))
    return rows


def ratios(rows: list[Row]) -> dict[str, float]:
    """How the engine compares, by name: above 1 it is the faster one, except for the cost of the residual."""
    times = {(row.name, row.threads): row.milliseconds for row in rows}
    found: dict[str, float] = {}

    def compare(label: str, slower: tuple[str, int], faster: tuple[str, int]) -> None:
        if slower in times and faster in times:
            found[label] = times[slower] / times[faster]

    for count in sorted({row.threads for row in rows}):
        ours = ("bitstream", count)
        suffix = f", {count} thread{'s' if count > 1 else ''}"
        compare(f"libav / bitstream{suffix}", ("libav", count), ours)
        compare(f"libav-default / bitstream{suffix}", ("libav-default", count), ours)
        compare(f"mv-extractor / bitstream{suffix}", ("mv-extractor", count), ours)
        compare(f"mv-extractor-default / bitstream{suffix}", ("mv-extractor-default", count), ours)
        dense = [(name, count) for name in _DENSE if (name, count) in times]
        if dense:
            compare(f"fastest rgb / bitstream{suffix}", min(dense, key=times.__getitem__), ours)
        compare(f"bitstream+residual / bitstream{suffix}", ("bitstream+residual", count), ours)
        compare(f"libav at full rate / bitstream-128-steps{suffix}", ("libav", count), ("bitstream-128-steps", count))
        if count > 1:
            compare(f"bitstream, 1 thread / {count} threads", ("bitstream", 1), ours)
    return found


def report(clip: dict[str, Any]) -> None:
    """Print a clip's tables."""
    print(f"{clip['clip']}: 1280x720, {RATE} pictures a second, {clip['megabits']:.2f} Mbit/s, x264 medium, crf 23")
    print(f"{'':22} threads  ms/s of video   processor  peak MB (at start)")
    rows = clip["rows"] + clip["also"]
    for row in sorted(rows, key=lambda row: row["threads"]):
        print(
            f"{row['name']:22} {row['threads']:7} {row['ms_per_video_second']:14.2f}"
            f" {row['processor_ms_per_video_second']:11.2f} {row['peak_mb']:8.0f} ({row['before_mb']:.0f})"
            f"   {READERS[row['name']].settings}"
        )
    for label, ratio in clip["ratios"].items():
        print(f"  {label}: {ratio:.2f}")
    print()


def main() -> None:
    """Make the clips, time all readers on them, print tables or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", nargs="+", choices=[*FOOTAGE, "all"], default=["cabac-1.4"])
    parser.add_argument("--minutes", type=int, default=1, help="of the clips that are read as a whole")
    parser.add_argument("--long", type=int, default=10, help="minutes of the clip that is read in part")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    busy = warn_if_busy()
    clips = []
    for name in FOOTAGE if "all" in options.clip else options.clip:
        with tempfile.TemporaryDirectory(prefix="himmel-bench-") as folder:
            short = lengthen(footage(name), Path(folder) / "short.mp4", minutes=options.minutes)
            long = lengthen(footage(name), Path(folder) / "long.mp4", minutes=options.long)
            rows = measure(short, long, (options.minutes, options.long), options.threads, options.rounds)
            clip: dict[str, Any] = {
                "clip": name,
                "megabits": megabits(short),
                "load": busy,
                "rows": [row.as_json() for row in rows if row.name not in ALSO],
                "also": [row.as_json() for row in rows if row.name in ALSO],
                "ratios": ratios(rows),
            }
        clips.append(clip)
        if not options.json:
            report(clip)
    if options.json:
        print(json.dumps(clips[0] if len(clips) == 1 else clips))


if __name__ == "__main__":
    main()
