"""What a worker of `prepare` does: read one video into a piece, or make a shard of pieces."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2

from himmel.data.cache.layout import Layout, Shard
from himmel.data.cache.records import Picture, to_record
from himmel.data.cache.settings import CacheSettings
from himmel.data.cache.shards import hash_file, read_piece, write_piece, write_shard
from himmel.data.cache.store import StreamCache
from himmel.data.cache.videos import Found
from himmel.data.sources.video import NoRoomError, SourceVideo, as_file
from himmel.errors import HimmelError, VideoError
from himmel.video import Video


@dataclass(frozen=True)
class ShardTask:
    """A shard to be made.

    Attributes:
        number: which.
        videos: key and name of each.
    """

    number: int
    videos: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Extracted:
    """A video that is in a piece or a shard now.

    Attributes:
        sha256: of its bytes.
        video: what it is.
    """

    sha256: str
    video: Found


@dataclass(frozen=True)
class NotWritten:
    """The cache cannot be written to, which no video is to blame for; `said` is a sentence."""

    said: str


Task = SourceVideo | ShardTask
Done = Extracted | Shard | NotWritten


@dataclass(frozen=True)
class Work:
    """Work on one task after another, in a process of its own.

    Attributes:
        folder: of the cache.
        settings: how videos are read and kept.
    """

    folder: Path
    settings: CacheSettings

    def __call__(self, task: Task) -> Done:
        """Carry out a task.

        Raises:
            HimmelError: the video cannot be read.
        """
        layout = Layout(self.folder)
        if isinstance(task, SourceVideo):
            try:
                return extract(task, layout, self.settings)
            except NoRoomError as error:
                return NotWritten(str(error))
        try:
            return write_shard(layout, task.number, task.videos)
        except HimmelError as error:
            return NotWritten(str(error))


def extract(video: SourceVideo, layout: Layout, settings: CacheSettings) -> Extracted | NotWritten:
    """Read a video into a piece, unless one with its bytes is in the cache.

    Raises:
        HimmelError: it cannot be read.
    """
    # A worker is one process of several: one thread each keeps them from fighting over cores.
    cv2.setNumThreads(1)
    with as_file(video, layout.pieces) as path:
        opened = Video(path)
        sha256 = hash_file(path)
        key = settings.key(sha256)
        known = _known(key, layout)
        if known is not None:
            return Extracted(sha256, Found.of(known))
        streams = opened.decompose(
            num_anchors=settings.num_anchors,
            anchor_mode=settings.anchor_mode,
            steps_per_interval=settings.steps_per_interval,
            cell=settings.cell,
            backend=settings.backend,
            max_anchor_pixels=settings.max_anchor_pixels,
            accumulate=settings.accumulate,
            rgb_difference=settings.rgb_difference,
            threads=1,
        )
        last = _last_picture(opened, settings) if settings.last_picture else None
    record = to_record(streams, settings, sha256=sha256, last=last)
    try:
        write_piece(layout.piece(key), record)
    except HimmelError as error:
        return NotWritten(str(error))
    return Extracted(sha256, Found.of(json.loads(record["about"])))


def _known(key: str, layout: Layout) -> dict[str, Any] | None:
    """What is known of a video whose bytes are in the cache already, as they may be under another name."""
    piece = read_piece(layout.piece(key), ["about"])
    if piece is not None:
        return dict(json.loads(piece["about"]))
    there = _cache(layout.folder)
    return dict(json.loads(there.about(key))) if key in there else None


@cache
def _cache(folder: Path) -> StreamCache:
    return StreamCache(folder)


def _last_picture(video: Video, settings: CacheSettings) -> Picture | None:
    try:
        found = video.frames([video.num_frames - 1], max_pixels=settings.max_anchor_pixels, threads=1)
    except VideoError:
        # Its anchors can be decoded, and its end is missing.
        return None
    return found.frames[-1].image
