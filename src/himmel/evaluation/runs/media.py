"""What an item is about, as something that a model can be asked about: a file, or a picture in memory.

Every method reads video files. A folder of pictures is therefore encoded first, and of a video of which only a part is
asked about, that part is cut out: packets are copied, so that motion vectors and residuals stay those of the file. Both
are kept in a folder for the length of a run.
"""

import hashlib
import io
import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from himmel._files import atomic_path
from himmel.errors import HimmelError, VideoError
from himmel.evaluation.benchmarks.media import frame_files
from himmel.evaluation.items import Item
from himmel.methods.source import MediaSource
from himmel.methods.still import MOST_PIXELS

_QUALITY: Final = "16"
"""CRF of x264 for folders of pictures: what JPEG lost before is more."""
_CUTTABLE: Final = ("h264", "hevc", "mpeg4", "vp9", "av1")
"""Codecs that an MP4 file can hold, whose edit list hides what comes before a cut's start."""


def open_media(item: Item, scratch: Path) -> MediaSource:
    """What `Session.ask` takes for an item.

    Args:
        item: of a benchmark.
        scratch: a folder for what has to be written first; a file that is there already is used again.

    Raises:
        VideoError: the media cannot be read or cut.
    """
    try:
        if item.kind == "image":
            return _picture(item)
        assert item.path is not None
        if item.kind == "frames":
            return _made(item, scratch, _encode)
        return item.path if item.start is None and item.end is None else _made(item, scratch, _cut)
    except VideoError:
        raise
    except (HimmelError, OSError, ValueError, av.FFmpegError) as error:
        raise VideoError(f"{item.media!r} cannot be shown ({' '.join(str(error).split())}).") from error


def _picture(item: Item) -> Image.Image:
    content = item.read_picture()
    try:
        picture = Image.open(io.BytesIO(content))
        width, height = picture.size
        if width * height > MOST_PIXELS:
            raise VideoError(f"{item.media!r} has {width} x {height} pixels, more than {MOST_PIXELS:,}.")
        return ImageOps.exif_transpose(picture).convert("RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, EOFError) as error:
        raise VideoError(f"{item.media!r} cannot be read as a picture ({' '.join(str(error).split())}).") from error


def _made(item: Item, scratch: Path, make: Callable[[Item, Path], None]) -> Path:
    mark = hashlib.sha256(repr((str(item.path), item.start, item.end, item.frame_rate)).encode()).hexdigest()[:24]
    target = scratch / f"{mark}.mp4"
    if not target.is_file():
        with atomic_path(target) as temporary:
            make(item, temporary)
    return target


def _encode(item: Item, target: Path) -> None:
    """A folder of pictures as a video at its rate; all in the size of the first, made even."""
    timed = frame_files(item)
    rate = Fraction(item.frame_rate or 1.0).limit_denominator(1000)
    first = _read(timed[0][1])
    size = max(2, first.shape[1] // 2 * 2), max(2, first.shape[0] // 2 * 2)
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": _QUALITY, "preset": "fast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.thread_count = 1
        for index, (_, path) in enumerate(timed):
            picture = np.asarray(cv2.resize(_read(path), size, interpolation=cv2.INTER_AREA), np.uint8)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _read(path: Path) -> npt.NDArray[np.uint8]:
    try:
        with Image.open(path) as picture:
            if picture.size[0] * picture.size[1] > MOST_PIXELS:
                raise VideoError(f"{str(path)!r} has more than {MOST_PIXELS:,} pixels.")
            return np.asarray(picture.convert("RGB"), np.uint8)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, EOFError) as error:
        raise VideoError(f"{str(path)!r} cannot be read as a picture ({' '.join(str(error).split())}).") from error


def _cut(item: Item, target: Path) -> None:
    """The part from start to end: packets from the keyframe before on, shown from the start."""
    begin, end = item.start or 0.0, math.inf if item.end is None else item.end
    with av.open(str(item.path)) as source, av.open(str(target), "w") as container:
        if not source.streams.video:
            raise VideoError(f"{item.media!r} has no picture.")
        stream = source.streams.video[0]
        name = stream.codec_context.name
        if stream.time_base is None or not any(name.endswith(known) or known in name for known in _CUTTABLE):
            raise VideoError(
                f"{item.media!r} is coded as {name}, of which no part can be cut out; convert it to one of "
                f"{', '.join(_CUTTABLE)}."
            )
        origin = (stream.start_time or 0) + round(begin / stream.time_base)
        last = math.inf if math.isinf(end) else (stream.start_time or 0) + end / stream.time_base
        source.seek(origin, stream=stream, backward=True, any_frame=False)
        copy = container.add_stream_from_template(stream)
        copied = _copied(source.demux(stream), origin, last)
        shown = 0
        for packet in copied:
            shown += (packet.pts or 0) >= 0
            packet.stream = copy
            container.mux(packet)
        if not shown:
            raise VideoError(f"{item.media!r} has no picture from {begin:g} to {end:g} s.")


def _copied(packets: Iterable[av.Packet], origin: int, last: float) -> Iterator[av.Packet]:
    """Packets up to the one that is decoded at `last`, with times that begin at `origin`."""
    for packet in packets:
        if packet.dts is None or packet.pts is None:
            continue
        if packet.dts > last:
            return
        packet.pts, packet.dts = packet.pts - origin, packet.dts - origin
        yield packet
