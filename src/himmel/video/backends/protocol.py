"""What a backend is: one source of maps behind one protocol, and the records that go in and out.

A backend is a class in a module of its own, named in `choice`. Whoever reads a video asks it whether it can read the
file, gives it the pictures that are wanted, and lets workers carry out what it plans.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from himmel.choices import BackendName, DistanceKind, PictureType, ResidualKind
from himmel.video.file.decoder import Decoder, Segment
from himmel.video.file.opened import VideoFile
from himmel.video.maps.raster import grid_shape

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class Step:
    """Maps of one picture; the fields of `StepMaps` without their first axis.

    Attributes:
        num_vectors: motion vectors that they were made from.
    """

    past: FloatArray
    future: FloatArray
    past_valid: FloatArray
    future_valid: FloatArray
    past_distance: float
    future_distance: float
    residual: FloatArray
    covered: FloatArray
    num_vectors: int

    @classmethod
    def empty(cls, grid: tuple[int, int]) -> "Step":
        """Nothing has moved, and nothing is known."""
        none, zero = np.zeros((2, *grid), np.float32), np.zeros(grid, np.float32)
        return cls(none, none, zero, zero, 0.0, 0.0, np.zeros((3, *grid), np.float32), zero, 0)


@dataclass(frozen=True, repr=False)
class Spent:
    """What the codec spent on one picture, and where: float32 [R, C], in displayed orientation.

    Attributes:
        energy: mean square of the luma residual over the cell, in squared 8-bit code values.
        motion: how far the content moves a frame interval, mean over the cell, in luma pixels.
        bits: of slice data on the cell; None where only the whole picture's are known.
        intra: share of the whole picture that is intra-coded, 0..1.
    """

    energy: FloatArray
    motion: FloatArray
    bits: FloatArray | None
    intra: float

    @classmethod
    def of(cls, step: Step) -> "Spent":
        """As far as maps tell it: what is predicted from no other picture counts as intra-coded."""
        covered = np.minimum(step.covered, 1)
        energy = step.residual[0] ** 2 * covered
        return cls(energy, _speed(step), None, float(1 - covered.mean()))


def _speed(step: Step) -> FloatArray:
    """Mean length of displacements a frame interval, times the share of the cell that moves by any."""
    total = np.zeros_like(step.covered)
    for displacement, valid, distance in (
        (step.past, step.past_valid, step.past_distance),
        (step.future, step.future_valid, step.future_distance),
    ):
        if distance > 0:
            total += np.hypot(displacement[0], displacement[1]) * valid / np.float32(distance)
    both = step.past_valid + step.future_valid
    share = np.maximum(step.past_valid, step.future_valid)
    return np.divide(total * share, both, out=np.zeros_like(total), where=both > 0)


@dataclass(repr=False)
class Extract:
    """What one or several segments gave, by decode-order numbers.

    Attributes:
        images: of anchors, uint8 [H, W, 3].
        steps: maps.
        damaged: pictures that were looked at and lack some parts, which decoders guess.
        resized: pictures that were looked at and have another size than the file's first.
        refusal: why the last packet that gave no picture was refused, see `Decoder`.
    """

    images: dict[int, npt.NDArray[np.uint8]] = field(default_factory=dict)
    steps: dict[int, Step] = field(default_factory=dict)
    damaged: set[int] = field(default_factory=set)
    resized: set[int] = field(default_factory=set)
    refusal: BaseException | None = None

    def mark(self, number: int, *, damaged: bool, resized: bool) -> None:
        """Say how a picture came; if it is read again, only the last time counts."""
        for marked, is_so in ((self.damaged, damaged), (self.resized, resized)):
            if is_so:
                marked.add(number)
            else:
                marked.discard(number)


def merge(extracts: Iterable[Extract]) -> Extract:
    """Join the results of several segments."""
    whole = Extract()
    for extract in extracts:
        whole.images.update(extract.images)
        whole.steps.update(extract.steps)
        whole.damaged |= extract.damaged
        whole.resized |= extract.resized
        whole.refusal = extract.refusal or whole.refusal
    return whole


class Found(NamedTuple):
    """Maps of one picture, with what else is known of it once it is read; see `CodedPicture`."""

    number: int
    type: PictureType
    step: Step
    quantiser: float = math.nan
    damaged: bool = False


class FoundVectors(NamedTuple):
    """Vectors of one picture, `VECTOR` [V]; `reference` holds decode-order numbers."""

    number: int
    type: PictureType
    vectors: npt.NDArray[np.void]
    quantiser: float = math.nan
    damaged: bool = False


@dataclass(frozen=True, eq=False)
class Plan:
    """What to read of one file, by decode-order numbers, the same for all of its segments.

    Attributes:
        anchors, steps: pictures of which the image, or the maps, are wanted.
        cell: side of a cell in luma pixels.
        max_anchor_pixels: size to which anchors' images are shrunk, None for never.
    """

    file: VideoFile
    anchors: frozenset[int]
    steps: frozenset[int]
    cell: int
    max_anchor_pixels: int | None

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of the maps."""
        return grid_shape(*self.file.displayed_size, self.cell)


@dataclass(frozen=True, eq=False)
class Wanted:
    """What a decomposition needs of a backend.

    Attributes:
        file: what anchors are decoded from.
        source: what steps are read from, as `Backend.source` gave it; its pictures are those of `file`.
        anchors: int64 [n], presentation indices.
        steps: int64 [F] for each of the n intervals, presentation indices.
        cell, max_anchor_pixels: see `Plan`.
        accumulate: trace each step back to where its interval begins.
    """

    file: VideoFile
    source: VideoFile
    anchors: IntArray
    steps: tuple[IntArray, ...]
    cell: int
    max_anchor_pixels: int | None
    accumulate: bool

    def plan(self) -> Plan:
        """Anchors and steps, all read from `source`."""
        return self._plan(self.source, self.anchors, np.concatenate(self.steps))

    @property
    def is_copy(self) -> bool:
        """Whether steps are read from another file than anchors."""
        return self.source.path != self.file.path

    def plan_anchors(self) -> Plan:
        """The anchors alone."""
        file = self.file if self.is_copy else self.source
        return self._plan(file, self.anchors, np.zeros(0, np.int64))

    def plan_steps(self) -> Plan:
        """The steps alone."""
        return self._plan(self.source, np.zeros(0, np.int64), np.concatenate(self.steps))

    def _plan(self, file: VideoFile, anchors: IntArray, steps: IntArray) -> Plan:
        order = file.index.order
        numbers = frozenset(order[anchors].tolist()), frozenset(order[steps].tolist())
        return Plan(file, *numbers, self.cell, self.max_anchor_pixels)


@dataclass(frozen=True, eq=False)
class Work:
    """Stretches of a file and what to do with each.

    Attributes:
        read: what gives the maps and images of a stretch.
        vectors: the decoder has to export motion vectors.
    """

    read: Callable[[Decoder, Segment], Extract]
    file: VideoFile
    segments: tuple[Segment, ...]
    vectors: bool = False


@dataclass(frozen=True, eq=False)
class Reading:
    """How a backend reads what is wanted: work that workers do in any order, and sentences for the user."""

    work: list[Work]
    notes: tuple[str, ...] = ()


class Backend(Protocol):
    """One source of maps; instances hold nothing. What few backends need has a default that says that they don't.

    Attributes:
        codecs: FFmpeg's names of the only codecs that it can read; None for any.
        residual_kind, distance_kind: see `Decomposition`.
        step_cost: what has to be done for one step, in a clause.
        always_accumulates: its maps go back to where their interval begins whether that is asked for or not.
        has_vectors: there are vectors to be listed.
    """

    name: BackendName
    codecs: frozenset[str] | None = None
    residual_kind: ResidualKind
    distance_kind: DistanceKind
    step_cost: str
    always_accumulates: bool = False
    has_vectors: bool = True

    def why_not(self, file: VideoFile) -> str | None:
        """Why it cannot read a file, in a clause; None if it can. Looks at a few pictures of it."""
        return None

    def drawback(self, file: VideoFile) -> str | None:
        """Why the next backend is the better choice unless this one is asked for, in a clause; None if it is not."""
        return None

    def reason(self, file: VideoFile, *, asked: bool) -> str:
        """Why it was taken, in a clause; empty if what keeps a better one from reading the file says it."""

    def intra_shares(self, file: VideoFile, numbers: Sequence[int]) -> Mapping[int, float] | None:
        """Share of intra-coded area in chosen pictures, 0..1; None if that is not known without decoding.

        Args:
            numbers: decode-order numbers; of those that can't be read there is no share.
        """
        return None

    def spent(self, file: VideoFile, numbers: Sequence[int], cell: int, threads: int) -> Mapping[int, Spent] | None:
        """What the codec spent on chosen pictures; None if that is not known without decoding.

        Args:
            numbers: decode-order numbers; those that can't be read are left out.
            cell: side of a cell in luma pixels.
            threads: workers; the result is the same for any number.
        """
        return None

    def source(self, file: VideoFile, *, accumulate: bool) -> AbstractContextManager[VideoFile]:
        """What steps are read from for as long as the block lasts: the file, or a copy with the same pictures."""
        return nullcontext(file)

    def plan(self, wanted: Wanted) -> Reading:
        """How to read anchors and steps, by themselves or accumulated."""

    def every(self, file: VideoFile, segments: Iterable[Segment], cell: int) -> Iterator[Found]:
        """Maps of all wanted pictures of segments that follow each other, nearly in presentation order.

        A picture comes at most 32 pictures later than it should; one that cannot be read does not come.
        """

    def vectors(self, file: VideoFile, segments: Iterable[Segment]) -> Iterator[FoundVectors]:
        """Vectors of all wanted pictures, in the same way; only where `has_vectors`."""
        return iter(())
