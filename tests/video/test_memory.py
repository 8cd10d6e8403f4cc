"""Memory does not grow with the video's length."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import pytest

PROGRAM = """
import resource, sys
from himmel.video import Video
video = Video(sys.argv[1])
video.decompose(threads=1)
print(len(video.times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def repeat(source: Path, target: Path, times: int) -> Path:
    """Put a clip's packets several times one after the other, without coding anything again."""
    with av.open(str(target), "w") as new:
        stream, offset = None, 0
        for _ in range(times):
            end = offset
            with av.open(str(source)) as old:
                stream = stream or new.add_stream_from_template(old.streams.video[0])
                for packet in old.demux(video=0):
                    if packet.size:
                        packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                        end = max(end, packet.pts + packet.duration)
                        packet.stream = stream
                        new.mux(packet)
            offset = end
    return target


def peak(path: Path) -> tuple[int, int]:
    """(pictures, peak resident memory) of a process that decomposes a file."""
    out = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, check=True).stdout
    pictures, memory = out.split()
    return int(pictures), int(memory)


@pytest.mark.slow
def test_ten_minutes_take_no_more_memory_than_one(tmp_path: Path, write_clip: Callable, pan: Callable) -> None:
    """Within 10 % at 720p, however long the video."""
    piece = write_clip(
        tmp_path / "piece.mp4", pan(125, (1280, 720)), options={"preset": "ultrafast", "g": "25", "bf": "2"}
    )
    pictures, one = peak(repeat(piece, tmp_path / "1.mp4", 12))
    assert pictures == 1500
    pictures, ten = peak(repeat(piece, tmp_path / "10.mp4", 120))
    assert pictures == 15000
    assert ten < 1.1 * one
