"""What the codec spent on chosen pictures: bits from the packets alone, places by parsing a few pictures of each."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from himmel._text import by_number
from himmel.choices import BackendName
from himmel.video.backends.choice import candidates, choose_backend
from himmel.video.backends.protocol import Spent, Wanted
from himmel.video.backends.workers import run_work
from himmel.video.file.index import PictureIndex
from himmel.video.file.opened import VideoFile
from himmel.video.maps.raster import grid_shape
from himmel.video.results import Spending
from himmel.video.schedule import place_steps

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

MOST_READ = 1024
"""Pictures that are looked at in all, or one for each chosen picture if those are more."""
_MOST_ACROSS = 60
CELLS = (16, 32, 64)


@dataclass(frozen=True, eq=False)
class Places:
    """What is known of where the codec spent its bits.

    Attributes:
        found: by decode-order number.
        backend: None where nothing is known.
        notes: sentences about why not.
    """

    found: Mapping[int, Spent]
    backend: BackendName | None
    notes: tuple[str, ...]


def cell_for(width: int, height: int) -> int:
    """The smallest of 16, 32 and 64 for which the longer side has at most 60 cells; else 64."""
    fitting = [cell for cell in CELLS if max(width, height) <= _MOST_ACROSS * cell]
    return fitting[0] if fitting else CELLS[-1]


def read_spending(file: VideoFile, frames: IntArray, *, steps: int, cell: int, decode: bool, threads: int) -> Spending:
    """Carry out `Video.spending`; its arguments are checked already."""
    index = file.index
    looked_at = _choose_steps(file, frames, min(steps, max(0, MOST_READ // len(frames) - 1)))
    wanted = sorted({number for numbers in looked_at for number in numbers})
    places = read_places(file, wanted, cell=cell, decode=decode, threads=threads)
    bits = picture_bits(index)
    before = np.append(-1, frames[:-1])
    before[0] = frames[0] - 1
    shown = np.append(0, np.cumsum(bits[index.order]))
    grid = grid_shape(*file.displayed_size, cell)
    energy, motion = (np.zeros((len(frames), *grid), np.float32) for _ in range(2))
    place_bits = np.empty((len(frames), *grid), np.float32)
    intra = np.full(len(frames), np.nan, np.float32)
    for k, numbers in enumerate(looked_at):
        predicted = [number for number in numbers if not index.key[number]]
        there = [places.found[number] for number in predicted if number in places.found]
        if there:
            energy[k] = np.mean([one.energy for one in there], axis=0)
            motion[k] = np.mean([one.motion for one in there], axis=0)
            intra[k] = np.mean([one.intra for one in there])
        told = [number for number in predicted or numbers[-1:] if number in places.found] or numbers[-1:]
        place_bits[k] = np.mean([_place_bits(places.found.get(n), float(bits[n]), grid) for n in told], axis=0)
    width, height = file.displayed_size
    return Spending(
        frames=frames,
        bits=bits[index.order[frames]],
        stretch_bits=(shown[frames + 1] - shown[before + 1]) / (frames - before),
        group_bits=_group_bits(index, bits)[index.order[frames]],
        intra=intra,
        energy=energy,
        motion=motion,
        place_bits=place_bits,
        cell=cell,
        grid=grid,
        width=width,
        height=height,
        backend=places.backend,
        num_read=len(places.found),
        notes=places.notes,
    )


def read_places(file: VideoFile, numbers: list[int], *, cell: int, decode: bool, threads: int) -> Places:
    """What the codec spent on pictures, by parsing them or, where that can't be done and `decode`, by decoding."""
    parsed = candidates(file.codec, "auto")[0].spent(file, numbers, cell, threads)
    if parsed is not None:
        return Places(parsed, "bitstream", _lost(len(numbers) - len(parsed)))
    if not decode:
        why = f"Where the codec spent its bits is not known without decoding ({file.codec}): places count alike."
        return Places({}, None, (why,))
    backend = choose_backend(file, "auto", has_steps=True).backend
    frames = np.full(len(file.index.size), -1)
    frames[file.index.order] = np.arange(len(file.index.order))
    with backend.source(file, accumulate=False) as source:
        chosen = (np.sort(frames[numbers]).astype(np.int64),)
        reading = backend.plan(Wanted(file, source, np.zeros(0, np.int64), chosen, cell, None, False))
        extract = run_work(reading.work, threads)
    found = {number: Spent.of(step) for number, step in extract.steps.items()}
    why = f"Where the codec spent its bits is estimated by decoding ({file.codec}, {backend.name})."
    return Places(found, backend.name, (why, *reading.notes, *_lost(len(numbers) - len(found))))


def picture_bits(index: PictureIndex) -> IntArray:
    """Bits of each picture with its headers, int64 [P]: a second field counts with its first, and is 0 itself."""
    bits = 8 * index.size.astype(np.int64)
    seconds = np.flatnonzero(index.second)
    bits[seconds - 1] += bits[seconds]
    bits[seconds] = 0
    return bits


def _choose_steps(file: VideoFile, frames: IntArray, steps: int) -> list[list[int]]:
    """Decode-order numbers to look at for each chosen picture: some of its stretch, the picture itself last."""
    chosen: list[list[int]] = []
    for k, frame in enumerate(frames.tolist()):
        between = np.zeros(0, np.int64)
        if k:
            between = place_steps(
                file.times, int(frames[k - 1]), frame, float(file.times[frame]), file.keyframes, steps
            )
        chosen.append(file.index.order[np.append(between, frame)].tolist())
    return chosen


def _group_bits(index: PictureIndex, bits: IntArray) -> FloatArray:
    """Mean bits of a picture of each picture's group, [P]; a group goes from one keyframe to the next in the file."""
    pictures = (index.coded & ~index.second).astype(np.int64)
    # What comes before the first keyframe belongs to its group.
    starts = np.append(0, index.key_numbers[1:])
    means = np.add.reduceat(bits, starts) / np.maximum(np.add.reduceat(pictures, starts), 1)
    return np.repeat(means, np.diff(np.append(starts, len(bits))))


def _place_bits(spent: Spent | None, whole: float, grid: tuple[int, int]) -> npt.NDArray[np.float32]:
    if spent is None or spent.bits is None:
        return np.full(grid, whole / (grid[0] * grid[1]), np.float32)
    return spent.bits


def _lost(count: int) -> tuple[str, ...]:
    one, many = "{} picture cannot be parsed and is left out.", "{} pictures cannot be parsed and are left out."
    return (by_number(count, one, many),) if count else ()
