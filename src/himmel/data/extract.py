"""What a worker of `prepare` does: read one video into a piece, or make a shard of pieces."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import pyarrow

from himmel.data.cache.layout import Layout, Shard
from himmel.data.cache.records import Picture, Record, to_record
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
        take_little()
        layout = Layout(self.folder)
        if isinstance(task, SourceVideo):
            try:
                return extract(task, layout, self.settings)
            except NoRoomError as error:
                return NotWritten(str(error))
        return make_shard(task, layout)


def take_little() -> None:
    """Have libraries take one thread and little memory in this process, which is a worker among several.

    So they don't fight over cores; and the stacks of a pool count as memory, of which a worker may have little.
    """
    cv2.setNumThreads(1)
    pyarrow.set_cpu_count(1)
    pyarrow.set_io_thread_count(1)
    # Arrow's own takes its memory in large pieces, most of which it never uses.
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())


def extract(video: SourceVideo, layout: Layout, settings: CacheSettings) -> Extracted | NotWritten:
    """Read a video into a piece, unless one with its bytes is in the cache.

    Raises:
        HimmelError: it cannot be read.
    """
    found, record = read_video(video, settings, scratch=layout.pieces, known=lambda key: _known(key, layout))
    return keep(found, record, layout)


def read_video(
    video: SourceVideo, settings: CacheSettings, *, scratch: Path, known: Callable[[str], Found | None]
) -> tuple[Extracted, Record | None]:
    """What a video is, and its row for the cache; nothing is written but a copy in `scratch` where one is needed.

    Args:
        scratch: see `as_file`.
        known: what is known of the video of a key, which then is not read: its row is None.

    Raises:
        HimmelError: it cannot be read.
    """
    with as_file(video, scratch) as path:
        opened = Video(path)
        sha256 = hash_file(path)
        found = known(settings.key(sha256))
        if found is not None:
            return Extracted(sha256, found), None
        streams = opened.decompose(
            num_anchors=settings.num_anchors,
            anchor_mode=settings.anchor_mode,
            steps_per_interval=settings.steps_per_interval,
            cell=settings.cell,
            backend=settings.backend,
            max_anchor_pixels=settings.max_anchor_pixels,
            accumulate=settings.accumulate,
            rgb_difference=settings.rgb_difference,
            sound=settings.sound,
            threads=1,
        )
        last = _last_picture(opened, settings) if settings.last_picture else None
    record = to_record(streams, settings, sha256=sha256, last=last)
    return Extracted(sha256, Found.of(json.loads(record["about"]))), record


def keep(found: Extracted, record: Record | None, layout: Layout) -> Extracted | NotWritten:
    """Write a video's row into a piece."""
    if record is not None:
        try:
            write_piece(layout.piece(record["key"]), record)
        except HimmelError as error:
            return NotWritten(str(error))
    return found


def make_shard(task: ShardTask, layout: Layout) -> Shard | NotWritten:
    """Make a shard of pieces."""
    try:
        return write_shard(layout, task.number, task.videos)
    except HimmelError as error:
        return NotWritten(str(error))


def _known(key: str, layout: Layout) -> Found | None:
    """What is known of a video whose bytes are in the cache already, as they may be under another name."""
    piece = read_piece(layout.piece(key), ["about"])
    if piece is not None:
        return Found.of(json.loads(piece["about"]))
    there = _cache(layout.folder)
    return Found.of(json.loads(there.about(key))) if key in there else None


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
