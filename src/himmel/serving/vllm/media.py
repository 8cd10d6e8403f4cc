"""What may be given to vLLM as a video, and by what it is known again."""

import math
import os
from dataclasses import dataclass
from typing import Any

from vllm.multimodal.media import MediaWithBytes
from vllm.multimodal.parse import ModalityDataItems, MultiModalDataParser, ProcessorBatchItems

from himmel._checks import check_number
from himmel.errors import HimmelError
from himmel.model import HimmelProcessor, PreparedSample
from himmel.video import Decomposition, Video

VideoInput = str | os.PathLike[str] | bytes | Video | Decomposition | PreparedSample
"""A file, its bytes, an open video or a stretch of one (`Video.between`); or what was read of a video already."""


@dataclass(frozen=True)
class Clip:
    """A file's bytes, not opened yet, and the stretch of it that is asked about, in seconds."""

    data: bytes
    start: float = 0.0
    end: float | None = None

    def open(self) -> Video:
        """The video, or its stretch.

        Raises:
            VideoError: it cannot be read.
            UsageError: there is no such stretch.
        """
        video = Video(self.data)
        return video if self.start == 0 and self.end is None else video.between(self.start, self.end)


VideoItem = Clip | Video | PreparedSample


class VideoItems(ProcessorBatchItems):
    """The videos of one prompt."""

    def __init__(self, data: list[VideoItem]) -> None:
        super().__init__(data, "video")

    def get_item_for_hash(self, index: int) -> object:
        """What vLLM's caches know a video by: all that decides what is read of it."""
        item = self.data[index]
        if isinstance(item, Clip):
            return [item.data, item.start, item.end]
        if isinstance(item, Video):
            return [item.sha256, item.num_frames, *item.pts[[0, -1]].tolist()]
        return item.tensors()


class VideoParser(MultiModalDataParser):
    """Takes a `VideoInput`, or a list of them, as `multi_modal_data["video"]`.

    Args:
        processor: of the checkpoint.
    """

    def __init__(self, processor: HimmelProcessor) -> None:
        super().__init__()
        self._processor = processor

    def _parse_video_data(self, data: Any) -> ModalityDataItems[Any, Any] | None:
        if data is None:
            return None
        given = data if isinstance(data, list) else [data]
        try:
            return VideoItems([self._item(one) for one in given])
        except HimmelError as error:
            # What vLLM answers a request with, in place of ending.
            raise ValueError(str(error)) from error

    def _item(self, given: Any) -> VideoItem:
        if isinstance(given, Clip | Video | PreparedSample):
            return given
        if isinstance(given, MediaWithBytes):
            asked = given.media[1]
            # A client's own words.
            start, end = check_number("start", asked.get("start", 0), 0, math.inf), asked.get("end")
            return Clip(given.original_bytes, start, None if end is None else check_number("end", end, 0, math.inf))
        if isinstance(given, bytes):
            return Clip(given)
        if isinstance(given, str | os.PathLike):
            return Video(given)
        if isinstance(given, Decomposition):
            return self._processor.prepare(given)
        raise ValueError(
            f"A {type(given).__name__} cannot be read as a video; give a path, the bytes of a file, a himmel.Video, a "
            "Decomposition or a PreparedSample."
        )
