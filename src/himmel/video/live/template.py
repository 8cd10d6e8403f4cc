"""What a container says about its stream, kept without it, and files of NUT that are written with that.

NUT takes any codec, leaves packets and global headers as they are, and keeps times exactly; FFmpeg's connection to a
source is long gone when a window of it is written.
"""

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
from av.video.stream import VideoStream

TICKS: Final = 90_000
"""Units a second of the times in a window, as in MPEG-2 transport streams (ISO 13818-1)."""
_UNIT: Final = Fraction(1, TICKS)


def keep_template(stream: VideoStream) -> bytes:
    """A NUT file with the parameters of a stream, and no picture of it."""
    kept = io.BytesIO()
    with av.open(kept, "w", format="nut") as container:
        copy = container.add_stream_from_template(stream, opaque=True)
        _put(container, copy, b"\0", 0, 0, True)
    return kept.getvalue()


def write_window(path: Path, template: bytes, packets: Sequence[tuple[bytes, bool]], ticks: Sequence[int]) -> None:
    """Write packets, in decode order, to a new file.

    Args:
        template: from `keep_template`.
        packets: (bytes, whether it is a keyframe).
        ticks: when each is shown, no two at once; decoding times, which some sources do not tell, are made of them.
    """
    due = sorted(ticks)
    ahead = max(time - shown for time, shown in zip(due, ticks, strict=True))
    with (
        av.open(io.BytesIO(template), format="nut") as origin,
        # Or FFmpeg would move all times of a window whose first decoding time is negative.
        av.open(str(path), "w", format="nut", options={"avoid_negative_ts": "disabled"}) as container,
    ):
        stream = container.add_stream_from_template(origin.streams.video[0], opaque=True)
        stream.time_base = _UNIT
        for (data, key), shown, time in zip(packets, ticks, due, strict=True):
            _put(container, stream, data, shown, time - ahead, key)


def _put(
    container: "av.container.OutputContainer",
    stream: VideoStream,
    data: bytes,
    pts: int,
    dts: int,
    key: bool,
) -> None:
    packet = av.Packet(data)
    packet.stream, packet.time_base = stream, _UNIT
    packet.pts, packet.dts, packet.is_keyframe = pts, dts, key
    container.mux(packet)
