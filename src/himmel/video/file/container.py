"""Opening a file with FFmpeg, and saying in one sentence why that fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from himmel._interrupts import interrupts_kept
from himmel.errors import VideoError
from himmel.video.file.pyav import LENIENT, STREAMS_CAN_BE_DISCARDED
from himmel.video.file.source import show

MAX_SIDE = 16384


@contextmanager
def open_stream(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and its best video stream, single-threaded; frame threads would corrupt motion vectors.

    Raises:
        VideoError: FFmpeg can't read the file, it holds no video, or its pictures are larger than 16384 x 16384.
    """
    try:
        # The protocol is named so that a file called "http:x" or "concat:y" is still a file.
        with interrupts_kept():
            container = av.open(f"file:{path.absolute()}", **LENIENT)
    except (av.FFmpegError, OSError) as error:
        reason = (error.strerror or "unknown error").lower()
        raise VideoError(
            f"{show(path)} cannot be read as a video ({reason}); it is damaged, incomplete or not a video."
        ) from error
    with container:
        yield container, video_stream(container, show(path))


def demux(container: InputContainer, *streams: Stream) -> "Iterator[av.Packet[Any]]":
    """Packets that hold something, of some streams or of all."""
    try:
        yield from (packet for packet in container.demux(*streams) if packet.size)
    except IndexError:
        # At the end of a file, PyAV looks for streams that appeared on the way and that it has not listed.
        return


def video_stream(container: InputContainer, shown: str) -> VideoStream:
    """The best video stream of an open container, single-threaded; others are left out where PyAV allows it.

    Args:
        shown: what messages call the source.

    Raises:
        VideoError: it holds no video, or its pictures are larger than 16384 x 16384.
    """
    moving = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    # FFmpeg draws plain text as ANSI art; that is not a video.
    if not moving or container.format.name == "tty":
        kinds = sorted({stream.type for stream in container.streams})
        what = " and ".join(kinds) if kinds and container.format.name != "tty" else "no media"
        raise VideoError(f"{shown} has no video stream (it holds {what}); name a file with pictures.")
    best = container.streams.best("video")
    stream = best if isinstance(best, VideoStream) and best in moving else moving[0]
    context = stream.codec_context
    if context is None:
        raise VideoError(f"{shown} uses a codec that this FFmpeg build cannot decode; convert it to H.264 first.")
    if container.format.name == "webp_pipe" and not context.width:
        raise VideoError(f"{shown} is an animated WebP picture, which FFmpeg cannot decode; convert it to MP4 first.")
    if not context.width and not context.height:
        raise VideoError(f"{shown} does not say how large its pictures are; it is damaged, incomplete or encrypted.")
    if not (0 < context.width <= MAX_SIDE and 0 < context.height <= MAX_SIDE):
        raise VideoError(
            f"{shown} says that its pictures are {context.width} x {context.height} pixels;"
            f" sizes from 1 x 1 to {MAX_SIDE} x {MAX_SIDE} can be read."
        )
    context.thread_count = 1
    if STREAMS_CAN_BE_DISCARDED:
        for other in container.streams:
            if other.index != stream.index:
                other.discard = av.stream.Discard.all
    return stream
