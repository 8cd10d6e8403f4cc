"""Whether extraction gives the same bytes every time and on any number of threads.

    python -m benchmarks.repeatability [VIDEO ...] [--runs 20] [--json]

Without VIDEO it takes the sample clips. Hashes every array of a decomposition (anchors, maps, times), `runs` times for
each of 1, 2 and 4 threads, and says how many different hashes it saw: 1 is right.
"""

import argparse
import hashlib
import json
from dataclasses import fields
from pathlib import Path

import numpy as np

from himmel.nano.assets import get_sample_clip
from himmel.video import Decomposition, Video


def fingerprint(decomposition: Decomposition) -> str:
    """Hash of all that was read of the video, in order."""
    digest = hashlib.sha256()
    for anchor, interval in zip(decomposition.anchors, decomposition.intervals, strict=True):
        arrays = [getattr(interval.maps, field.name) for field in fields(interval.maps)]
        for array in (anchor.image, interval.frames, interval.times, *arrays):
            digest.update(str((array.dtype, array.shape)).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def main() -> None:
    """Print one row per video."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", nargs="*", type=Path)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for path in options.video or [get_sample_clip("bikes"), get_sample_clip("carphone")]:
        seen = {
            fingerprint(Video(path).decompose(threads=threads)) for threads in (1, 2, 4) for _ in range(options.runs)
        }
        rows.append({"video": path.name, "runs": 3 * options.runs, "different": len(seen)})
    if options.json:
        print(json.dumps({"rows": rows}))
        return
    for row in rows:
        print(f"{row['video']:24} {row['runs']} runs on 1, 2 and 4 threads: {row['different']} different result(s)")


if __name__ == "__main__":
    main()
