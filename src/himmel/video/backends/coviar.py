"""Backend "coviar": MPEG-4 Part 2 in fixed groups of pictures with accumulated vectors, as Wu et al. (2018) read it.

A file that is MPEG-4 Part 2 without B pictures is read as it is; any other is encoded again, as CoViAR does it, but at
its own size and with as many bits for an area as CoViAR's 340 x 256 pictures get from FFmpeg's default.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from himmel.errors import VideoError
from himmel.video.file.container import open_stream
from himmel.video.file.decoder import Decoder, Segment
from himmel.video.file.index import PictureIndex, build_index, with_references
from himmel.video.file.picture import PictureFormat, read_format

CODEC = "mpeg4"
GROUP = 12
_BITS_PER_PIXEL = 200_000 / (25 * 340 * 256)
# Only the order of pictures is looked at in the file that is made.
_RATE = 25


@dataclass(frozen=True, repr=False)
class Recoded:
    """A temporary MPEG-4 Part 2 file, picture k of which is the video's picture k in presentation order.

    Attributes:
        keyframes: int64 [K], presentation indices.
        repeated: pictures that could not be decoded, in whose place the one before stands.
    """

    path: Path
    index: PictureIndex
    format: PictureFormat
    keyframes: npt.NDArray[np.int64]
    repeated: int


def must_be_recoded(path: Path, codec: str, index: PictureIndex, fmt: PictureFormat) -> bool:
    """Whether a file is anything but progressive MPEG-4 Part 2 without B pictures."""
    return codec != CODEC or fmt.interlaced or not bool(with_references(path, index).reference.all())


@contextmanager
def recode(path: Path, index: PictureIndex, fmt: PictureFormat) -> Iterator[Recoded]:
    """Encode all shown pictures of a video again, for as long as the block lasts; about 2 Mbit/s of disk at 720p.

    Raises:
        VideoError: the pictures can't be encoded, or there is no room for them.
    """
    with tempfile.TemporaryDirectory(prefix="himmel-coviar-") as folder:
        target = Path(folder) / "recoded.mp4"
        try:
            repeated = _encode(path, index, fmt, target)
        except (av.FFmpegError, OSError) as error:
            reason = (error.strerror or "unknown error").lower()
            raise VideoError(
                f"{str(path)!r} cannot be encoded as MPEG-4 Part 2 for backend 'coviar' ({reason}); make room in"
                f" {tempfile.gettempdir()!r} or take another backend."
            ) from error
        with open_stream(target) as opened:
            made = build_index(target, *opened)
            found = read_format(target, made, opened)
        keyframes = np.flatnonzero(made.key[made.order])
        yield Recoded(target, made, replace(found, orientation=fmt.orientation), keyframes, repeated)


def _encode(path: Path, index: PictureIndex, fmt: PictureFormat, target: Path) -> int:
    """Write the file; returns how many pictures had to be repeated."""
    # Scene cuts would begin groups of their own: CoViAR's have a fixed length.
    options = {"g": str(GROUP), "bf": "0", "sc_threshold": "1000000000"}
    repeated = 0
    with Decoder(path, index, vectors=False) as decoder, av.open(str(target), "w") as container:
        stream = cast(VideoStream, container.add_stream(CODEC, rate=_RATE, options=options))
        stream.width, stream.height, stream.pix_fmt = fmt.width, fmt.height, "yuv420p"
        stream.bit_rate = max(200_000, round(_BITS_PER_PIXEL * _RATE * fmt.width * fmt.height))
        # The same file on any number of processors.
        stream.codec_context.thread_count = 1
        for place, (frame, is_repeated) in enumerate(_shown(decoder, index, fmt)):
            repeated += is_repeated
            frame.pts, frame.time_base = place, Fraction(1, _RATE)
            # Otherwise the encoder would begin a group wherever the original did.
            frame.pict_type = PictureType.NONE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return repeated


def _shown(decoder: Decoder, index: PictureIndex, fmt: PictureFormat) -> Iterator[tuple[VideoFrame, bool]]:
    """All shown pictures in presentation order, 8-bit 4:2:0, and whether each only stands in for a lost one."""
    reformatter = VideoReformatter()
    numbers = index.order.tolist()
    places = {number: place for place, number in enumerate(numbers)}
    next_place = 0
    last: VideoFrame | None = None
    everything = Segment(min(int(index.key_numbers[0]), min(numbers)), tuple(sorted(numbers)))
    for number, frame in decoder.pictures(everything):
        place = places.get(number, -1)
        if place < next_place:
            continue
        shown = reformatter.reformat(frame, width=fmt.width, height=fmt.height, format="yuv420p", threads=1)
        for _ in range(place - next_place):
            yield shown if last is None else last, True
        yield shown, False
        next_place, last = place + 1, shown
    if last is not None:
        for _ in range(len(numbers) - next_place):
            yield last, True
