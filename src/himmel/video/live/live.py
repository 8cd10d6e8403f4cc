"""`LiveVideo`: a video that is still being made, followed in a rolling window."""

import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from himmel._checks import check_number, check_whole
from himmel._files import atomic_path
from himmel.errors import UsageError, VideoError
from himmel.video.arguments import count_workers
from himmel.video.describe.results import CameraSegment, Cut
from himmel.video.file.opened import open_video
from himmel.video.live.address import Address
from himmel.video.live.finder import EventFinder, Found
from himmel.video.live.reader import Reader
from himmel.video.live.results import EventKind, LiveEvent, LiveSpan
from himmel.video.live.ring import Group, Ring, write_groups
from himmel.video.live.template import TICKS
from himmel.video.video import Video

# Events are looked for whenever so much is new, with so much before it to compare with, and so much at once at most.
_EVERY: Final = 3 * TICKS
_BEFORE: Final = 12 * TICKS
_AT_ONCE: Final = 20 * TICKS
# The last pictures in order of decoding may be shown after some that have not come yet.
_REORDERED: Final = 3 * TICKS // 10
# A stream that is described more slowly than it comes: from which backlog on a part is left out, and what is kept.
_BACKLOG: Final = 30 * TICKS
_KEPT: Final = 6 * TICKS
_TICK: Final = 0.5
_MOST_MINUTES: Final = 24 * 60
_MOST_PATIENCE: Final = 24 * 3600.0
_MOST_MEGABYTES: Final = 2**20


@dataclass(frozen=True)
class LiveState:
    """Where a stream is.

    Attributes:
        start, end: what the window holds, in seconds since the stream's first picture.
        pictures: packets with pictures that came so far.
        connections: how often it was connected to.
        bytes: memory that the window's packets take.
        running: there may be more.
    """

    start: float
    end: float
    pictures: int
    connections: int
    bytes: int
    running: bool


class LiveVideo:
    """A growing file, a segment list or a network stream, of which the last minutes are kept as coded packets.

    A thread reads the source as it comes; of a file it reads no more than the first seconds until something is asked.
    Memory stays within `megabytes`, however long it runs: packets are kept, not pictures. The window begins at a
    keyframe, so that it is up to one group of pictures longer than asked for.

    Times are seconds since the first picture. They only rise: where the source's clock jumps or starts again, they are
    counted on; while a connection is lost, they go on with the clock on the wall.

    Args:
        source: a file that may still be written to, read from its beginning; a playlist (HLS); or an address that
            begins with http://, https://, rtsp://, rtsps://, rtmp://, rtmps://, tcp:// or udp://.
        minutes: what the window holds, up to a day.
        megabytes: most memory for it; where that is less than the minutes take, the window is shorter.
        patience: seconds without a picture, up to a day: after these, a file that no longer grows has ended, and a
            connection that was lost and did not come back is given up. It is tried again after 0.5, 1, 2, 4, 8, 8 ...
            seconds.
        options: FFmpeg's options for its protocol or format, such as {"rtsp_transport": "udp"}.

    Raises:
        VideoError: it can't be opened, or has no video.
        UsageError: an argument is out of its range, or such a source can't be followed.

    Example:
        >>> with LiveVideo("rtsp://camera.local/stream", minutes=10) as live:  # doctest: +SKIP
        ...     for event in live.events():
        ...         print(event.wall_start, event.words)
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        minutes: float = 5.0,
        megabytes: int = 256,
        patience: float = 60.0,
        options: Mapping[str, str] | None = None,
    ) -> None:
        seconds = 60 * check_number("minutes", minutes, 0.05, _MOST_MINUTES)
        most = check_whole("megabytes", megabytes, 1, _MOST_MEGABYTES) * 2**20
        check_number("patience", patience, 0.1, _MOST_PATIENCE)
        for name, value in (options or {}).items():
            if not (isinstance(name, str) and isinstance(value, str)):
                raise UsageError(f"FFmpeg's option {name!r}={value!r} is no pair of texts; give both as texts.")
        self._address = Address.of(source, dict(options or {}))
        self._ring = Ring(seconds=seconds, most=most)
        self._reader = Reader(self._address, self._ring, patience=patience)
        self._closed = False
        self._reader.start()
        try:
            with self._reader.changed:
                self._wait_for_pictures()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        state = self.state
        return (
            f"LiveVideo({self._address.shown}, {state.start:.1f}-{state.end:.1f} s, {state.pictures} pictures came,"
            f" {'running' if state.running else 'ended'})"
        )

    def __enter__(self) -> "LiveVideo":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def source(self) -> str:
        """The source as messages name it: without user and password, and without quotes."""
        return self._address.shown[1:-1]

    @property
    def is_remote(self) -> bool:
        """Whether it is on the network."""
        return self._address.remote

    @property
    def state(self) -> LiveState:
        """Where the stream is now."""
        with self._reader.changed:
            self._reader.release()
            groups, reader = self._ring.groups, self._reader
            first, last = (groups[0].start, groups[-1].end) if groups else (0, 0)
            return LiveState(
                start=first / TICKS,
                end=last / TICKS,
                pictures=reader.pictures,
                connections=reader.connections,
                bytes=self._ring.size,
                running=reader.running,
            )

    @property
    def failure(self) -> BaseException | None:
        """Why the source was given up; None while it runs, or if it ended by itself."""
        with self._reader.changed:
            return self._reader.failure

    def wall(self, seconds: float) -> datetime:
        """The time of day at a time of the stream, see `LiveEvent`."""
        with self._reader.changed:
            delay = self._reader.intake.delay
        return datetime.fromtimestamp(seconds + (time.time() if math.isinf(delay) else delay)).astimezone()

    def window(self) -> Video:
        """The last minutes as an ordinary video, up to the newest picture: a copy, removed with the object.

        Its `start` is where it begins in the stream; pictures of another size or codec that came before are left out.

        Raises:
            VideoError: nothing can be decoded yet, or there is no room for the copy.
        """
        with tempfile.TemporaryDirectory(prefix="himmel-live-") as folder:
            path = Path(folder) / "window.nut"
            self.save(path)
            with path.open("rb") as file:
                return Video(file)

    def save(self, path: str | os.PathLike[str]) -> LiveSpan:
        """Write the last minutes to a file of NUT, which `Video` and FFmpeg read; packets stay as they came.

        Returns:
            From when to when.

        Raises:
            VideoError: nothing can be decoded yet, or the file can't be written.
            HimmelError: its folder doesn't exist or can't be written.
        """
        with self._reader.changed:
            self._reader.release()
            self._wait_for_pictures()
            groups = self._ring.latest()
        with atomic_path(path) as unfinished:
            _write(unfinished, groups)
        return self._span(groups[0].start, groups[-1].end)

    def events(self, *, motion: bool = True, pictures_per_second: float = 8.0) -> Iterator[LiveEvent]:
        """What happens in the stream, as it happens: events come a few seconds after they are over.

        What lasts longer than a minute is told in pieces of a minute. Reading a file waits for the caller; a live
        stream does not, and where finding events is slower than the stream, a part of it is left out and a notice
        says so. Ends when the stream does. One caller at a time.

        Args:
            motion: find motion and cuts; without it, there are only notices about the stream itself.
            pictures_per_second: see `Video.describe`.

        Raises:
            UsageError: the argument is out of range.
            VideoError: the source was lost and given up.
        """
        per_second = check_number("pictures_per_second", pictures_per_second, 1e-6, 1000)
        return self._events(motion, per_second)

    def close(self) -> None:
        """Stop reading; the window stays."""
        self._closed = True
        self._reader.close()

    def _wait_for_pictures(self) -> None:
        reader = self._reader
        while not self._ring.groups and reader.running and not self._closed:
            reader.changed.wait(_TICK)
        if not self._ring.groups:
            self._raise_failure()
            raise VideoError(f"{self._address.shown} has no picture yet that can be decoded; wait for one.")

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _events(self, motion: bool, per_second: float) -> Iterator[LiveEvent]:
        reader, threads = self._reader, count_workers(None)
        finder: EventFinder | None = None
        try:
            with reader.changed:
                if motion and self._ring.groups:
                    reader.described = self._ring.groups[0].start
                reader.release()
            while not self._closed:
                with reader.changed:
                    piece = self._next_piece() if motion else None
                    if piece is None and not reader.notices:
                        if not reader.running:
                            break
                        reader.changed.wait(_TICK)
                    notices = [*reader.notices]
                    reader.notices.clear()
                yield from (self._notice(tick, sentence) for tick, sentence in notices)
                if piece is None:
                    continue
                finder = finder or EventFinder(per_second=per_second, threads=threads)
                yield from self._find(piece, finder)
                if piece.is_over:
                    finder = None
                with reader.changed:
                    reader.described = piece.until
                    reader.changed.notify_all()
        finally:
            with reader.changed:
                reader.described = None
                reader.changed.notify_all()
        if not self._closed:
            self._raise_failure()

    def _next_piece(self) -> "_Piece | None":
        """What is to be described next, once there is enough of it."""
        reader, groups = self._reader, list(self._ring.groups)
        if not groups:
            return None
        done = groups[0].start if reader.described is None else max(reader.described, groups[0].start)
        if not reader.waits and groups[-1].end - done > _BACKLOG:
            done = groups[-1].end - _KEPT
            reader.notices.append((done, "Finding events is slower than the stream; a part was left out"))
        first = next((k for k, group in enumerate(groups) if group.end > done), None)
        if first is None:
            return None
        stop = first + 1
        while stop < len(groups) and _go_on(groups[stop - 1], groups[stop]) and groups[stop].end <= done + _AT_ONCE:
            stop += 1
        grows = stop == len(groups) and reader.running
        if grows and groups[-1].end - done < _EVERY:
            return None
        begin = first
        while begin and _go_on(groups[begin - 1], groups[begin]) and groups[begin].start > done - _BEFORE:
            begin -= 1
        is_over = (not reader.running) if stop == len(groups) else not _go_on(groups[stop - 1], groups[stop])
        chosen = [*groups[begin : stop - 1], groups[stop - 1].copied() if grows else groups[stop - 1]]
        reader.described = done
        return _Piece(chosen, groups[stop - 1].end - (0 if is_over else _REORDERED), is_over)

    def _find(self, piece: "_Piece", finder: EventFinder) -> Iterator[LiveEvent]:
        try:
            with tempfile.TemporaryDirectory(prefix="himmel-live-") as folder:
                path = Path(folder) / "piece.nut"
                _write(path, piece.groups)
                found = finder.add(open_video(path), piece.until / TICKS, last=piece.is_over)
        except VideoError:
            yield self._notice(piece.groups[-1].start, "A part of the stream is damaged and was left out")
            return
        yield from map(self._event, found)

    def _event(self, found: Found) -> LiveEvent:
        kind: EventKind = "camera" if isinstance(found.what, CameraSegment) else "region"
        kind = "cut" if isinstance(found.what, Cut) else kind
        begin, end = self.wall(found.start), self.wall(found.end)
        return LiveEvent(found.start, found.end, begin, end, kind, found.words, found.what)

    def _notice(self, tick: int, sentence: str) -> LiveEvent:
        seconds = tick / TICKS
        return LiveEvent(seconds, seconds, self.wall(seconds), self.wall(seconds), "notice", sentence)

    def _span(self, begin: int, end: int) -> LiveSpan:
        return LiveSpan(begin / TICKS, end / TICKS, self.wall(begin / TICKS), self.wall(end / TICKS))


@dataclass(frozen=True)
class _Piece:
    """Groups to describe, up to when they are whole (in ticks), and whether their stretch ends there."""

    groups: list[Group]
    until: int
    is_over: bool


def _go_on(one: Group, other: Group) -> bool:
    return one.stretch == other.stretch and one.format == other.format


def _write(path: Path, groups: list[Group]) -> None:
    try:
        write_groups(path, groups)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise VideoError(
            f"The window cannot be written to {str(path.parent)!r} ({reason}); free some space there, or set TMPDIR to"
            " another folder for temporary files."
        ) from error
