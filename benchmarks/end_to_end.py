"""From a file to the first token of an answer, by every method, on videos of several lengths.

    python -m benchmarks.end_to_end [--minutes 1 10 60] [--method NAME ...] [--threads 1 2] [--rounds 3]
        [--host FOLDER] [--adapter FOLDER] [--frames 32] [--clip NAME] [-o FILE.json]

Each reading is a process of its own, held to as many processors as it has threads. It loads the model, answers once
about a clip of six seconds by the same method, so that nothing is warmed for one method alone, and then opens the
video, reads it and generates one token: that is timed, with opening, extraction, hashing and the vision tower in it.
Methods take turns. Printed are the fastest wall and processor times, seconds by stage, prompt tokens by kind, what was
removed, and the peak memory, of which `loaded` was there before the video. Ratios are to `dense`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, get_args

from benchmarks.footage import FOOTAGE, footage, keyframe_spacing, lengthen
from benchmarks.process import warn_if_busy
from himmel._files import atomic_path
from himmel._memory import peak_memory
from himmel._versions import versions
from himmel.choices import MethodName

QUESTION = "What happens in the video?"
# These need an adapter that was trained for them, or a file of options.
_LEFT_OUT = {"rgb_diff"}
# By default, it holds more entries than 32 of nano's pictures take.
_FURTHER: dict[str, dict[str, Any]] = {"hermes": {"budget": 256}}


def measure(path: Path, warm: Path, method: str, options: argparse.Namespace) -> dict[str, Any]:
    """One reading in this process."""
    from himmel.methods.choice import METHODS, option_names
    from himmel.methods.session import Session

    names = option_names(METHODS[method])  # type: ignore[index]
    own: dict[str, Any] = {"num_frames": options.frames} if "num_frames" in names and method != "panel" else {}
    session = Session(host=options.host, adapter=options.adapter, cache_bytes=0)
    own |= _FURTHER.get(method, {})
    settings: dict[str, Any] = {"method": method, "max_new_tokens": 1, "threads": options.threads, **own}
    session.ask(warm, QUESTION, **settings)
    loaded, begin, processor = peak_memory(), time.perf_counter(), time.process_time()
    answer = session.ask(path, QUESTION, **settings)
    return {
        "seconds": answer.first_token,
        "whole": time.perf_counter() - begin,
        "processor": time.process_time() - processor,
        "stages": answer.seconds,
        "tokens": answer.tokens,
        "removed": None if answer.removed is None else vars(answer.removed),
        "frames": len(answer.video.anchors),
        "backend": answer.video.backend,
        "loaded_mb": loaded / 1e6,
        "peak_mb": answer.peak_memory / 1e6,
    }


def _read_once(path: Path, warm: Path, method: str, threads: int, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.end_to_end", "--one", str(path), str(warm), "--method", method]
    command += ["--threads", str(threads), "--frames", str(options.frames)]
    for name in ("host", "adapter"):
        if vars(options)[name] is not None:
            command += [f"--{name}", vars(options)[name]]
    # As the command line sets them.
    waiting = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "3000"}
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), **waiting}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _best(readings: list[dict[str, Any]]) -> dict[str, Any]:
    """The reading with the fastest wall time, with the least processor time of all."""
    whole = [one for one in readings if "error" not in one]
    if not whole:
        return readings[0]
    return {**min(whole, key=lambda one: one["seconds"]), "processor": min(one["processor"] for one in whole)}


def _run(options: argparse.Namespace) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="himmel-bench-") as folder:
        warm = lengthen(footage(options.clip), Path(folder) / "warm.mp4", minutes=0.1)
        for minutes in options.minutes:
            path = lengthen(footage(options.clip), Path(folder) / "long.mp4", minutes=minutes)
            spacing = keyframe_spacing(path)
            for threads in options.threads:
                readings: dict[str, list[dict[str, Any]]] = {method: [] for method in options.method}
                for _ in range(options.rounds):
                    for method, found in readings.items():
                        found.append(_read_once(path, warm, method, threads, options))
                for method, found in readings.items():
                    row = {"method": method, "minutes": minutes, "threads": threads, "keyframe_seconds": spacing}
                    rows.append(row | _best(found))
                    _print(rows[-1], rows)
    return rows


def _print(row: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    place = f"{row['minutes']:>4g} min {row['threads']} threads  {row['method']:14}"
    if "error" in row:
        print(f"{place} {row['error']}")
        return
    alike = [one for one in rows if (one["minutes"], one["threads"]) == (row["minutes"], row["threads"])]
    dense = next((one for one in alike if one["method"] == "dense" and "error" not in one), None)
    ratio = "" if dense is None else f"  dense / this {dense['seconds'] / row['seconds']:5.2f}"
    stages = ", ".join(f"{name} {value:.2f}" for name, value in row["stages"].items())
    tokens = " + ".join(f"{count} {kind}" for kind, count in row["tokens"].items() if count)
    gone = row["removed"]
    kept = "" if gone is None else f"  kept {gone['after']} of {gone['before']} {gone['unit']}"
    print(
        f"{place} {row['seconds']:6.2f} s (processor {row['processor']:6.2f}){ratio}  {tokens}{kept}  "
        f"peak {row['peak_mb']:5.0f} MB, loaded {row['loaded_mb']:5.0f}  [{stages}]",
        flush=True,
    )


def main() -> None:
    """Time all methods and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10, 60])
    parser.add_argument("--method", nargs="+", choices=get_args(MethodName))
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--host")
    parser.add_argument("--adapter")
    parser.add_argument("--clip", choices=FOOTAGE, default="cabac-1.4")
    parser.add_argument("--one", nargs=2, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    if options.one is not None:
        options.threads = options.threads[0]
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-options.threads :])
        print(json.dumps(measure(*options.one, options.method[0], options)))
        return
    everything = [name for name in get_args(MethodName) if name not in _LEFT_OUT]
    # `dense` first: the others are compared with it.
    options.method = sorted(options.method or everything, key=lambda name: name != "dense")
    busy = warn_if_busy()
    rows = _run(options)
    if options.output is not None:
        content = {
            "benchmark": "end-to-end",
            "clip": options.clip,
            "load": busy,
            "host": options.host or "nano",
            "dense_frames": options.frames,
            "versions": versions(),
            "rows": rows,
        }
        with atomic_path(options.output) as file:
            file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
