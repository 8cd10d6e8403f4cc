"""Memory of a live video that is watched for long: a stream over HTTP that drops, comes back and changes.

    nice python -m benchmarks.watch_memory --minutes 30 [--ask] [-o FILE.json]

A process of its own sends 640 x 360 H.264 at its real rate as MPEG-TS on loopback, and hangs up every 45 s. Each
connection brings other parameter sets (CABAC with B pictures, CAVLC without), each fifth one pictures of another size,
and each third one a clock that begins anew. This process tells events with a window of two minutes, and with `--ask`
asks the default model a question a minute. A line a minute shows the most resident memory in it.

The window is full after two minutes, and all kinds of connection have been there after four: growth is the median of
the last quarter of the minutes after that over the median of the first. Exit status 1: it is over 5 % and 10 MB.
"""

import argparse
import http.server
import itertools
import json
import multiprocessing
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

import himmel
from himmel.video import LiveVideo

RATE, GROUP, SECONDS = 25, 50, 10
CONNECTED, PAUSE, WINDOW = 45.0, 2.0, 2.0
WARM_UP = 4
_UNIT = Fraction(1, 90_000)
_ALLOWED, _ALLOWED_MB = 0.05, 10.0
_OPTIONS = (
    {"preset": "veryfast", "bf": "2", "g": str(GROUP)},
    {"preset": "veryfast", "profile": "baseline", "g": str(GROUP)},
)
_SIZES = ((640, 360), (480, 272))


@dataclass(frozen=True)
class Minute:
    """What was measured in a minute: memory in MB, the window's length in seconds, and counts since the beginning."""

    minute: int
    resident_mb: float
    window_mb: float
    window_seconds: float
    pictures: int
    connections: int
    events: int
    answers: int


def _encode(options: dict[str, str], size: tuple[int, int]) -> list[tuple[bytes, int, int, bool]]:
    """Ten seconds that pan and rest, as (bytes, pts, dts, key) with times in 1/90000 s."""
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0] * 2, 3), np.uint8)
    ground = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 16, 235, cv2.NORM_MINMAX).astype(np.uint8)
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = *size, "yuv420p"
    context.time_base, context.framerate, context.options = Fraction(1, RATE), Fraction(RATE), options
    context.thread_count = 1
    packets = []
    for k in range(RATE * SECONDS):
        left = 2 * min(k, RATE * SECONDS - k, 80)
        picture = np.ascontiguousarray(ground[:, left : left + size[0]])
        cv2.rectangle(picture, (k % size[0], 100), (k % size[0] + 60, 180), (200, 40, 40), -1)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = k
        packets += context.encode(frame)
    packets += context.encode(None)
    scale = 90_000 // RATE
    return [(bytes(one), one.pts * scale, one.dts * scale, one.is_keyframe) for one in packets]


def _send(handler: http.server.BaseHTTPRequestHandler, clip: list[Any], size: tuple[int, int], start: float) -> None:
    """Send a clip over and over at its rate, for as long as a connection lasts."""
    handler.send_response(200)
    handler.send_header("Content-Type", "video/mp2t")
    handler.end_headers()
    began = time.monotonic()
    with av.open(handler.wfile, "w", format="mpegts", options={"flush_packets": "1"}) as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for turn in itertools.count():
            for data, pts, dts, key in clip:
                due = turn * SECONDS + dts / 90_000
                time.sleep(max(0.0, began + due - time.monotonic()))
                if due > CONNECTED:
                    return
                shift = round((start + turn * SECONDS) * 90_000)
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, _UNIT
                packet.pts, packet.dts, packet.is_keyframe = pts + shift, dts + shift, key
                container.mux(packet)


def serve(port: Connection) -> None:
    """Answer with the stream until the process is ended; its port goes into the pipe."""
    clips = {(k, size): _encode(options, size) for k, options in enumerate(_OPTIONS) for size in _SIZES}
    begin = time.monotonic()
    numbers = itertools.count()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = next(numbers)
            size = _SIZES[number % 5 == 4]
            start = 0.0 if number % 3 == 2 else time.monotonic() - begin
            try:
                time.sleep(PAUSE if number else 0)
                _send(self, clips[number % 2, size], size, start)
            except (OSError, av.FFmpegError):
                # Whoever watched has gone.
                pass
            self.close_connection = True

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        port.send(server.server_address[1])
        server.serve_forever()


def _resident() -> float:
    """Resident memory of this process now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def watch(address: str, minutes: int, *, ask: bool) -> Iterator[Minute]:
    """Watch for so many minutes, and measure each."""
    live = LiveVideo(address, minutes=WINDOW, patience=60)
    counts = {"events": 0, "answers": 0}
    failures: list[BaseException] = []

    def read_events() -> None:
        try:
            for event in live.events():
                counts["events"] += event.kind != "notice"
        except BaseException as error:
            failures.append(error)

    watching = himmel.Watch(live, session=himmel.Session(cache_bytes=0)) if ask else None
    reader = threading.Thread(target=read_events, daemon=True)
    reader.start()
    begin = time.monotonic()
    with live:
        for minute in range(1, minutes + 1):
            most = 0.0
            if watching is not None:
                watching.ask("How does the camera move?", max_new_tokens=8)
                counts["answers"] += 1
            while time.monotonic() - begin < 60 * minute:
                time.sleep(1)
                most = max(most, _resident())
                if failures:
                    raise failures[0]
            state = live.state
            yield Minute(
                minute=minute,
                resident_mb=most,
                window_mb=state.bytes / 1e6,
                window_seconds=state.end - state.start,
                pictures=state.pictures,
                connections=state.connections,
                **counts,
            )


def growth(rows: list[Minute]) -> float | None:
    """How many MB more in the last quarter of the minutes than in the first, after the warm-up; None for too few."""
    resident = [row.resident_mb for row in rows[WARM_UP:]]
    if len(resident) < 2:
        return None
    part = max(1, len(resident) // 4)
    return statistics.median(resident[-part:]) - statistics.median(resident[:part])


def main() -> None:
    """Send and watch, and print a line a minute."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--ask", action="store_true", help="ask the default model a question a minute")
    parser.add_argument("-o", "--output", type=Path, help="also write what was measured as JSON")
    options = parser.parse_args()
    if sys.platform != "linux":
        parser.error("resident memory is read from /proc, which only Linux has")
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    sender = context.Process(target=serve, args=(theirs,), daemon=True)
    sender.start()
    try:
        address = f"http://127.0.0.1:{ours.recv()}/live.ts"
        print("minute  resident MB  window MB  window s  pictures  connections  events  answers")
        rows = []
        for row in watch(address, options.minutes, ask=options.ask):
            rows.append(row)
            print(
                f"{row.minute:6}  {row.resident_mb:11.1f}  {row.window_mb:9.1f}  {row.window_seconds:8.1f}"
                f"  {row.pictures:8}  {row.connections:11}  {row.events:6}  {row.answers:7}",
                flush=True,
            )
    finally:
        sender.terminate()
    more = growth(rows)
    if options.output is not None:
        found = {"minutes": [asdict(row) for row in rows], "growth_mb": more, "asked": options.ask}
        options.output.write_text(json.dumps(found, indent=1) + "\n")
    if more is None:
        print(f"growth: unknown; it is measured from minute {WARM_UP + 1} on, so take at least {WARM_UP + 2} minutes")
        return
    share = more / rows[WARM_UP].resident_mb
    print(f"growth after minute {WARM_UP}: {more:+.1f} MB ({share:+.1%})")
    sys.exit(more > _ALLOWED_MB and share > _ALLOWED)


if __name__ == "__main__":
    main()
