"""What an item is about, as something that a model can be asked about: a file, or a picture in memory.

Every method reads video files. A folder of pictures is therefore encoded first, and kept for the length of a run.
"""

import hashlib
import io
import struct
from fractions import Fraction
from functools import lru_cache
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
from himmel.methods.source import FileState
from himmel.methods.still import MOST_PIXELS
from himmel.video import Video

_QUALITY: Final = "16"
"""CRF of x264 for folders of pictures: what JPEG lost before is more."""
# What Pillow raises about bytes that are no picture, or of a kind that it only knows in part.
_DAMAGE: Final = (
    *(UnidentifiedImageError, Image.DecompressionBombError, OSError, EOFError, SyntaxError, NotImplementedError),
    *(ValueError, TypeError, LookupError, struct.error),
)


def open_media(item: Item, scratch: Path) -> Path | Video | Image.Image:
    """What `Session.ask` takes for an item: a file, a stretch of a video (see `Video.between`), or a picture.

    Args:
        item: of a benchmark.
        scratch: a folder for what has to be written first; a file that is there already is used again.

    Raises:
        VideoError: the media cannot be read, or the video has no such stretch.
    """
    try:
        if item.kind == "image":
            return _picture(item)
        assert item.path is not None
        if item.kind == "frames":
            return _encoded(item, scratch)
        if item.start is None and item.end is None:
            return item.path
        state = FileState.of(item.path)
        whole = Video(item.path) if state is None else _whole(state)
        return whole.between(item.start or 0.0, item.end)
    except VideoError:
        raise
    except (HimmelError, OSError, ValueError, av.FFmpegError) as error:
        raise VideoError(f"{item.media!r} cannot be shown ({' '.join(str(error).split())}).") from error


@lru_cache(maxsize=2)
def _whole(state: FileState) -> Video:
    """A video that several questions in a row are about parts of: its index and its hash are made once."""
    return Video(state.path)


def _picture(item: Item) -> Image.Image:
    content = item.read_picture()
    try:
        picture = Image.open(io.BytesIO(content))
        width, height = picture.size
        if width * height > MOST_PIXELS:
            raise VideoError(f"{item.media!r} has {width} x {height} pixels, more than {MOST_PIXELS:,}.")
        return ImageOps.exif_transpose(picture).convert("RGB")
    except _DAMAGE as error:
        raise VideoError(f"{item.media!r} cannot be read as a picture ({' '.join(str(error).split())}).") from error


def _encoded(item: Item, scratch: Path) -> Path:
    mark = hashlib.sha256(repr((str(item.path), item.start, item.end, item.frame_rate)).encode()).hexdigest()[:24]
    target = scratch / f"{mark}.mp4"
    if not target.is_file():
        with atomic_path(target) as temporary:
            _encode(item, temporary)
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
    except _DAMAGE as error:
        raise VideoError(f"{str(path)!r} cannot be read as a picture ({' '.join(str(error).split())}).") from error
