"""Which samples are held out: by a hash of what they show, so that nothing is shown on both sides."""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Final, Literal

import numpy as np

from himmel.data.samples import KINDS, Medium, Sample, SampleTable
from himmel.data.samples.order import IntArray
from himmel.training.validation import Batches, in_batches

Side = Literal["learned", "held", "neither"]

_WHOLE: Final = 2**64


class HoldOut:
    """Parts samples into those that are learned from and those that are held out.

    A file is known by its path below the corpus' folder: wherever that is moved to, the same files are held out. Two
    copies of a file under different names are two files.

    Args:
        share: of what is shown that is held out, 0..1.
        folder: of the corpus.
    """

    def __init__(self, share: float, folder: Path) -> None:
        self._below = round(share * _WHOLE)
        self._folder = os.path.abspath(folder)

    def side(self, sample: Sample) -> Side:
        """Where a sample belongs; neither, if one of its pictures is held out and another is not."""
        held = [self._is_held(self._name(medium)) for medium in sample.media]
        if not held:
            held = [self._is_held(json.dumps([asdict(turn) for turn in sample.turns]))]
        return "held" if all(held) else "neither" if any(held) else "learned"

    def _name(self, medium: Medium) -> str:
        path = os.path.relpath(os.path.abspath(medium.path), self._folder)
        return path if medium.cell is None else f"{path} {asdict(medium.cell)}"

    def _is_held(self, name: str) -> bool:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") < self._below


def choose_rows(rows: IntArray, *, most: int, seed: int) -> IntArray:
    """At most so many of these rows, drawn from a seed; in their order."""
    return np.sort(np.random.default_rng(seed).permutation(rows)[:most])


def batches_by_kind(table: SampleTable, rows: IntArray, sizes: IntArray, size: int) -> tuple[Batches, ...]:
    """Batches of places in `rows`, for each kind of sample that there is; those of similar length share one.

    Args:
        table: of all samples.
        rows: int64 [n], of those that are in the batches.
        sizes: int64, an estimate of each row's length in tokens.
        size: samples of a batch.
    """
    made: list[Batches] = []
    for kind in range(len(KINDS)):
        places = np.flatnonzero(table.kinds[rows] == kind)
        ordered = places[np.argsort(sizes[rows[places]], kind="stable")]
        made.append(in_batches([int(place) for place in ordered], size))
    return tuple(group for group in made if group)
