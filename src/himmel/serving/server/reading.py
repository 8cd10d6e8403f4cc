"""Videos and pictures read in processes of their own: a file that crashes, hangs or fills one costs its own request."""

import hashlib
import io
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Final, Literal

import cv2
import numpy as np
from PIL import Image, ImageOps

from himmel.data.workers import Apart, Failure, Outcome
from himmel.data.workers import Limits as WorkerLimits
from himmel.errors import HimmelError, VideoError
from himmel.methods.answer import describe_picture
from himmel.methods.prepared import count_bytes
from himmel.methods.protocol import Read, Reading
from himmel.methods.source import Readable
from himmel.serving.server.containers import check_container
from himmel.serving.server.limits import Limits
from himmel.serving.server.refusal import Refusal
from himmel.video import Anchor, Video
from himmel.video.live import LiveSpan

_log = logging.getLogger("himmel.serve")

Kind = Literal["video", "pictures"]
# A worker takes seconds to start, in which it may be ended as well.
_STARTS: Final = 3
# Formats that Pillow reads by itself: some others start programs.
_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


@dataclass(frozen=True)
class Medium(Readable):
    """A video or pictures of a request, known by their content.

    Attributes:
        kind: a video, or one picture or more that are shown one after another.
        sha256: of each file; a video has one.
        start, end: the stretch of a video that is asked about, in seconds; None for its own beginning and end.
        paths: where the files lie.
        readers: what reads them.
        window: of a watched stream, which part of it the video is.
    """

    kind: Kind
    sha256: tuple[str, ...]
    start: float | None = None
    end: float | None = None
    paths: tuple[Path, ...] = field(default=(), compare=False)
    readers: "Readers | None" = field(default=None, compare=False, repr=False)
    window: LiveSpan | None = field(default=None, compare=False)

    @property
    def lasts(self) -> bool:
        """See `Readable`: a stream's window is another one by the next question."""
        return self.window is None

    def read(self, reading: Reading, *, threads: int | None = None) -> Read:
        """Read it in a worker, on one thread of that.

        Raises:
            VideoError: it can't be read, or takes too much.
            HimmelError: no worker can be started.
        """
        del threads
        assert self.readers is not None
        return self.readers.read(Task(self, reading, self.readers.limits))


@dataclass(frozen=True)
class Task:
    """What a worker is given; `medium` comes without its readers."""

    medium: Medium
    reading: Reading
    limits: Limits


class Readers:
    """Workers that read; for any number of threads, of which as many are served at once as there are workers.

    Args:
        limits: see `Limits`.
        ended: told why a worker was ended or ended itself.
    """

    def __init__(self, limits: Limits, *, ended: Callable[[str], None] = lambda cause: None) -> None:
        self.limits = limits
        self._ended = ended
        apart = WorkerLimits(seconds=limits.read_seconds, memory=limits.read_bytes)
        self._all = [Apart(work, apart) for _ in range(limits.workers)]
        # The last one back goes first, as its memory is warm.
        self._idle: LifoQueue[Apart[Task | None, Read | None]] = LifoQueue()
        for one in self._all:
            self._idle.put(one)

    def start(self) -> None:
        """Start all workers, which takes each some seconds.

        Raises:
            HimmelError: one cannot be started.
        """
        for one in self._all:
            one(None)

    def close(self) -> None:
        """End the workers that have nothing to do; the others end with this process."""
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return

    def read(self, task: Task) -> Read:
        """See `Medium.read`.

        Raises:
            VideoError: it can't be read, or takes too much.
            Refusal: no worker can be started.
        """
        apart = self._idle.get()
        try:
            outcome = _call(apart, replace(task, medium=replace(task.medium, readers=None)))
        finally:
            self._idle.put(apart)
        if outcome.value is not None:
            return outcome.value
        failure = outcome.failure or Failure("unexpected")
        if failure.cause in ("time", "memory", "crash"):
            self._ended(failure.cause)
        raise VideoError(_explain(failure, self.limits, "video" if task.medium.kind == "video" else "picture"))


def _call(apart: "Apart[Task | None, Read | None]", task: Task) -> "Outcome[Task | None, Read | None]":
    """Have a task done; a worker that is ended before it has begun is no fault of the file, and is started again."""
    for _ in range(_STARTS):
        try:
            return apart(task)
        except HimmelError as error:
            _log.warning("A process that reads videos could not be started: %s", error)
    raise Refusal(
        503, "The server cannot start a process to read the file with now; try again.", code="no_reader", retry_after=5
    )


def work(task: Task | None) -> Read | None:
    """Read in this process, which is a worker; nothing for None.

    Raises:
        VideoError: the file can't be read or is over a limit.
        UsageError: as `Reading.read`.
    """
    # Workers share the machine's cores with each other and the model.
    cv2.setNumThreads(1)
    # Sizes are held to a limit of their own before anything is decoded.
    Image.MAX_IMAGE_PIXELS = None
    if task is None:
        return None
    try:
        read = _read_video(task) if task.medium.kind == "video" else _read_pictures(task)
    except HimmelError as error:
        said = str(error)
        for path in task.medium.paths:
            said = said.replace(repr(str(path)), "the file")
        raise VideoError(said[:1].upper() + said[1:]) from error
    _check_bytes(count_bytes(read), task)
    return read


def _check_bytes(taken: int, task: Task) -> None:
    if taken > task.limits.decoded_bytes:
        raise VideoError(
            f"What is read of the {task.medium.kind} takes {taken:,} bytes and {task.limits.decoded_bytes:,} are "
            "allowed here; ask for fewer frames, or send smaller pictures."
        )


def _read_video(task: Task) -> Read:
    medium, limits = task.medium, task.limits
    check_container(medium.paths[0])
    video = Video(medium.paths[0])
    _check_pixels(video.width, video.height, limits)
    if medium.start is not None or medium.end is not None:
        video = video.between(medium.start or 0.0, medium.end)
    if video.duration > limits.duration:
        raise VideoError(
            f"The video lasts {video.duration:,.0f} seconds and at most {limits.duration:,.0f} are read here; name a "
            "stretch of it by start and end."
        )
    video.start_hash()
    read = task.reading.read(video, threads=1)
    # What is kept of it is found again by this hash.
    if read.record.sha256 is not None and read.record.sha256 != medium.sha256[0]:
        raise VideoError("The video was changed while it was read; ask again.")
    return read


def _read_pictures(task: Task) -> Read:
    frames: list[Anchor] = []
    for number, (path, sha256) in enumerate(zip(task.medium.paths, task.medium.sha256, strict=True)):
        image = _decode(path, sha256, task.limits)
        frames.append(Anchor(frame=number, time=0.0, keyframe=True, image=image))
        # Before more of them fill the process.
        _check_bytes(sum(one.image.nbytes for one in frames), task)
    record = describe_picture(frames[0].image, path="<picture>", sha256=task.medium.sha256[0])
    return Read(tuple(frames), record)


def _decode(path: Path, sha256: str, limits: Limits) -> "np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]":
    """A picture as uint8 [H, W, 3], turned as its camera says."""
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise VideoError("The picture was changed before it was read; ask again.")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            _check_pixels(*picture.size, limits)
            return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"), np.uint8)
    except HimmelError:
        raise
    except Exception as error:
        raise VideoError("The file is no picture that can be read; send a JPEG, PNG or WebP.") from error


def _check_pixels(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.pixels:
        raise VideoError(
            f"A picture of {width} x {height} pixels has more than the {limits.pixels:,} that are read here; send a "
            "smaller one."
        )


def _explain(failure: Failure, limits: Limits, kind: str) -> str:
    said = {
        "time": f"Reading the {kind} takes more than {limits.read_seconds:g} seconds; send a shorter or smaller one.",
        "memory": f"Reading the {kind} takes more than {limits.read_bytes >> 20:,} MB of memory; send a smaller one.",
        "crash": f"Reading the {kind} ended the process that read it; the file is damaged, encode it again.",
        "unexpected": f"The {kind} cannot be read; encode it again.",
    }
    return said.get(failure.cause, failure.said)
