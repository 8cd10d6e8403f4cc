"""Every picture of a video, one by one, however long it is: its maps, or its motion vectors."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from himmel import choices
from himmel.choices import BackendName, DistanceKind, PictureType, ResidualKind
from himmel.errors import VideoError
from himmel.video.backends.choice import Choice, choose_backend
from himmel.video.backends.protocol import Backend, Found, FoundVectors
from himmel.video.file.decoder import Segment
from himmel.video.file.index import PictureIndex
from himmel.video.file.opened import VideoFile
from himmel.video.file.source import show
from himmel.video.results import Picture, PictureVectors

Item = TypeVar("Item", Picture, PictureVectors)
Read = TypeVar("Read", Found, FoundVectors)

# After so many pictures reading starts again at a keyframe, so that memory does not grow with the video's length.
_PIECE = 4096
# One that comes later than this after its successor is lost; backends promise half of it.
_PATIENCE = 64


@dataclass(frozen=True, eq=False)
class FullRate(Generic[Item]):
    """The pictures `range(start, stop)` of a video, read while you iterate; each iteration starts from the beginning.

    Pictures come in presentation order. One that cannot be read is left out.

    Attributes:
        backend, backend_reason, residual_kind, distance_kind: see `Decomposition`.
        start, stop: presentation indices.
    """

    backend: BackendName
    backend_reason: str
    residual_kind: ResidualKind
    distance_kind: DistanceKind
    start: int
    stop: int
    _read: Callable[[], Iterator[Item]]

    def __repr__(self) -> str:
        return f"FullRate(backend={self.backend!r}, start={self.start}, stop={self.stop})"

    def __iter__(self) -> Iterator[Item]:
        return self._read()

    @classmethod
    def of(cls, choice: Choice, start: int, stop: int, read: Callable[[], Iterator[Item]]) -> "FullRate[Item]":
        """What a backend reads."""
        backend = choice.backend
        kinds = backend.residual_kind, backend.distance_kind
        return cls(backend.name, choice.reason, *kinds, start, stop, read)


def choose_for_vectors(file: VideoFile, asked: choices.Backend) -> Choice:
    """A backend that lists vectors.

    Raises:
        VideoError: the file has none.
    """
    choice = choose_backend(file, asked, has_steps=True)
    if choice.backend.has_vectors:
        return choice
    why = "proxy estimates motion and does not read vectors" if asked == choice.backend.name else choice.reason
    raise VideoError(
        f"{show(file.path)} has no vectors to list ({why}); read maps, which are estimated where a file has no vectors,"
        " or ask for backend 'libav' to get what FFmpeg exports."
    )


def read_pictures(file: VideoFile, backend: Backend, start: int, stop: int, cell: int) -> Iterator[Picture]:
    """Maps of the pictures `range(start, stop)`."""
    with backend.source(file, accumulate=backend.always_accumulates) as source:
        every = backend.every(source, _pieces(source, start, stop), cell)
        for frame, found in _in_order(every, source.index, start):
            step = found.step
            yield Picture(
                *_told(file, frame, found),
                num_vectors=step.num_vectors,
                past=step.past,
                future=step.future,
                past_valid=step.past_valid,
                future_valid=step.future_valid,
                past_distance=step.past_distance,
                future_distance=step.future_distance,
                residual=step.residual,
                covered=step.covered,
            )


def read_vectors(file: VideoFile, backend: Backend, start: int, stop: int) -> Iterator[PictureVectors]:
    """Vectors of the pictures `range(start, stop)`."""
    with backend.source(file, accumulate=False) as source:
        frames = _frames(source.index)
        found_vectors = backend.vectors(source, _pieces(source, start, stop))
        for frame, found in _in_order(found_vectors, source.index, start):
            vectors, numbers = found.vectors, found.vectors["reference"]
            vectors["reference"] = np.where(numbers < 0, -1, frames[np.maximum(numbers, 0)])
            yield PictureVectors(*_told(file, frame, found), vectors=vectors)


def _told(
    file: VideoFile, frame: int, found: Found | FoundVectors
) -> tuple[int, float, PictureType, bool, int, float, bool]:
    """The fields of `CodedPicture`."""
    index, number = file.index, int(file.index.order[frame])
    bits = 8 * int(index.size[number : index.end_of(number) + 1].sum())
    key = bool(index.key[number])
    return frame, float(file.times[frame]), found.type, key, bits, found.quantiser, found.damaged


def _frames(index: PictureIndex) -> npt.NDArray[np.int32]:
    """Presentation index of each picture by decode-order number; -1 for those that are not shown."""
    frames = np.full(len(index.size), -1, np.int32)
    frames[index.order] = np.arange(len(index.order))
    return frames


def _pieces(file: VideoFile, start: int, stop: int) -> Iterator[Segment]:
    """The pictures `range(start, stop)` in pieces that begin with keyframes, each read from the keyframe before that.

    With periodic intra refresh or open groups of pictures, what is marked as a keyframe gives no whole picture, or not
    those that are shown before it.
    """
    index = file.index
    while start < stop:
        at = int(np.searchsorted(file.keyframes, start + _PIECE))
        end = min(int(file.keyframes[at]), stop) if at < len(file.keyframes) else stop
        numbers = sorted(index.order[start:end].tolist())
        begin = min(index.start_for(number) for number in numbers)
        earlier = index.key_numbers[index.key_numbers < begin]
        yield Segment(int(earlier[-1]) if len(earlier) else begin, tuple(numbers))
        start = end


def _in_order(read: Iterable[Read], index: PictureIndex, start: int) -> Iterator[tuple[int, Read]]:
    """(presentation index, picture) in presentation order, each once."""
    frames = _frames(index)
    waiting: list[tuple[int, int, Read]] = []
    arrival = count()
    following = start
    for found in read:
        heappush(waiting, (int(frames[found.number]), next(arrival), found))
        while waiting and (waiting[0][0] <= following or len(waiting) > _PATIENCE):
            frame, _, first = heappop(waiting)
            if frame >= following:
                yield frame, first
                following = frame + 1
    for frame, _, found in sorted(waiting):
        if frame >= following:
            yield frame, found
            following = frame + 1
