"""How long `himmel ask` takes in a process of its own, on ten seconds of 720p, and where the time goes.

    python -m benchmarks.ask_time [--rounds 3] [--threads 2] [--json FILE]

The command is timed from its start to its end, as the person at the keyboard waits for it. A second process does the
same in steps and tells when each is done: modules imported, model loaded, file read, question answered. The fastest of
the rounds counts, as files are in the system's cache from the second round on. The goal is 4 s.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av

from benchmarks.footage import footage
from benchmarks.process import warn_if_busy
from himmel._files import atomic_path
from himmel._versions import versions

_SECONDS = 10
_QUESTION = "Which way does the camera move?"
_CHOICES = ("--choice", "left", "--choice", "right")
_COMMAND = "from himmel.cli import main; main()"
_STEPS = """
import sys, time
told = [("start", time.time())]
from himmel._garbage import without_collections
with without_collections():
    from himmel.methods.session import Session
    import himmel.model.modeling, peft
told.append(("import", time.time()))
session = Session()
session.model
told.append(("load", time.time()))
answer = session.ask(sys.argv[1], sys.argv[2], choices=["left", "right"])
told.append(("read and answer", time.time()))
print(*(f"{name}={at}" for name, at in told), sep=";")
"""


def main() -> None:
    """Time both processes and print the fastest of each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    busy = warn_if_busy()
    with tempfile.TemporaryDirectory(prefix="himmel-bench-") as folder:
        clip = _first(footage("cabac-1.4"), Path(folder) / "ten.mp4")
        whole, steps = [], []
        for _ in range(options.rounds):
            whole.append(_wait(_COMMAND, "ask", clip, _QUESTION, *_CHOICES, threads=options.threads)[0])
            steps.append(_by_steps(clip, options.threads))
    best = {name: min(step[name] for step in steps) for name in steps[0]}
    print(f"himmel ask: {min(whole):.2f} s (first round {whole[0]:.2f} s)")
    for name, seconds in best.items():
        print(f"  {name:16} {seconds:6.2f} s")
    if options.json is not None:
        found = {"threads": options.threads, "load_average": busy, "versions": versions("accelerate")}
        with atomic_path(options.json) as file:
            file.write_text(json.dumps({**found, "ask": whole, "steps": steps}, indent=1) + "\n", encoding="utf-8")


def _by_steps(clip: Path, threads: int) -> dict[str, float]:
    """Seconds of each step; the first is that of the interpreter."""
    begun = time.time()
    _, output = _wait(_STEPS, clip, _QUESTION, threads=threads)
    found: dict[str, float] = {}
    for item in output.strip().splitlines()[-1].split(";"):
        name, _, at = item.partition("=")
        found[name], begun = float(at) - begun, float(at)
    return found


def _wait(code: str, *arguments: str | Path, threads: int) -> tuple[float, str]:
    """Run Python code in a process of its own; how long it took, and what it printed."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    begun = time.monotonic()
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)}
    )
    return time.monotonic() - begun, done.stdout


def _first(source: Path, target: Path) -> Path:
    """Copy the packets of the first seconds."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        video = reader.streams.video[0]
        stream = writer.add_stream_from_template(video)
        for packet in reader.demux(video):
            if packet.dts is not None and float(packet.dts * (video.time_base or 0)) < _SECONDS:
                packet.stream = stream
                writer.mux(packet)
    return target


if __name__ == "__main__":
    main()
