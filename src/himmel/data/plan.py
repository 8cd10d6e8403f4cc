"""Which videos go into which shard, decided before any is read, so that a run that was killed goes on as it began."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from himmel._files import atomic_path
from himmel.data.cache.layout import Layout, read_index
from himmel.data.cache.lines import read_lines, to_line, write_through
from himmel.data.cache.settings import CacheSettings
from himmel.data.cache.videos import Prepared
from himmel.data.sources.video import SourceVideo


@dataclass(frozen=True)
class Group:
    """The videos of one shard, in its order; those that can't be read, or are in the cache already, are left out of it.

    Attributes:
        number: of the shard.
        names: of the videos in their source.
    """

    number: int
    names: tuple[str, ...]

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """The group of a line.

        Raises:
            KeyError, TypeError: it lacks a field, or has another.
        """
        return cls(found["number"], tuple(found["names"]))


@dataclass(frozen=True)
class State:
    """What a cache holds before a run.

    Attributes:
        last: the last line about each video, by its name.
        placed: keys of videos in shards.
        pieces: keys of videos in pieces.
        numbers: of the shards.
        settings: of the cache.
    """

    last: dict[str, Prepared]
    placed: frozenset[str]
    pieces: frozenset[str]
    numbers: frozenset[int]
    settings: CacheSettings

    def is_done(self, video: SourceVideo, *, retry: bool) -> bool:
        """Whether nothing is left to do for a video: it is in the cache, or it failed and is not to be tried again."""
        line = self.last.get(video.name)
        if line is None or (line.bytes, line.modified) != (video.bytes, video.modified):
            return False
        # Without a time, the same name in another folder may be another video.
        if not video.modified and line.place != video.place:
            return False
        if line.sha256 is None:
            return not retry and video.error is None
        key = self.settings.key(line.sha256)
        return key in self.placed or key in self.pieces

    def is_in_piece(self, name: str) -> bool:
        """Whether a video was read, and is in no shard yet."""
        line = self.last.get(name)
        return line is not None and line.sha256 is not None and self.settings.key(line.sha256) in self.pieces


def read_state(layout: Layout, settings: CacheSettings) -> State:
    """What a cache holds.

    Raises:
        HimmelError: one of its files is damaged.
    """
    shards = read_index(layout)
    return State(
        last={one.name: one for one in read_lines(layout.journal, Prepared.from_json)},
        placed=frozenset(settings.key(sha256) for shard in shards for sha256 in shard.hashes),
        pieces=frozenset(path.stem for path in layout.pieces.glob("[0-9a-f]*.arrow")),
        numbers=frozenset(shard.number for shard in shards),
        settings=settings,
    )


def make_plan(
    layout: Layout, listed: Sequence[SourceVideo], state: State, *, size: int, retry: bool
) -> tuple[Group, ...]:
    """The shards that are still to be made: first those of an unfinished run, then those of further videos.

    What an unfinished run has read goes into its shards even if it is not listed any more: it may be another source's.

    Args:
        size: videos of a shard.
    """
    names = {video.name for video in listed}
    old = list(read_lines(layout.plan, Group.from_json))
    groups = [
        Group(group.number, tuple(name for name in group.names if name in names or state.is_in_piece(name)))
        for group in old
        if group.number not in state.numbers
    ]
    planned = {name for group in groups for name in group.names}
    new = [video.name for video in listed if video.name not in planned and not state.is_done(video, retry=retry)]
    first = 1 + max([-1, *state.numbers, *(group.number for group in old)])
    return (*groups, *_groups(new, first, size))


def write_plan(layout: Layout, plan: Sequence[Group]) -> None:
    """Write the plan down, whole or not at all."""
    with atomic_path(layout.plan) as temporary:
        temporary.write_text("".join(to_line(asdict(group)) for group in plan), encoding="ascii")
        write_through(temporary)
    write_through(layout.folder)


def _groups(names: Sequence[str], first: int, size: int) -> Iterator[Group]:
    for number, begin in enumerate(range(0, len(names), size), first):
        yield Group(number, tuple(names[begin : begin + size]))
