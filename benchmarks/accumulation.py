"""What accumulating back to the anchor costs, in processor milliseconds per second of 720p video.

    python -m benchmarks.accumulation [--clip cabac-1.4] [--seconds 8] [--json]

One thread, the first seconds of a clip of `benchmarks.footage`, 4 anchors of 4 steps each, by each backend with and
without `accumulate`; the best of two interleaved rounds. Beside it: how many pictures the longest
way of a step goes back over.
"""

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av

from benchmarks.footage import footage
from himmel.video import Decomposition, Video

_READINGS = (
    ("bitstream", False),
    ("bitstream", True),
    ("libav", False),
    ("libav", True),
    ("proxy", False),
    ("proxy", True),
    ("coviar", True),
)
_ROUNDS = 2


def cut(source: Path, target: Path, *, seconds: float) -> Path:
    """Copy the packets of the first seconds; return `target`."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(video=0):
            if packet.dts is None or float(packet.dts * packet.time_base) >= seconds:
                break
            packet.stream = stream
            writer.mux(packet)
    return target


def main() -> None:
    """Print one row per backend and setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", default="cabac-1.4")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    best: dict[tuple[str, bool], float] = {}
    found: dict[tuple[str, bool], Decomposition] = {}
    with TemporaryDirectory() as folder:
        path = cut(footage(options.clip), Path(folder) / "clip.mp4", seconds=options.seconds)
        for _ in range(_ROUNDS):
            for reading in _READINGS:
                backend, accumulate = reading
                begin = time.process_time()
                video = Video(path)
                found[reading] = video.decompose(
                    num_anchors=4, steps_per_interval=4, backend=backend, accumulate=accumulate, threads=1
                )
                spent = 1000 * (time.process_time() - begin) / video.duration
                best[reading] = min(spent, best.get(reading, spent))
    rows = [_row(reading, best[reading], found[reading]) for reading in _READINGS]
    if options.json:
        print(json.dumps({"clip": options.clip, "seconds": options.seconds, "rows": rows}))
        return
    for row in rows:
        kind = "accumulated" if row["accumulated"] else ""
        print(
            f"{row['backend']:10} {kind:12} {row['processor_ms_per_video_second']:8.0f} ms"
            f"  {row['longest_way']:4.0f} pictures at most"
        )


def _row(reading: tuple[str, bool], spent: float, decomposition: Decomposition) -> dict[str, Any]:
    ways = [float(interval.maps.past_distance.max(initial=0)) for interval in decomposition.intervals]
    return {
        "backend": reading[0],
        "accumulated": reading[1],
        "processor_ms_per_video_second": spent,
        "longest_way": max(ways),
    }


if __name__ == "__main__":
    main()
