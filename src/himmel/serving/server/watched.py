"""Streams that the server follows, so that requests may ask about their last minutes by `live:NAME`."""

import hashlib
import logging
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from himmel.errors import HimmelError, UsageError, VideoError
from himmel.serving.server.limits import MEBIBYTE, Limits
from himmel.serving.server.refusal import Refusal
from himmel.serving.server.spool import Stored
from himmel.video.live import LiveSpan, LiveVideo
from himmel.video.live.address import Address

_log = logging.getLogger("himmel.serve")

LIVE: Final = "live:"
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# Seconds before a stream that could not be opened, or was given up, is tried again.
_AGAIN: Final = 5.0
# How often it is looked whether a stream has ended, in seconds.
_LOOK: Final = 0.5
# Requests that come within so many seconds share one copy of a window.
_FRESH: Final = 1.0
# How long the end of the server waits for a stream, which FFmpeg may hold.
_LEAVING: Final = 3.0

State = Literal["opening", "running", "lost", "ended"]


@dataclass(frozen=True)
class Window:
    """A copy of a stream's last minutes.

    Attributes:
        file: where it lies.
        span: from when to when.
    """

    file: Stored
    span: LiveSpan

    def stretch(self, start: float | None, end: float | None) -> tuple[float | None, float | None]:
        """A stretch of the stream, in seconds since the window's beginning.

        Args:
            start, end: seconds since the stream's first picture; below 0, since the newest one. What comes before the
                window or after it is left out; None stands for the window's own.

        Raises:
            Refusal: nothing of it is in the window.
        """
        length = self.span.end - self.span.start
        first, last = (self._within(time) for time in (start, end))
        if (first is not None and first >= length) or (last is not None and last <= max(first or 0.0, 0.0)):
            raise Refusal(
                400,
                f"Of the stretch from {start} to {end} nothing is there; the stream's times from {self.span.start:.1f} "
                f"to {self.span.end:.1f} s are, or those from {-length:.1f} to 0 s before its newest picture.",
                code="invalid_value",
            )
        return first if first is None or first > 0 else None, last if last is None or last < length else None

    def _within(self, time: float | None) -> float | None:
        if time is None:
            return None
        return time - self.span.start if time >= 0 else time + self.span.end - self.span.start


def read_watched(entries: list[str]) -> dict[str, str]:
    """Sources by name, of texts NAME=SOURCE.

    Raises:
        UsageError: a text is none such, a name is there twice, or such a source can't be followed.
    """
    found: dict[str, str] = {}
    for entry in entries:
        name, equals, source = entry.partition("=")
        if not equals or not source or not _NAME.fullmatch(name):
            raise UsageError(
                f"{entry!r} names no stream; write NAME=SOURCE, such as door=rtsp://camera.local/stream, with letters, "
                "digits, _, . and - in the name."
            )
        if name in found:
            raise UsageError(f"There are two streams {name!r}; give each a name of its own.")
        # A file that is not there yet may be made later.
        with suppress(VideoError):
            Address.of(source, {})
        found[name] = source
    return found


class Watched:
    """Streams that are followed, each by a thread of its own; for any number of threads.

    Args:
        sources: see `LiveVideo`, by name.
        limits: see `Limits`: `watch_seconds`, `watch_bytes`, `watch_patience`.
        folder: for copies of windows; None for the system's place for temporary files.

    Raises:
        OSError: the folder can't be made.
    """

    def __init__(self, sources: Mapping[str, str], limits: Limits, folder: Path | None = None) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix="himmel-serve-live-", dir=folder))
        self._streams = {name: _Stream(name, source, limits, self._folder) for name, source in sources.items()}

    def start(self) -> None:
        """Begin to follow; what cannot be opened is tried again and again."""
        for stream in self._streams.values():
            stream.start()

    def close(self) -> None:
        """Follow nothing more, and remove the copies."""
        for stream in self._streams.values():
            stream.stop()
        for stream in self._streams.values():
            stream.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def describe(self) -> list[dict[str, Any]]:
        """Each stream as an object of `/v1/live`; its source is not told."""
        return [stream.describe() for stream in self._streams.values()]

    @contextmanager
    def window(self, name: str) -> Iterator[Window]:
        """A copy of a stream's last minutes, which is there within the block.

        Raises:
            Refusal: there is no such stream, nothing can be decoded of it now, or there is no room for the copy.
        """
        stream = self._streams.get(name)
        if stream is None:
            raise Refusal(
                404, f"No stream {name[:64]!r} is watched here; /v1/live lists those that are.", code="no_such_stream"
            )
        with stream.window() as found:
            yield found


class _Copy:
    """A window's copy, and how many requests hold it."""

    def __init__(self, window: Window, taken: float) -> None:
        self.window, self.taken, self.holders = window, taken, 0


class _Stream:
    def __init__(self, name: str, source: str, limits: Limits, folder: Path) -> None:
        self._name, self._source, self._limits, self._folder = name, source, limits, folder
        self._video: LiveVideo | None = None
        self._state: State = "opening"
        self._why = "it is being opened"
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"himmel-live-{name}", daemon=True)
        self._lock = threading.Lock()
        self._newest: _Copy | None = None
        self._held = self._count = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def join(self) -> None:
        if self._thread.ident is not None:
            self._thread.join(_LEAVING)

    def describe(self) -> dict[str, Any]:
        video, state = self._video, self._state
        found: dict[str, Any] = {"id": LIVE + self._name, "object": "live", "state": state}
        if state in ("opening", "lost"):
            found["why"] = self._why
        if video is None or state in ("opening", "lost"):
            return found
        now = video.state
        window = LiveSpan(now.start, now.end, video.wall(now.start), video.wall(now.end)).to_dict()
        counts = {"pictures": now.pictures, "connections": now.connections, "bytes": now.bytes}
        return found | {"window": window, **counts}

    @contextmanager
    def window(self) -> Iterator[Window]:
        with self._lock:
            copy = self._newest
            if copy is None or not copy.holders or time.monotonic() - copy.taken > _FRESH:
                copy = self._newest = self._take()
            copy.holders += 1
        try:
            yield copy.window
        finally:
            with self._lock:
                copy.holders -= 1
                if not copy.holders:
                    self._held -= copy.window.file.size
                    copy.window.file.path.unlink(missing_ok=True)

    def _take(self) -> _Copy:
        """A copy as of now."""
        video = self._video
        if video is None or self._state in ("opening", "lost"):
            raise self._away(self._why)
        if self._held + video.state.bytes > self._limits.spool_bytes:
            raise Refusal(
                503, "Too many requests hold copies of this stream; ask again later.", code="no_room", retry_after=5
            )
        self._count += 1
        path = self._folder / f"{self._name}-{self._count}.nut"
        try:
            span = video.save(path)
        except HimmelError as error:
            raise self._away(self._plain(error)) from error
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = path.stat().st_size
        self._held += size
        return _Copy(Window(Stored(path, digest, size), span), time.monotonic())

    def _away(self, why: str) -> Refusal:
        return Refusal(
            503,
            f"The stream {self._name!r} cannot be asked about now: {why}. It is tried again; ask later.",
            code="stream_lost",
            retry_after=5,
        )

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                video = LiveVideo(
                    self._source,
                    minutes=self._limits.watch_seconds / 60,
                    megabytes=max(self._limits.watch_bytes // MEBIBYTE, 1),
                    patience=self._limits.watch_patience,
                )
            except HimmelError as error:
                self._lose(self._plain(error))
            else:
                with video:
                    self._video, self._state = video, "running"
                    failure = self._follow(video)
                    if failure is None:
                        # Of a recording that has ended, the last minutes are there as long as the server.
                        self._state = "ended" if not self._stopped.is_set() else self._state
                        self._stopped.wait()
                        return
                    self._lose(self._plain(failure))
            self._stopped.wait(_AGAIN)

    def _follow(self, video: LiveVideo) -> BaseException | None:
        """Wait until a stream ends; why it was given up, or None if it ended by itself or the server does."""
        while not self._stopped.is_set():
            # Asked for its state, a file is read on.
            if not video.state.running:
                return video.failure
            self._stopped.wait(_LOOK)
        return None

    def _lose(self, why: str) -> None:
        if self._state != "lost":
            _log.warning("The stream %r is lost: %s", self._name, why)
        self._why, self._state, self._video = why, "lost", None

    def _plain(self, error: BaseException) -> str:
        """Why, as the end of a sentence, without the source, which clients are not told."""
        said = re.search(r"\(([^()]*)\)", _QUOTED.sub("", str(error)))
        return said[1] if said else "no picture of it can be decoded"
