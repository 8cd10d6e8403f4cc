"""Removing from a cache what nothing needs any more."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from himmel._files import atomic_path
from himmel._lock import alone_in
from himmel._progress import track
from himmel.data.cache.features import FeatureStore, feature_sets
from himmel.data.cache.layout import Layout, Shard, read_about, read_index, write_index
from himmel.data.cache.lines import read_lines, write_through
from himmel.data.cache.shards import copy_shard
from himmel.data.cache.videos import Prepared
from himmel.errors import UsageError
from himmel.video.file.source import show


@dataclass(frozen=True)
class Collected:
    """What was removed, or would be.

    Attributes:
        videos: how many, whose files have other bytes now, or that are not to be kept.
        files: left by runs that were killed, or shards in no index.
        bytes_before, bytes_after: of the cache's files.
    """

    videos: int
    files: int
    bytes_before: int
    bytes_after: int


def collect(folder: Path, *, keep: Iterable[str] | None = None, dry_run: bool = False) -> Collected:
    """Remove videos that no name leads to, since their files have changed, and files that are in no index.

    The same name in two folders is two videos. A file that could not be read at the last attempt may only have been out
    of reach, so what was read of it before is kept. Shards that lose some of their videos are written anew, whole,
    before anything is removed; a run that is killed leaves a cache that can be read, and the next one goes on.

    Args:
        keep: names of the videos to keep; all others are removed too. None: all.
        dry_run: only count.

    Raises:
        UsageError: there is no cache, or a run is unfinished, whose pieces would be lost.
        HimmelError: it is damaged, or another process is writing to it.
    """
    layout = Layout(folder)
    read_about(layout)
    with alone_in(folder, what="cache"):
        if layout.plan.exists():
            raise UsageError(f"A run of `himmel prepare` into {show(folder)} is unfinished; run it to its end first.")
        shards = read_index(layout)
        lines = _last_lines(layout)
        if keep is not None:
            names = set(keep)
            lines = [line for line in lines if line.name in names]
        kept = {line.sha256 for line in lines if line.sha256 is not None}
        before = _size(folder)
        known = {layout.shard(shard.number) for shard in shards}
        strays = {path for path in layout.shards.glob("*") if path not in known} | set(layout.leftovers())
        lost = sum(sha256 not in kept for shard in shards for sha256 in shard.hashes)
        if dry_run:
            spared = sum(path.stat().st_size for path in strays)
            # Of a shard that loses some videos, their share by number.
            spared += sum(_lost_share(shard, kept) for shard in shards)
            return Collected(lost, len(strays), before, before - spared)
        left = []
        for shard in track(shards, what="Collecting shards", total=len(shards)):
            if all(sha256 in kept for sha256 in shard.hashes):
                left.append(shard)
                continue
            rows = [row for row, sha256 in enumerate(shard.hashes) if sha256 in kept]
            if rows:
                # Under a number of its own, so that the index names whole shards at any moment.
                number = 1 + max([*(one.number for one in shards), *(one.number for one in left)])
                left.append(copy_shard(layout, shard, rows, number))
        left.sort(key=lambda shard: shard.number)
        # First: a video without a line is removed by the next call; a line without its video would be damage.
        _write_journal(layout, lines)
        write_index(layout, left)
        for about in feature_sets(folder):
            FeatureStore(folder, about).rearrange(left)
        for shard in shards:
            if shard not in left:
                layout.shard(shard.number).unlink(missing_ok=True)
        for path in strays:
            path.unlink(missing_ok=True)
        shutil.rmtree(layout.pieces, ignore_errors=True)
        return Collected(lost, len(strays), before, _size(folder))


def _last_lines(layout: Layout) -> list[Prepared]:
    """The last line of each video with a hash and the last without; in order, so that a name's last line stays last."""
    found: dict[tuple[str, str, bool], Prepared] = {}
    for line in read_lines(layout.journal, Prepared.from_json):
        about = line.name, line.place, line.sha256 is None
        found.pop(about, None)
        found[about] = line
    return list(found.values())


def _lost_share(shard: Shard, kept: set[str]) -> int:
    return shard.bytes * sum(sha256 not in kept for sha256 in shard.hashes) // len(shard.hashes)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _write_journal(layout: Layout, lines: Iterable[Prepared]) -> None:
    with atomic_path(layout.journal) as temporary:
        temporary.write_text("".join(line.to_line() for line in lines), encoding="ascii")
        write_through(temporary)
    write_through(layout.folder)
