"""Peak memory of `himmel ask` on a long video against a short one.

    python -m benchmarks.ask_memory [--short 1] [--long 10] [--json]

Both are 720p of the same content; each question is asked in a process of its own, whose peak resident memory the
command itself reports (`peak_memory`). The goal is a ratio of at most 1.10.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.clips import long_clip


def _ask(path: Path) -> dict[str, Any]:
    command = [
        sys.executable,
        "-c",
        "from himmel.cli import main; main()",
        "ask",
        str(path),
        "Which way does the camera move?",
        "--json",
    ]
    command += ["--choice", "left", "--choice", "right"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def main() -> None:
    """Make both clips, ask, print peak memories and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", type=int, default=1, help="minutes")
    parser.add_argument("--long", type=int, default=10, help="minutes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="himmel-bench-") as folder:
        for minutes in (options.short, options.long):
            path = Path(folder) / f"{minutes}min.mp4"
            long_clip(path, minutes=minutes)
            answer = _ask(path)
            rows.append({"minutes": minutes, "peak_mb": answer["peak_memory"] / 1e6, "seconds": answer["seconds"]})
    ratio = rows[1]["peak_mb"] / rows[0]["peak_mb"]
    if options.json:
        print(json.dumps({"rows": rows, "ratio": ratio}))
        return
    for row in rows:
        print(f"{row['minutes']:>3} min  {row['peak_mb']:8.1f} MB")
    print(f"ratio  {ratio:.3f}")


if __name__ == "__main__":
    main()
