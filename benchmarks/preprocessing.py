"""What it costs to get from a file to what a model is shown, in ms per second of video, by stage (report, M.3).

    python -m benchmarks.preprocessing [--minutes 1 10 60] [--threads 1 2] [--workers 1 2] [--rounds 3]
        [-o docs/results/preprocessing.json]

The ways:

    dense-32     32 exact frames as RGB (`Video.frames`)
    dense-all    every picture as RGB (PyAV, frame and slice threads)
    bitstream, libav, coviar, proxy
                 8 anchors and 8 x 16 steps of motion and residual (`Video.decompose`), from that backend

A reading is a process of its own, or several at once (`--workers`, one thread each, as data loaders have them; each
reads the whole file). Modules are imported before the clock starts. Rounds are interleaved, so that all ways meet the
same disturbances. The table has the best and the median of the wall times, and the best processor time, which other
work on the machine disturbs less. Stages are those of the round with the best wall time; opening a file includes its
index and one decoded picture, and `coviar` encodes the whole file again in its stage `extract`. 32 frames and 128 steps
are as many in an hour as in a minute: figures are comparable at one length alone.

What would take longer than `--most` seconds, by the figures of the shorter length, is left out and named.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.footage import FOOTAGE, footage, keyframe_spacing, lengthen, megabits
from benchmarks.process import warn_if_busy
from benchmarks.readers import READERS
from himmel._files import atomic_path
from himmel._memory import peak_memory
from himmel._versions import versions

FRAMES, ANCHORS, STEPS = 32, 8, 16
BACKENDS = ("bitstream", "libav", "coviar", "proxy")
WAYS = ("dense-32", "dense-all", *BACKENDS)
# A load above this is more than this benchmark's own work of the minute before.
_BUSY = 0.5


@dataclass(frozen=True)
class Row:
    """One way on one video; times in ms per second of video.

    Attributes:
        threads: of each process; workers: processes at once, each with the whole video.
        wall, wall_median: best and median of the rounds, of all processes together.
        processor: the best round's, per process.
        stages: of the round with the best wall time; the mean of its processes.
        peak_mb: most memory of a process.
    """

    way: str
    minutes: float
    threads: int
    workers: int
    wall: float
    wall_median: float
    processor: float
    stages: dict[str, float]
    peak_mb: float


def prepare(way: str) -> Callable[[Path, int], dict[str, float]]:
    """Import what a way needs; returns the reading: (path, threads) -> seconds by stage."""
    if way == "dense-all":
        decode = READERS["rgb-pyav"].prepare()

        def read_all(path: Path, threads: int) -> dict[str, float]:
            begin = time.perf_counter()
            decode(path, threads)
            return {"decode": time.perf_counter() - begin}

        return read_all
    from himmel.video import Video

    def read(path: Path, threads: int) -> dict[str, float]:
        video = Video(path)
        if way == "dense-32":
            return video.frames(num_frames=FRAMES, threads=threads).seconds
        backend: Any = way
        return video.decompose(num_anchors=ANCHORS, steps_per_interval=STEPS, backend=backend, threads=threads).seconds

    return read


def work(way: str, threads: int, path: Path) -> None:
    """What one process does: import, say so, wait for a line, read, and print what it took."""
    read = prepare(way)
    print("ready", flush=True)
    sys.stdin.readline()
    begin = time.process_time()
    stages = read(path, threads)
    print(json.dumps({"processor": time.process_time() - begin, "stages": stages, "peak_mb": peak_memory() / 1e6}))


def read_once(way: str, threads: int, workers: int, path: Path) -> dict[str, Any]:
    """Let processes read at once; wall seconds of all, and means of what each says."""
    command = [sys.executable, "-m", "benchmarks.preprocessing", "--work", way, str(threads), str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(workers)
    ]
    streams = []
    for process in started:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise SystemExit(f"{way} cannot be started.")
        streams.append((process.stdin, process.stdout))
    begin = time.perf_counter()
    for stdin, _ in streams:
        stdin.write("go\n")
        stdin.flush()
    lines = [stdout.readline() for _, stdout in streams]
    wall = time.perf_counter() - begin
    if any(process.wait() for process in started):
        raise SystemExit(f"{way} failed on {path}.")
    found = [json.loads(line) for line in lines]
    return {
        "wall": wall,
        "processor": sum(one["processor"] for one in found) / workers,
        "stages": {name: sum(one["stages"][name] for one in found) / workers for name in found[0]["stages"]},
        "peak_mb": max(one["peak_mb"] for one in found),
    }


def measure(
    path: Path, minutes: float, ways: Sequence[str], settings: Sequence[tuple[int, int]], rounds: int
) -> list[Row]:
    """Rows of one video, in interleaved rounds; `settings` are (threads, workers)."""
    readings: dict[tuple[str, int, int], list[dict[str, Any]]] = {
        (way, threads, workers): [] for threads, workers in settings for way in ways
    }
    for _ in range(rounds):
        for (way, threads, workers), found in readings.items():
            found.append(read_once(way, threads, workers, path))
    rows = []
    for (way, threads, workers), found in readings.items():
        scale = 1000 / (60 * minutes)
        best = min(found, key=lambda one: one["wall"])
        rows.append(
            Row(
                way,
                minutes,
                threads,
                workers,
                wall=scale / workers * best["wall"],
                wall_median=scale / workers * median(one["wall"] for one in found),
                processor=scale * min(one["processor"] for one in found),
                stages={name: scale * seconds for name, seconds in best["stages"].items()},
                peak_mb=max(one["peak_mb"] for one in found),
            )
        )
    return rows


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All lengths, the shortest first."""
    load = warn_if_busy()
    settings = [(threads, 1) for threads in options.threads]
    settings += [(1, workers) for workers in options.workers if workers > 1]
    rows: list[Row] = []
    left_out = []
    clip = footage(options.clip)
    for minutes in sorted(options.minutes):
        known = {row.way: row.wall for row in rows if (row.threads, row.workers) == settings[0]}
        ways = []
        for way in options.way:
            seconds = known.get(way, 0.0) * 60 * minutes / 1000
            if seconds > options.most or (rows and way not in known):
                left_out.append({"way": way, "minutes": minutes, "seconds": round(seconds) or None})
            else:
                ways.append(way)
        with tempfile.TemporaryDirectory(prefix="himmel-bench-") as folder:
            path = lengthen(clip, Path(folder) / "long.mp4", minutes=minutes)
            rows += measure(path, minutes, ways, settings, options.rounds)
    return {
        "command": "python -m benchmarks.preprocessing",
        "clip": f"{options.clip}: 1280 x 720, 25 pictures a second, {megabits(clip):.2f} Mbit/s, a keyframe every "
        f"{keyframe_spacing(clip):.1f} s",
        "cores": os.cpu_count(),
        "rounds": options.rounds,
        "load": load,
        "machine": "busy with other work: compare processor times" if load > _BUSY else "idle",
        "rows": [asdict(row) for row in rows],
        "left_out": left_out,
        "versions": versions(),
    }


def report(found: dict[str, Any]) -> None:
    """Print the table."""
    print(f"{found['clip']}; {found['cores']} cores, {found['rounds']} rounds, {found['machine']}")
    print("ms per second of video")
    print(f"{'':12} minutes threads workers     wall (median)  processor  peak MB  stages")
    for row in found["rows"]:
        stages = ", ".join(f"{name} {value:.2f}" for name, value in row["stages"].items())
        print(
            f"{row['way']:12} {row['minutes']:7g} {row['threads']:7} {row['workers']:7} {row['wall']:8.2f}"
            f" ({row['wall_median']:6.2f}) {row['processor']:10.2f} {row['peak_mb']:8.0f}  {stages}"
        )
    for one in found["left_out"]:
        why = "left out at a shorter length" if one["seconds"] is None else f"about {one['seconds']} s a reading"
        print(f"{one['way']:12} {one['minutes']:7g}  not measured ({why})")


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cores = sorted({1, os.cpu_count() or 1})
    parser.add_argument("--clip", choices=FOOTAGE, default="cabac-1.4")
    parser.add_argument("--way", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10, 60])
    parser.add_argument("--threads", type=int, nargs="+", default=cores)
    parser.add_argument("--workers", type=int, nargs="+", default=cores)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most", type=float, default=300, help="seconds that a reading may take")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for the results")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        way, threads, path = options.work
        work(way, int(threads), Path(path))
        return
    found = run(options)
    report(found)
    if options.output:
        with atomic_path(options.output) as temporary:
            temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
