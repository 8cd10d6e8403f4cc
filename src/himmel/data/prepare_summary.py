"""What a cache holds of a source: codecs and backends, hours, bytes, and what could not be read."""

from collections.abc import Sequence
from dataclasses import dataclass

from himmel.data.cache.layout import Layout, read_index
from himmel.data.cache.lines import read_lines
from himmel.data.cache.listing import FailedVideo, PreparedKind, count_kinds, failure_of
from himmel.data.cache.videos import Prepared
from himmel.data.sources.video import SourceVideo


@dataclass(frozen=True)
class PrepareSummary:
    """All videos of a source.

    Attributes:
        source, cache: as they were named.
        videos: how many there are; `prepared` are in the cache, `read` of them were tried by this run.
        hours: duration of those in the cache.
        cache_bytes: size of the cache's shards, whatever source their videos came from.
        bytes_per_hour: the same for an hour of the videos in it; 0 for an empty cache.
        kinds: most videos first.
        failed: videos that cannot be read, in the order of the source.
    """

    source: str
    cache: str
    videos: int
    prepared: int
    read: int
    hours: float
    cache_bytes: int
    bytes_per_hour: float
    kinds: tuple[PreparedKind, ...]
    failed: tuple[FailedVideo, ...]

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        return (
            f"{self.prepared:,} of {self.videos:,} videos are in {self.cache} ({self.hours:,.2f} h), "
            f"{len(self.failed):,} cannot be read; the cache has {self.cache_bytes / 1e6:,.1f} MB, "
            f"{self.bytes_per_hour / 1e6:,.1f} MB for an hour of video."
        )


def summarise(source: str, layout: Layout, listed: Sequence[SourceVideo], *, read: int) -> PrepareSummary:
    """Count the last lines about the videos of a source.

    Args:
        read: how many were tried by this run.
    """
    last = {one.name: one for one in read_lines(layout.journal, Prepared.from_json)}
    lines = [last[video.name] for video in listed]
    kinds = count_kinds(lines)
    shards = read_index(layout)
    size, stored = sum(shard.bytes for shard in shards), sum(shard.seconds for shard in shards)
    return PrepareSummary(
        source=source,
        cache=str(layout.folder),
        videos=len(listed),
        prepared=sum(kind.videos for kind in kinds),
        read=read,
        hours=sum(kind.hours for kind in kinds),
        cache_bytes=size,
        bytes_per_hour=3600 * size / stored if stored else 0.0,
        kinds=kinds,
        failed=tuple(failure_of(line) for line in lines if line.video is None),
    )
