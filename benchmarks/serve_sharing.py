"""What a second question about a video costs beside the first: nothing is read, prepared or looked at again.

    python -m benchmarks.serve_sharing [--methods himmel dense] [--minutes 1] [--rounds 3] [--threads 1] [--json]

Each round asks two questions about 720p in a session of its own (the default model; loaded and warm before), and the
median over rounds is printed: seconds of each question by stage, and their ratio. One new token is asked for, so that
what is shared shows.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.clips import long_clip
from benchmarks.process import warn_if_busy
from himmel.methods.session import Session

_QUESTIONS = ("Which way does the camera move?", "What is in the video?")


def measure(clip: Path, method: str, *, rounds: int, threads: int) -> dict[str, Any]:
    """Medians of both questions."""
    warm = Session()
    taken: list[list[float]] = []
    stages: list[dict[str, float]] = []
    for _ in range(rounds):
        session = Session(warm.model)
        row = []
        for question in _QUESTIONS:
            begin = time.perf_counter()
            answer = session.ask(clip, question, method=method, max_new_tokens=1, threads=threads)  # type: ignore[arg-type]
            row.append(time.perf_counter() - begin)
            stages.append(answer.seconds)
        taken.append(row)
    first, second = (statistics.median(column) for column in zip(*taken, strict=True))
    return {
        "method": method,
        "first": first,
        "second": second,
        "ratio": first / second,
        "stages_first": stages[-2],
        "stages_second": stages[-1],
    }


def main() -> None:
    """Make a clip, ask twice by each method, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["himmel", "dense"])
    parser.add_argument("--minutes", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    warn_if_busy()
    with tempfile.TemporaryDirectory(prefix="himmel-bench-") as folder:
        clip = Path(folder) / "clip.mp4"
        long_clip(clip, minutes=options.minutes)
        rows = [measure(clip, name, rounds=options.rounds, threads=options.threads) for name in options.methods]
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{'method':<14}{'first, s':>10}{'second, s':>11}{'ratio':>8}")
    for row in rows:
        print(f"{row['method']:<14}{row['first']:>10.2f}{row['second']:>11.2f}{row['ratio']:>8.2f}")
        for which in ("first", "second"):
            print(f"  {which}: " + ", ".join(f"{name} {value:.3f}" for name, value in row[f"stages_{which}"].items()))


if __name__ == "__main__":
    main()
