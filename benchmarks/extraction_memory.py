"""Peak memory of extraction from a long file against a short one: full rate, sampled, and `Video.decompose`.

    python -m benchmarks.extraction_memory [--short 1] [--long 60] [--threads 2] [--json]

Both are 720p of the same footage, each read in a process of its own. `open` shows what FFmpeg's own index of the file
takes, `demux` whether reading packets adds to it; `index` adds this project's, of 60 bytes a picture with its times.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.footage import footage, lengthen
from benchmarks.process import read_once

_NAMES = ("open", "demux", "index", "bitstream", "bitstream+residual", "bitstream-128-steps", "decompose")


def main() -> None:
    """Make both files, read them, print peak memories and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", type=int, default=1, help="minutes")
    parser.add_argument("--long", type=int, default=60, help="minutes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    peaks: dict[str, list[float]] = {name: [] for name in _NAMES}
    with tempfile.TemporaryDirectory(prefix="himmel-bench-") as folder:
        for minutes in (options.short, options.long):
            path = lengthen(footage("cabac-1.4"), Path(folder) / f"{minutes}min.mp4", minutes=minutes)
            for name, found in peaks.items():
                reading = read_once(name, options.threads, path)
                if reading is None:
                    raise SystemExit("himmel was installed without its bitstream engine: make native")
                found.append(reading["peak_mb"])
    rows: list[dict[str, Any]] = [
        {"name": name, "minutes": [options.short, options.long], "peak_mb": found, "ratio": found[1] / found[0]}
        for name, found in peaks.items()
    ]
    if options.json:
        print(json.dumps({"threads": options.threads, "rows": rows}))
        return
    for row in rows:
        short, long = row["peak_mb"]
        print(f"{row['name']:20} {options.short:3} min {short:6.1f} MB  {options.long:3} min {long:6.1f} MB", end="  ")
        print(f"ratio {row['ratio']:.3f}")


if __name__ == "__main__":
    main()
