"""The streams of all videos of a source, read once by processes of their own into a cache that can be continued.

A run writes down first which videos each shard is to have, then reads them. Whatever is read is on the disk before it
is noted: a video in a piece, pieces in a shard, a shard in the index. So a run may be killed at any moment; the next
one takes up the same plan, and the shards have the same bytes as if nothing had happened, with any number of workers.
"""

import os
import shutil
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, TextIO

from himmel._checks import check_whole
from himmel._files import told_by_name
from himmel._lock import alone_in
from himmel._progress import track
from himmel.data.cache.layout import Layout, Shard, check_place, create, read_index, write_index
from himmel.data.cache.settings import CacheSettings
from himmel.data.cache.shards import is_there
from himmel.data.cache.videos import Prepared
from himmel.data.cluster import RunTasks, joined
from himmel.data.extract import Done, Extracted, NotWritten, ShardTask, Task, Work
from himmel.data.failures import sentence_about
from himmel.data.journal import mend
from himmel.data.plan import Group, State, make_plan, read_state, write_plan
from himmel.data.prepare_summary import PrepareSummary, summarise
from himmel.data.sources.folder import nothing_found
from himmel.data.sources.listing import list_videos
from himmel.data.sources.video import SourceVideo
from himmel.data.workers import MEGABYTE, Failure, Limits, Outcome, run_apart
from himmel.errors import HimmelError

SHARD_VIDEOS: Final = 64
MOST_SHARD_VIDEOS: Final = 100_000


def prepare(
    source: str,
    folder: str | os.PathLike[str],
    *,
    settings: CacheSettings | None = None,
    shard_videos: int = SHARD_VIDEOS,
    workers: int | None = None,
    ray: str | None = None,
    limits: Limits | None = None,
    column: str = "video",
    media: Path | None = None,
    every_file: bool = False,
    retry: bool = False,
) -> PrepareSummary:
    """Read every video of a source into a cache; those that it holds already are not read again.

    If the file of a shard was removed, as a damaged one may be, its videos are read again.

    Args:
        source: see `list_videos`.
        folder: of the cache, which is made if it is not there.
        settings: how videos are read and kept; those of a cache that is there can't be changed.
        shard_videos: how many videos are put into one file; likewise.
        workers: how many videos are read at once; None: one here, or as many as a cluster has processors.
        ray: address of a Ray cluster that reads the videos; see `cluster.joined`. None: processes of this machine do.
        limits: what one video may take; None: 120 s and 2 GB.
        column, media, every_file: see `list_videos`.
        retry: try those again that could not be read.

    Raises:
        HimmelError: there is no such source, or it holds no videos, or the cache cannot be written; or there is no
            such cluster.
        UsageError: the cache has other settings, or the folder holds something else, or `shard_videos` is below 1.
    """
    check_whole("shard_videos", shard_videos, 1, MOST_SHARD_VIDEOS)
    layout, settings = Layout(Path(folder)), settings or CacheSettings()
    # Before the lock, which is a file, is put into a folder that holds something else.
    check_place(layout, settings, shard_videos)
    listed = _listed(source, layout, column=column, media=media, every_file=every_file)
    with alone_in(layout.folder, what="cache"):
        about = create(layout, settings, shard_videos)
        for place in (layout.journal, layout.index):
            place.touch()
            mend(place)
        for place in (layout.shards, layout.pieces):
            place.mkdir(exist_ok=True)
        for left in layout.leftovers():
            left.unlink(missing_ok=True)
        with told_by_name(layout.shards):
            _leave_out_lost_shards(layout)
        state = read_state(layout, about.settings)
        plan = make_plan(layout, listed, state, size=about.shard_videos, retry=retry)
        write_plan(layout, plan)
        run = _Run(layout, about.settings, state, listed, plan, retry=retry)
        total = run.num_missing
        limits = limits or Limits()
        with (
            told_by_name(layout.folder),
            _executor(layout, about.settings, workers=workers, ray=ray, limits=limits) as run_tasks,
            # Closed before a cluster is left, whatever ends it.
            closing(run.read_all(run_tasks, limits)) as videos,
        ):
            for _ in track(videos, what="Reading videos", total=total):
                pass
        _finish(layout)
        return summarise(source, layout, listed, read=total)


def _listed(source: str, layout: Layout, *, column: str, media: Path | None, every_file: bool) -> list[SourceVideo]:
    """The videos of a source, without the cache's own files where it is in a folder of videos."""
    own = os.path.abspath(layout.folder)
    found = list_videos(source, column=column, media=media, every_file=every_file)
    listed = [video for video in found if not Path(video.place).is_relative_to(own)]
    if not listed:
        raise nothing_found(source, every_file=every_file)
    return listed


def _leave_out_lost_shards(layout: Layout) -> None:
    """Take shards out of the index whose files were removed or cut, so that their videos are read again."""
    shards = read_index(layout)
    there = [shard for shard in shards if is_there(layout.shard(shard.number), shard)]
    if len(there) < len(shards):
        write_index(layout, there)


@contextmanager
def _executor(
    layout: Layout, settings: CacheSettings, *, workers: int | None, ray: str | None, limits: Limits
) -> Iterator[RunTasks]:
    """What carries out the tasks of a run: a cluster, or processes of this machine."""
    if ray is not None:
        with joined(ray, layout=layout, settings=settings, limits=limits, workers=workers) as run_tasks:
            yield run_tasks
        return
    yield partial(run_apart, Work(layout.folder, settings), workers=workers or 1, limits=limits, times=_num_videos)


def _num_videos(task: Task) -> int:
    """How many videos a task has: a limit is for one of them, and a shard may take as long as all of its own."""
    return len(task.videos) if isinstance(task, ShardTask) else 1


class _Run:
    """What is left to do, and what has become of it so far."""

    def __init__(
        self,
        layout: Layout,
        settings: CacheSettings,
        state: State,
        listed: Sequence[SourceVideo],
        plan: Sequence[Group],
        *,
        retry: bool,
    ) -> None:
        self._layout, self._settings = layout, settings
        by_name = {video.name: video for video in listed}
        planned = [name for group in plan for name in group.names]
        # Hashes of videos by name; None of those that can't be read.
        self._known = {
            name: state.last[name].sha256
            for name in planned
            if name not in by_name or state.is_done(by_name[name], retry=retry)
        }
        missing = [by_name[name] for name in planned if name not in self._known]
        self.num_missing = len(missing)
        self._refused = [video for video in missing if video.error is not None]
        self._missing = deque(video for video in missing if video.error is None)
        self._groups = deque(plan)
        self._placed = set(state.placed)
        self._shards: deque[ShardTask] = deque()
        self._tried: set[int] = set()

    def read_all(self, run_tasks: RunTasks, limits: Limits) -> Generator[None, None, None]:
        """Do all of it; yields whenever a video is done.

        Args:
            run_tasks: keeps each video within the limits.
            limits: named where a video has met one.

        Raises:
            HimmelError: the cache cannot be written.
        """
        with (
            self._layout.journal.open("a", encoding="ascii") as journal,
            self._layout.index.open("a", encoding="ascii") as index,
        ):
            for video in self._refused:
                self._note_video(
                    Prepared(video.name, video.place, 0, 0, 0.0, cause="refused", error=video.error), journal
                )
                yield
            self._plan_shards()
            # The last shards are known only when all videos have been handed out.
            while self._missing or self._shards:
                with closing(run_tasks(self._tasks())) as outcomes:
                    for outcome in outcomes:
                        task = outcome.item
                        if isinstance(task, ShardTask):
                            if self._takes_again(task, outcome):
                                continue
                            self._note_shard(_shard_of(outcome, limits), task, journal, index)
                            continue
                        self._note_video(_line_about(task, outcome, limits), journal)
                        self._plan_shards()
                        yield

    def _tasks(self) -> Iterator[Task]:
        while self._shards or self._missing:
            yield self._shards.popleft() if self._shards else self._missing.popleft()

    def _takes_again(self, task: ShardTask, outcome: Outcome[Task, Done]) -> bool:
        """Put a shard back, once, whose process ended: a video before it may have left that short of memory."""
        ended = outcome.failure is not None and outcome.failure.cause in ("crash", "memory")
        if not ended or task.number in self._tried:
            return False
        self._tried.add(task.number)
        self._shards.append(task)
        return True

    def _plan_shards(self) -> None:
        """Hand out the shards whose videos are all done, in order, so that what is there twice is in the first."""
        while self._groups and all(name in self._known for name in self._groups[0].names):
            group = self._groups.popleft()
            videos = []
            for name in group.names:
                sha256 = self._known[name]
                key = None if sha256 is None else self._settings.key(sha256)
                if key is not None and key not in self._placed:
                    self._placed.add(key)
                    videos.append((key, name))
            if videos:
                self._shards.append(ShardTask(group.number, tuple(videos)))

    def _note_video(self, line: Prepared, journal: TextIO) -> None:
        journal.write(line.to_line())
        journal.flush()
        self._known[line.name] = line.sha256

    def _note_shard(self, shard: Shard, task: ShardTask, journal: TextIO, index: TextIO) -> None:
        os.fsync(journal.fileno())
        index.write(shard.to_line())
        index.flush()
        os.fsync(index.fileno())
        for key, _ in task.videos:
            self._layout.piece(key).unlink(missing_ok=True)


def _line_about(video: SourceVideo, outcome: Outcome[Task, Done], limits: Limits) -> Prepared:
    """What is noted of a video.

    Raises:
        HimmelError: the cache cannot be written.
    """
    about = video.name, video.place, video.bytes, video.modified, round(outcome.seconds, 4)
    if outcome.failure is not None:
        said = sentence_about(outcome.failure, video.name, limits)
        return Prepared(*about, cause=outcome.failure.cause, error=said)
    if isinstance(outcome.value, NotWritten):
        raise HimmelError(outcome.value.said)
    assert isinstance(outcome.value, Extracted)
    return Prepared(*about, outcome.value.sha256, outcome.value.video)


def _shard_of(outcome: Outcome[Task, Done], limits: Limits) -> Shard:
    """The shard that was made.

    Raises:
        HimmelError: it could not be.
    """
    if outcome.failure is not None:
        assert isinstance(outcome.item, ShardTask)
        raise HimmelError(_sentence_about_shard(outcome.item, outcome.failure, limits))
    if isinstance(outcome.value, NotWritten):
        raise HimmelError(outcome.value.said)
    assert isinstance(outcome.value, Shard)
    return outcome.value


def _sentence_about_shard(task: ShardTask, failure: Failure, limits: Limits) -> str:
    what = f"The file of shard {task.number} ({len(task.videos)} videos) cannot be made"
    match failure.cause:
        case "time":
            return f"{what} within {limits.seconds * _num_videos(task):g} s; allow more time (--time-limit)."
        case "memory":
            return f"{what} with {limits.memory // MEGABYTE:,} MB of memory; allow more (--memory-limit)."
        case "crash" | "refused" | "unexpected":
            return f"{what} ({failure.said.rstrip('.')}); run the same command again."


def _finish(layout: Layout) -> None:
    """Put the index in order, and remove what only an unfinished run needs."""
    write_index(layout, read_index(layout))
    layout.plan.unlink(missing_ok=True)
    shutil.rmtree(layout.pieces, ignore_errors=True)
