"""What a cache holds, in figures; no video is read."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from himmel.data.cache.features import FeatureStore, feature_sets
from himmel.data.cache.layout import Layout, read_about, read_index
from himmel.data.cache.lines import read_lines
from himmel.data.cache.shards import DAMAGE, open_shard
from himmel.data.cache.videos import Prepared
from himmel.errors import HimmelError
from himmel.video.file.source import show


@dataclass(frozen=True)
class PreparedKind:
    """Videos of one codec that were read by one backend, and their duration together."""

    codec: str
    backend: str
    videos: int
    hours: float


@dataclass(frozen=True)
class FailedVideo:
    """A video that could not be read: its name in the source, the kind of trouble, and one sentence."""

    name: str
    cause: str
    error: str


@dataclass(frozen=True)
class HostFeatures:
    """A host whose features are in a cache: of how many videos, in how many bytes."""

    host: str
    mark: str
    kind: str
    videos: int
    bytes: int


@dataclass(frozen=True)
class CacheListing:
    """A cache in figures.

    Attributes:
        folder: of the cache.
        mark, settings: see `CacheSettings`.
        shards, videos: how many there are.
        hours: duration of all videos.
        bytes: size of all shards.
        bytes_per_hour: the same for an hour of video; 0 for an empty cache.
        parts: bytes by what they hold: "motion", "residual", "anchors", "last pictures", "other".
        kinds: most videos first.
        features: hosts whose vision features are there too; their bytes are counted in none of the above.
        failed: videos that could not be read at the last attempt.
        unfinished: a run was stopped before its end.
    """

    folder: str
    mark: str
    settings: dict[str, Any]
    shards: int
    videos: int
    hours: float
    bytes: int
    bytes_per_hour: float
    parts: dict[str, int]
    kinds: tuple[PreparedKind, ...]
    features: tuple[HostFeatures, ...]
    failed: tuple[FailedVideo, ...]
    unfinished: bool

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        return (
            f"{self.videos:,} videos ({self.hours:,.2f} h) in {self.bytes / 1e6:,.1f} MB, "
            f"{self.bytes_per_hour / 1e6:,.1f} MB for an hour of video."
        )


def list_cache(folder: Path) -> CacheListing:
    """Count what a cache holds.

    Raises:
        UsageError: there is no cache, or one of another version.
        HimmelError: it is damaged.
    """
    layout = Layout(folder)
    about, shards = read_about(layout), read_index(layout)
    last = {one.name: one for one in read_lines(layout.journal, Prepared.from_json)}
    size, seconds = sum(shard.bytes for shard in shards), sum(shard.seconds for shard in shards)
    parts: Counter[str] = Counter()
    for shard in shards:
        held = _parts(layout.shard(shard.number))
        parts += held
        parts["other"] += shard.bytes - held.total()
    return CacheListing(
        folder=str(folder),
        mark=about.settings.mark,
        settings=asdict(about.settings),
        shards=len(shards),
        videos=sum(len(shard.hashes) for shard in shards),
        hours=seconds / 3600,
        bytes=size,
        bytes_per_hour=3600 * size / seconds if seconds else 0.0,
        parts=dict(parts.most_common()),
        kinds=count_kinds(last.values()),
        features=tuple(_features(folder)),
        failed=tuple(failure_of(one) for one in last.values() if one.error is not None),
        unfinished=layout.plan.exists(),
    )


def _features(folder: Path) -> Iterator[HostFeatures]:
    for about in feature_sets(folder):
        store = FeatureStore(folder, about)
        yield HostFeatures(about.host, about.mark, about.kind, len(store), sum(one.bytes for one in store.files))


def count_kinds(lines: Iterable[Prepared]) -> tuple[PreparedKind, ...]:
    """Videos that could be read by codec and backend, most videos first."""
    videos: Counter[tuple[str, str]] = Counter()
    seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
    for line in lines:
        if line.video is not None:
            videos[line.video.codec, line.video.backend] += 1
            seconds[line.video.codec, line.video.backend] += line.video.duration
    return tuple(PreparedKind(*kind, count, seconds[kind] / 3600) for kind, count in videos.most_common())


def failure_of(line: Prepared) -> FailedVideo:
    """What is said of a video that could not be read."""
    return FailedVideo(line.name, line.cause or "unexpected", line.error or "")


def _parts(path: Path) -> Counter[str]:
    """Compressed bytes of a shard by what they hold, from its columns' sizes."""
    found: Counter[str] = Counter()
    try:
        with open_shard(path) as opened:
            about = opened.metadata
            for row in range(about.num_row_groups):
                group = about.row_group(row)
                for column in range(group.num_columns):
                    chunk = group.column(column)
                    found[_part(chunk.path_in_schema.partition(".")[0])] += chunk.total_compressed_size
    except DAMAGE as error:
        raise HimmelError(f"{show(path)} is damaged ({error}); `himmel cache verify` lists what is.") from error
    return found


def _part(column: str) -> str:
    if column.startswith(("past", "future", "covered")):
        return "motion"
    if column.startswith(("residual", "rgb_difference")):
        return "residual"
    return {"anchor_pictures": "anchors", "last_picture": "last pictures"}.get(column, "other")
