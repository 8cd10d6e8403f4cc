"""What each stage of the bitstream engine costs on one thread.

    python -m benchmarks.engine_stages VIDEO [--rounds 5] [--json]

Rows: headers (everything walked, nothing kept), vectors and vectors + residual as parsed, and both rasterised on 16x16
cells. Packets are demuxed before the clock starts; stages take turns, and the best round of each counts.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import av

from himmel_bitstream import Picture, Stream

STAGES: dict[str, Callable[[Picture], object] | None] = {
    "headers": None,
    "vectors": lambda picture: picture.parse(),
    "vectors+residual": lambda picture: picture.parse(residual=True),
    "vectors, maps": lambda picture: picture.maps(residual=False),
    "vectors+residual, maps": lambda picture: picture.maps(),
}


def measure(path: Path, rounds: int) -> dict[str, float]:
    """Milliseconds per second of video of each stage."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        packets = [bytes(packet) for packet in container.demux(video) if packet.size]
        extradata = video.codec_context.extradata
        seconds = len(packets) / float(video.average_rate or 25)
    best = dict.fromkeys(STAGES, float("inf"))
    for _ in range(rounds):
        for name, ask in STAGES.items():
            begin = time.perf_counter()
            stream = Stream(extradata)
            for number, packet in enumerate(packets):
                for picture in stream.push(packet, number=number, position=number, keep=ask is not None):
                    if ask is not None:
                        ask(picture)
            best[name] = min(best[name], (time.perf_counter() - begin) * 1000 / seconds)
    return best


def main() -> None:
    """Print the stages as a table or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.video, options.rounds)
    if options.json:
        print(json.dumps({"video": str(options.video), "ms_per_video_second": found}))
        return
    for name, value in found.items():
        print(f"{name:24} {value:8.2f} ms per second of video")


if __name__ == "__main__":
    main()
