"""Videos as a session keeps them: what was read of one, and what the model needs of it."""

import time
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields

from himmel.errors import UsageError
from himmel.methods.answer import VideoRead
from himmel.methods.protocol import Method, Read, Shown
from himmel.video import Decomposition


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a method's model sees of a video, ready to be asked about; `Session.prepare` makes it.

    Attributes:
        shown: pictures and streams.
        video: the record of what was read.
        notes: sentences about what was unusual.
        key: equal for equal videos that were prepared alike; None where nothing of it is kept.
        seconds: wall time by stage of what was done for this; empty where all of it was there already.
    """

    shown: Shown
    video: VideoRead
    notes: tuple[str, ...]
    key: Hashable = None
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def num_bytes(self) -> int:
        """Memory of its tensors."""
        return sum(tensor.nbytes for tensor in self.shown.sample.tensors().values())


def streams_of(read: Read, method: Method) -> Decomposition:
    """What `draw_streams` draws.

    Raises:
        UsageError: the method reads no streams.
    """
    if read.decomposition is None:
        raise UsageError(
            f"The method {method.name!r} reads no streams that could be drawn; leave the picture out, or ask by the "
            "method 'himmel'."
        )
    return read.decomposition


def count_bytes(read: Read) -> int:
    """Memory of all arrays."""
    total = sum(frame.image.nbytes for frame in read.frames)
    for interval in () if read.decomposition is None else read.decomposition.intervals:
        arrays = [interval.frames, interval.times, *(vars(interval.maps)[item.name] for item in fields(interval.maps))]
        total += sum(array.nbytes for array in arrays)
        total += sum(extra.nbytes for extra in (interval.rgb_difference, interval.sound) if extra is not None)
    if read.spending is not None:
        total += sum(plane.nbytes for plane in (read.spending.energy, read.spending.motion, read.spending.place_bits))
    return total


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add the block's wall time to a stage's."""
    begin = time.perf_counter()
    yield
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - begin
