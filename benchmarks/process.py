"""One reading in a process of its own, so that threads, imports and peak memory are its alone.

    python -m benchmarks.process NAME THREADS PATH

prints one JSON object: seconds and processor seconds of the reading (modules are imported before), pictures, peak
memory in MB, and how much of it was there before reading. With one thread the process is held to one processor, as some
peers always start a thread per processor. Exit status 3: the package is not installed.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.prompts import PROMPTS
from benchmarks.readers import OPENERS, READERS
from himmel._memory import peak_memory

_NOT_INSTALLED = 3


def read_once(name: str, threads: int, path: Path) -> dict[str, Any] | None:
    """What this module prints about one reading; None if the reader is not installed."""
    # Numeric libraries start threads of their own, which are nobody's to give.
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.process", name, str(threads), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode == _NOT_INSTALLED:
        return None
    if done.returncode:
        raise SystemExit(f"{name} failed on {path}:\n{done.stderr}")
    reading: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return reading


def warn_if_busy() -> float:
    """The machine's load average of the last minute; says so on stderr when it is high."""
    busy = os.getloadavg()[0]
    if busy > 0.5:
        print(f"Other processes are running (load {busy:.1f}): trust processor times rather.", file=sys.stderr)
    return busy


def main() -> None:
    """Read one file in one way."""
    readers = OPENERS | READERS | PROMPTS
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=readers)
    parser.add_argument("threads", type=int)
    parser.add_argument("path", type=Path)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-options.threads :])
    try:
        read = readers[options.name].prepare()
    except (ImportError, RuntimeError) as error:  # torchcodec raises the latter where it finds no FFmpeg
        print(str(error).splitlines()[0], file=sys.stderr)
        sys.exit(_NOT_INSTALLED)
    before, begin, begin_processor = peak_memory() / 1e6, time.perf_counter(), time.process_time()
    pictures = read(options.path, options.threads)
    seconds, processor = time.perf_counter() - begin, time.process_time() - begin_processor
    measured = {"seconds": seconds, "processor": processor, "pictures": pictures}
    print(json.dumps({**measured, "peak_mb": peak_memory() / 1e6, "before_mb": before}))


if __name__ == "__main__":
    main()
