"""From a file of ten minutes to what a model is shown of it: anchors with motion maps against 32 exact frames.

    python -m benchmarks.prompt_time [--clip NAME] [--minutes 10] [--rounds 5] [--threads N] [--json]

himmel opens the file, decodes 8 anchors, reads 8 x 16 steps and puts the maps on the adapter's grid. The others decode
32 frames, uniformly spaced and exact, to RGB of full size. All get the same number of threads (default: one per
processor), run in processes of their own in interleaved rounds, and show their best; imports are not timed. The goal is
a ratio of at least 10 to the fastest of the others. Their time grows with the distance between keyframes, of which a
frame costs half on average: the clip's is printed.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.footage import FOOTAGE, footage, keyframe_spacing, lengthen
from benchmarks.process import read_once, warn_if_busy
from benchmarks.prompts import ANCHORS, FRAMES, PROMPTS, STEPS_PER_INTERVAL


def main() -> None:
    """Make the clip, time all ways, print times and ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", choices=FOOTAGE, default="cabac-1.4")
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    busy = warn_if_busy()
    readings: dict[str, list[dict[str, Any]]] = {name: [] for name in PROMPTS}
    with tempfile.TemporaryDirectory(prefix="himmel-bench-") as folder:
        path = lengthen(footage(options.clip), Path(folder) / "long.mp4", minutes=options.minutes)
        spacing = keyframe_spacing(path)
        for _ in range(options.rounds):
            for name, found in readings.items():
                reading = read_once(name, options.threads, path)
                if reading is None:
                    continue
                expected = ANCHORS * STEPS_PER_INTERVAL if name == "prompt" else FRAMES
                if reading["pictures"] != expected:
                    raise SystemExit(f"{name} read {reading['pictures']} pictures where {expected} were asked for.")
                found.append(reading)
    best = {name: {key: min(r[key] for r in found) for key in found[0]} for name, found in readings.items() if found}
    for name in readings.keys() - best.keys():
        print(f"{name}: not installed", file=sys.stderr)
    others = [name for name in best if name != "prompt"]
    ratio = {key: min(best[name][key] for name in others) / best["prompt"][key] for key in ("seconds", "processor")}
    if options.json:
        rows = [{"name": name, "threads": options.threads, **row} for name, row in best.items()]
        result = {
            "clip": options.clip,
            "minutes": options.minutes,
            "keyframe_seconds": spacing,
            "load": busy,
            "rows": rows,
        }
        print(json.dumps({**result, "ratio": ratio["seconds"], "processor_ratio": ratio["processor"]}))
        return
    print(f"{options.clip}, {options.minutes} minutes, {options.threads} threads, a keyframe every {spacing:.1f} s")
    for name, row in best.items():
        times = f"{1000 * row['seconds']:8.0f} ms  processor {1000 * row['processor']:6.0f} ms"
        print(f"{name:18} {times}  peak {row['peak_mb']:4.0f} MB  {PROMPTS[name].settings}")
    print(f"ratio to the fastest of the others: {ratio['seconds']:.1f} (processor time: {ratio['processor']:.1f})")


if __name__ == "__main__":
    main()
