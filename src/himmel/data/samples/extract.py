"""Reading a video to learn from, in a process that it can't take the training down with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from himmel.data.samples.sample import Medium
from himmel.data.workers import Apart, Failure, Limits
from himmel.errors import HimmelError
from himmel.video import Decomposition, Video


@dataclass(frozen=True)
class Extraction:
    """What is read of a video.

    Attributes:
        medium: the video.
        options: of `Video.decompose`.
        last: whether its last picture is read too.
    """

    medium: Medium
    options: Mapping[str, Any] = field(default_factory=dict)
    last: bool = False


@dataclass(frozen=True)
class VideoRead:
    """A video that was read.

    Attributes:
        decomposition: its streams.
        last: its last picture, uint8 [H, W, 3], if that was asked for.
        features: what the host's frozen vision part makes of the anchors and of `last`, where that is known: float16
            [n, D], pooled, or [n, C, s, s], a tower's maps.
    """

    decomposition: Decomposition
    last: npt.NDArray[np.uint8] | None = None
    features: npt.NDArray[np.float16] | None = None


class UnreadableError(Exception):
    """A video, or another file of a sample, can't be used.

    Attributes:
        cause: see `himmel.data.samples.skipped.Skipped`.
        why: a sentence or a clause.
        what: name of the file, if it is another than the sample's first medium, see `Sample.sources`.
    """

    def __init__(self, cause: str, why: str, *, what: str | None = None) -> None:
        super().__init__(why)
        self.cause, self.why, self.what = cause, why, what


class NoReaderError(HimmelError):
    """No process can be started to read videos, for which no video is to blame."""


def extract(wanted: Extraction) -> VideoRead:
    """Read a video here and now, on one thread.

    Raises:
        HimmelError: it can't be read.
    """
    # Readers are many on a machine, and the stacks of a pool's threads count as memory that a video may take.
    cv2.setNumThreads(1)
    medium = wanted.medium
    video = Video(medium.path)
    if medium.start is not None or medium.end is not None:
        video = video.between(medium.start or 0.0, medium.end)
    found = video.decompose(**wanted.options, threads=1)
    last = video.frames([video.num_frames - 1], threads=1).frames[0].image if wanted.last else None
    return VideoRead(found, last)


class ApartReader:
    """Reads videos in one process of its own, which is started at the first, and again after one that took too much.

    It may be made anywhere and used in any one process, such as a DataLoader's worker.

    Args:
        limits: of one video.
        work: what is done with each; it can be pickled, as a function of a module can.
    """

    def __init__(self, limits: Limits, *, work: Callable[[Extraction], VideoRead] = extract) -> None:
        self._limits = limits
        self._apart = Apart(work, limits)

    def read(self, wanted: Extraction) -> VideoRead:
        """Read a video.

        Raises:
            UnreadableError: it can't be read, or not within the limits.
            NoReaderError: no process can be started.
        """
        try:
            outcome = self._apart(wanted)
        except HimmelError as error:
            raise NoReaderError(str(error)) from error
        if outcome.value is not None:
            return outcome.value
        raise UnreadableError(*_explain(outcome.failure or Failure("unexpected"), self._limits))


def _explain(failure: Failure, limits: Limits) -> tuple[str, str]:
    said = {
        "time": f"it took more than {limits.seconds:g} seconds",
        "memory": f"it took more than {limits.memory >> 20:,} MB of memory",
        "crash": f"reading it ended the process ({failure.said})",
    }
    return failure.cause, said.get(failure.cause, failure.said)
