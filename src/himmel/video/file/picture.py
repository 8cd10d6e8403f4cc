"""What is learned about a stream from one decoded picture (size, orientation, crop), and anchors' images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from himmel.errors import VideoError
from himmel.video.file.decoder import Decoder, Opened, Segment
from himmel.video.file.index import PictureIndex
from himmel.video.file.memory import plane_samples
from himmel.video.file.orientation import Orientation
from himmel.video.file.pyav import ONE_THREAD

ByteArray = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PictureFormat:
    """Format of the first decodable picture.

    Attributes:
        width, height: stored size after cropping, before rotation.
        coded_width, coded_height: size in which blocks are coded.
        crop: (x, y) of the cropped window inside the coded picture.
        interlaced: the picture consists of two fields.
    """

    width: int
    height: int
    coded_width: int
    coded_height: int
    crop: tuple[int, int]
    orientation: Orientation
    interlaced: bool


def read_format(path: Path, index: PictureIndex, opened: Opened) -> PictureFormat:
    """Decode the first keyframe that can be decoded, of at most four tries spread over the file.

    Args:
        opened: a container of the file, and its stream.
    """
    keys = index.key_numbers
    tries = sorted({int(keys[k * (len(keys) - 1) // 3]) for k in range(4)})
    with Decoder(path, index, vectors=False, opened=opened) as decoder:
        for start in tries:
            # A few more packets: a decoder may want them before it gives its first picture.
            segment = Segment(start, (min(start + 8, len(index.size) - 1),))
            for wanted in (Segment(start, (start,)), segment):
                for _, frame in decoder.pictures(wanted):
                    coded = decoder.coded_size
                    return PictureFormat(
                        frame.width,
                        frame.height,
                        max(coded[0], frame.width),
                        max(coded[1], frame.height),
                        _find_crop(path, index, start, frame, coded),
                        Orientation.of(frame),
                        frame.interlaced_frame,
                    )
        refusal = decoder.refusal
    raise VideoError(f"None of the pictures of {str(path)!r} can be decoded; the file is damaged.") from refusal


def _find_crop(
    path: Path, index: PictureIndex, start: int, frame: VideoFrame, coded: tuple[int, int]
) -> tuple[int, int]:
    """Where the cropped window lies in the coded picture: decode it whole and look (nearly always at the top left)."""
    room = coded[0] - frame.width, coded[1] - frame.height
    if max(room) <= 0 or min(room) < 0 or max(room) > 64:
        return 0, 0
    shown = _grey(frame)
    whole = _whole_picture(path, index, start)
    if whole is None:
        return 0, 0
    height, width = shown.shape
    for y in range(min(room[1], whole.shape[0] - height) + 1):
        for x in range(min(room[0], whole.shape[1] - width) + 1):
            if np.array_equal(whole[y : y + height, x : x + width], shown):
                return x, y
    return 0, 0


def _whole_picture(path: Path, index: PictureIndex, start: int) -> ByteArray | None:
    with Decoder(path, index, vectors=False, crop=False) as decoder:
        for _, frame in decoder.pictures(Segment(start, (start,))):
            return _grey(frame)
    return None


def _grey(frame: VideoFrame) -> ByteArray:
    return plane_samples(frame.reformat(format="gray", **ONE_THREAD).planes[0]).copy()


def anchor_image(
    frame: VideoFrame, orientation: Orientation, max_pixels: int | None, reformatter: VideoReformatter
) -> ByteArray:
    """RGB image of a picture as it is displayed, uint8 [H, W, 3], shrunk to at most `max_pixels` if given."""
    width, height = frame.width, frame.height
    if max_pixels is not None and width * height > max_pixels:
        scale = (max_pixels / (width * height)) ** 0.5
        width, height = max(1, int(width * scale)), max(1, int(height * scale))
    shrunk = reformatter.reformat(frame, width=width, height=height, format="rgb24", interpolation="AREA", **ONE_THREAD)
    image = plane_samples(shrunk.planes[0], channels=3).reshape(height, width, 3)
    return np.array(orientation.picture(image))
