"""All samples in two arrays, so that a million of them take little memory and worker processes share it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from himmel.data.samples.sample import KINDS, Kind, Sample

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SampleTable:
    """Samples by row.

    Attributes:
        text: uint8, all samples as JSON, one after another.
        ends: int64 [n], where each ends in `text`.
        kinds: int8 [n], index into `KINDS`.
        letters: int64 [n], characters of each sample's questions and answers.
        pictures: int64 [n], how many pictures each shows; 0 for videos.
        sets: int64 [n], which set each is from.
    """

    text: npt.NDArray[np.uint8]
    ends: IntArray
    kinds: npt.NDArray[np.int8]
    letters: IntArray
    pictures: IntArray
    sets: IntArray

    @classmethod
    def of(cls, samples: Iterable[tuple[int, Sample]]) -> "SampleTable":
        """A table of samples with the numbers of their sets."""
        text = bytearray()
        columns: list[tuple[int, int, int, int, int]] = []
        for number, sample in samples:
            text += sample.to_json()
            letters = sum(len(turn.question) + len(turn.answer) for turn in sample.turns)
            pictures = len(sample.media) if sample.kind == "image" else 0
            columns.append((len(text), KINDS.index(sample.kind), letters, pictures, number))
        ends, kinds, letters_of, pictures_of, sets = np.array(columns, np.int64).reshape(-1, 5).T
        return cls(np.frombuffer(bytes(text), np.uint8), ends, kinds.astype(np.int8), letters_of, pictures_of, sets)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, row: int | np.integer[Any]) -> Sample:
        start = 0 if row == 0 else self.ends[row - 1]
        return Sample.from_json(self.text[start : self.ends[row]].tobytes())

    def rows_of(self, number: int, kind: Kind) -> IntArray:
        """Rows of a set's samples of a kind, increasing."""
        return np.flatnonzero((self.sets == number) & (self.kinds == KINDS.index(kind)))
