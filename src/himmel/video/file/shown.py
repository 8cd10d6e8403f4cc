"""A file decoded from its first shown picture to its last, for who encodes, draws or compares all of it."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from himmel.video.file.decoder import Decoder, Segment
from himmel.video.file.opened import VideoFile
from himmel.video.file.picture import anchor_image
from himmel.video.file.pyav import ONE_THREAD


def shown_pictures(decoder: Decoder, file: VideoFile) -> Iterator[tuple[VideoFrame, bool, bool]]:
    """All shown pictures in order, decoded as 8-bit 4:2:0 and in the file's one size, none left out.

    Yields:
        the picture as it is stored, not turned; whether it is the one before in place of one that cannot be decoded;
        whether it is damaged.
    """
    index, fmt, reformatter = file.index, file.format, VideoReformatter()
    numbers = index.order.tolist()
    places = {number: place for place, number in enumerate(numbers)}
    next_place = 0
    last: VideoFrame | None = None
    # With periodic intra refresh, what is marked as a keyframe gives a whole picture only later: one more is decoded.
    begin = min(index.start_for(number) for number in numbers)
    earlier = index.key_numbers[index.key_numbers < begin]
    everything = Segment(int(earlier[-1]) if len(earlier) else min(begin, *numbers), tuple(sorted(numbers)))
    for number, frame in decoder.pictures(everything):
        place = places.get(number, -1)
        if place < next_place:
            continue
        shown = reformatter.reformat(frame, width=fmt.width, height=fmt.height, format="yuv420p", **ONE_THREAD)
        for _ in range(place - next_place):
            yield shown if last is None else last, True, False
        yield shown, False, frame.is_corrupt
        next_place, last = place + 1, shown
    if last is not None:
        for _ in range(len(numbers) - next_place):
            yield last, True, False


def shown_images(file: VideoFile, max_pixels: int | None) -> Iterator[npt.NDArray[np.uint8]]:
    """The same pictures as they are displayed, uint8 [H, W, 3], RGB, shrunk to at most `max_pixels` if given."""
    reformatter = VideoReformatter()
    with Decoder(file.path, file.index, vectors=False) as decoder:
        for frame, _, _ in shown_pictures(decoder, file):
            yield anchor_image(frame, file.format.orientation, max_pixels, reformatter)
