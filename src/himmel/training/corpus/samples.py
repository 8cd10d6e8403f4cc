"""From a drawn sample to what the model's processor takes, with another in its place where it can't be used."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Generic, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from himmel.data.samples import KINDS, Sample, SampleTable, Turn
from himmel.data.samples.extract import NoReaderError, UnreadableError
from himmel.data.samples.order import IntArray
from himmel.data.samples.skipped import Skipped, SkippedList
from himmel.errors import HimmelError, UsageError
from himmel.model import HimmelProcessor, PreparedSample
from himmel.model.encoder import Conversation
from himmel.training.corpus.reading import VideoReader, read_picture, read_words, without_end
from himmel.training.corpus.targets import KeptTargets
from himmel.video.results import Decomposition

Made = TypeVar("Made")
Picture = npt.NDArray[np.uint8]

_TRIES: Final = 32
# Difference of two anchors (`_difference`), in 8-bit code values, below which only coding noise tells them apart.
# Two keyframes of a still wall at CRF 32 stay below it; somebody small who stands out by 30 goes well beyond.
_NOISE: Final = 10.0
# Of a picture there are at most so many cells each way, with so many pixels each way at least.
_CELLS: Final = 32
_CELL: Final = 16
_MOST_CHANGED: Final = 0.01
# Axes of pooled features; a tower's maps have more.
_POOLED: Final = 2


class TooLongError(Exception):
    """Not even a sample's first turn fits into the budget of tokens."""


@dataclass(frozen=True)
class Shown:
    """A sample as the processor takes it.

    Attributes:
        sample: of a video, pictures, or nothing.
        turns: questions and answers that fit into the budget.
        motion: whether the sample has motion.
        anchors: whether it has pictures.
    """

    sample: PreparedSample
    turns: Conversation
    motion: bool
    anchors: bool


@dataclass(frozen=True)
class Aligned:
    """A video for stage 1.

    Attributes:
        sample: with far images; without any pictures where the targets are known.
        changes: bool [N], of each interval whether the next anchor looks different.
        key: by which its targets are kept, see `KeptTargets`; None where none are.
        targets: float32 [N, D]; None where the host has not seen the video yet.
    """

    sample: PreparedSample
    changes: Tensor
    key: str | None = None
    targets: Tensor | None = None


class SampleLoader:
    """Makes a `Shown` of a sample.

    Args:
        processor: of the model.
        reader: of videos.
        max_tokens: whole turns that go beyond are dropped from the end.
        motion: whether videos come with motion tokens, or with their anchors alone.
        skipped: told which samples lost turns or subtitles.
    """

    def __init__(
        self,
        processor: HimmelProcessor,
        reader: VideoReader,
        *,
        max_tokens: int,
        motion: bool,
        skipped: SkippedList,
    ) -> None:
        self._processor, self._reader = processor, reader
        self._most, self._motion = max_tokens, motion
        self._skipped = skipped

    def __call__(self, sample: Sample) -> Shown:
        """Read what it shows, and fit its turns.

        Raises:
            UnreadableError: a video, a picture or its subtitles can't be read.
            TooLongError: it doesn't fit.
        """
        motion = self._motion and sample.kind == "video"
        prepared = self._prepare(sample)
        turns = [*sample.turns]
        if sample.subtitles is not None:
            words = read_words(sample.subtitles, sample.media[0])
            told = [_after(words, turns[0]), *turns[1:]]
            if self._fitting(prepared, told, motion=motion, anchors=sample.kind != "text"):
                turns = told
            else:
                self._skipped.add(Skipped(sample.id, "long", "it is learned from without its subtitles"))
        count = self._fitting(prepared, turns, motion=motion, anchors=sample.kind != "text")
        if not count:
            raise TooLongError(f"its first turn takes more than {self._most:,} tokens")
        if count < len(turns):
            self._skipped.add(Skipped(sample.id, "long", f"{len(turns) - count} of its {len(turns)} turns are dropped"))
        conversation = [(turn.question, turn.answer) for turn in turns[:count]]
        return Shown(prepared, conversation, motion, sample.kind != "text")

    def _prepare(self, sample: Sample) -> PreparedSample:
        if sample.kind == "video":
            return self._processor.prepare(self._reader.read(sample.media[0]).decomposition)
        pictures = []
        for medium in sample.media:
            try:
                pictures.append(read_picture(medium))
            except UnreadableError as error:
                raise UnreadableError(error.cause, error.why, what=medium.name) from error
        images = self._processor.host.prepare_images(pictures) if pictures else {}
        return PreparedSample.of_pictures(images)

    def _fitting(self, prepared: PreparedSample, turns: Sequence[Turn], *, motion: bool, anchors: bool) -> int:
        """How many turns fit."""
        pairs = [(turn.question, turn.answer) for turn in turns]
        lengths = self._processor.lengths_by_turn(prepared, pairs, motion=motion, anchors=anchors)
        return int(np.searchsorted(lengths, self._most, side="right"))


class VideoLoader:
    """Makes an `Aligned` of a sample's video; its turns are not looked at.

    Args:
        processor: of the model.
        reader: of videos, with their last pictures where it can.
        kept: targets that are known already; None keeps none.
    """

    def __init__(self, processor: HimmelProcessor, reader: VideoReader, *, kept: KeptTargets | None = None) -> None:
        self._processor, self._reader, self._kept = processor, reader, kept

    def __call__(self, sample: Sample) -> Aligned:
        """Read the video.

        Raises:
            UnreadableError: it can't be read.
        """
        read = without_end(self._reader.read(sample.media[0]))
        assert read.last is not None
        pictures = [*(anchor.image for anchor in read.decomposition.anchors), read.last]
        differences = [_difference(one, two) for one, two in pairwise(pictures)]
        changes = torch.tensor(differences) > _NOISE
        if read.features is not None:
            return self._with_features(read.decomposition, torch.from_numpy(read.features), changes)
        key = None if self._kept is None else self._kept.key(pictures)
        targets = None if self._kept is None or key is None else self._kept.load(key)
        prepared = self._processor.prepare(read.decomposition, far_image=read.last, pictures=targets is None)
        return Aligned(prepared, changes, key, targets)

    def _with_features(self, decomposition: Decomposition, features: Tensor, changes: Tensor) -> Aligned:
        """A video of which a cache has what the host's tower sees."""
        prepared = self._processor.prepare(decomposition, pictures=False)
        if features.ndim == _POOLED:
            return Aligned(prepared, changes, targets=features.float().diff(dim=0))
        near, far = ({"tower_features": part} for part in (features[:-1], features[-1:]))
        return Aligned(replace(prepared, images=near, far_images=far), changes)


class DrawnSamples(Dataset[Made], Generic[Made]):
    """The samples of an order, made as they are asked for; item i is that of place i.

    A sample that can't be used is listed, and another of its set and kind takes its place, the same in every process
    and every run.

    Args:
        table: of all samples.
        order: int64 [length], rows of the table.
        make: of a sample what the batches are of.
        seed: of what takes a place.
        skipped: the list of the run.

    Raises:
        HimmelError: when asked for an item: none of many samples could be used, or no process could be started to read
            their videos.
    """

    def __init__(
        self,
        table: SampleTable,
        order: IntArray,
        make: Callable[[Sample], Made],
        *,
        seed: int,
        skipped: SkippedList,
    ) -> None:
        self._table, self._order, self._make = table, order, make
        self._seed, self._skipped = seed, skipped

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, place: int) -> Made:
        if not 0 <= place < len(self._order):
            raise IndexError(place)
        said = ""
        for row in self._candidates(place):
            sample = self._table[row]
            try:
                # Of this sample's own files alone, so that what takes its place never depends on what came before.
                for name in sample.sources:
                    if self._skipped.is_unreadable(name):
                        raise UnreadableError("known", "it is in the list of what was skipped", what=name)
                return self._make(sample)
            except UnreadableError as error:
                name = error.what or sample.sources[0]
                said = f"{name!r}: {error.why}"
                if error.cause != "known":
                    self._skipped.add(Skipped(name, error.cause, error.why))
            except TooLongError as error:
                said = f"sample {sample.id!r}: {error}"
                self._skipped.add(Skipped(sample.id, "long", str(error)))
            except NoReaderError:
                raise
            except (HimmelError, ValueError) as error:
                # A text that a tokenizer can't read, or a picture of a shape that a host's image processor refuses.
                said = f"sample {sample.id!r}: {' '.join(str(error).split())}"
                self._skipped.add(Skipped(sample.id, "sample", " ".join(str(error).split())))
        raise HimmelError(
            f"None of {_TRIES} samples that were drawn one after another can be used, the last because {said}; "
            f"{str(self._skipped.path)!r} lists them all."
        )

    def _candidates(self, place: int) -> Iterator[int]:
        """The row of a place, then others that may take it."""
        row = int(self._order[place])
        yield row
        others = self._table.rows_of(int(self._table.sets[row]), KINDS[self._table.kinds[row]])
        rng = np.random.default_rng([self._seed, place])
        for _ in range(_TRIES - 1):
            yield int(rng.choice(others))


class StreamedSamples(IterableDataset[Made]):
    """The items of `DrawnSamples` as a stream, for loops of one's own that take no sampler.

    Each process makes one, and a DataLoader of the same `batch_size`. Its batches are those that the process would get
    of a map-style data set, in the same order, whatever the number of the loader's workers.

    Args:
        items: of all processes.
        batch_size: items of one batch of one process.
        rank, ranks: which process this is, of how many.
        start: items that an earlier run has taken, over all processes.

    Raises:
        UsageError: what is left cannot be shared out evenly, so that a process would wait for the others.
    """

    def __init__(
        self, items: DrawnSamples[Made], *, batch_size: int, rank: int = 0, ranks: int = 1, start: int = 0
    ) -> None:
        if (len(items) - start) % (batch_size * ranks):
            raise UsageError(
                f"{len(items) - start} items cannot be shared out among {ranks} processes in batches of {batch_size}; "
                "draw a multiple of both."
            )
        self._items, self._batch_size = items, batch_size
        self._rank, self._ranks, self._start = rank, ranks, start

    def places(self, *, worker: int = 0, workers: int = 1) -> Iterator[int]:
        """Places of the items that one of a loader's workers makes; a loader takes a batch of each in turn."""
        firsts = range(self._start + self._rank * self._batch_size, len(self._items), self._ranks * self._batch_size)
        for first in firsts[worker::workers]:
            yield from range(first, first + self._batch_size)

    def __iter__(self) -> Iterator[Made]:
        found = get_worker_info()
        mine = self.places() if found is None else self.places(worker=found.id, workers=found.num_workers)
        return (self._items[place] for place in mine)


def _after(words: str, turn: Turn) -> Turn:
    """A turn whose question comes after the video's subtitles, in the words of Video-MME's authors."""
    said = words or "No subtitles available"
    return Turn(f"This video's subtitles are listed below: \n{said}\n{turn.question}", turn.answer)


def _difference(one: Picture, two: Picture) -> float:
    """Mean absolute difference of the most changed hundredth of two pictures, 0 to 255; a change of size counts as one.

    The mean over the whole would drown somebody who walks through a wide view, and be high for a still wall of bricks.
    """
    if one.shape != two.shape:
        return 255.0
    change = np.abs(one.astype(np.int16) - two).mean(2, dtype=np.float32)
    rows, columns = (max(1, min(_CELLS, side // _CELL)) for side in change.shape)
    cells = np.sort(cv2.resize(change, (columns, rows), interpolation=cv2.INTER_AREA), axis=None)
    return float(cells[-max(1, round(len(cells) * _MOST_CHANGED)) :].mean())
