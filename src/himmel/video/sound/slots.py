"""The sound of each interval as a short sequence of equal slots."""

import time
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from himmel.choices import SOUND_SHAPE
from himmel.video.file.opened import VideoFile
from himmel.video.results import Decomposition
from himmel.video.sound.track import FloatArray, Track, read_track

_QUIETEST = -100.0


def add_sound(decomposition: Decomposition, file: VideoFile) -> Decomposition:
    """The same decomposition with `Interval.sound` filled in; it takes `seconds["sound"]`."""
    begin = time.perf_counter()
    track = read_track(file)
    begins = [anchor.time for anchor in decomposition.anchors]
    ends = [*begins[1:], max(decomposition.duration, begins[-1])]
    intervals = (
        replace(interval, sound=sound_slots(track, start, end))
        for interval, start, end in zip(decomposition.intervals, begins, ends, strict=True)
    )
    return replace(
        decomposition,
        intervals=tuple(intervals),
        notes=(*decomposition.notes, *track.notes),
        seconds={**decomposition.seconds, "sound": time.perf_counter() - begin},
    )


def sound_slots(track: Track, start: float, end: float) -> npt.NDArray[np.float32]:
    """What a track has between two times, see `Interval.sound`."""
    channels, slots = SOUND_SHAPE
    found = np.zeros((channels, slots), np.float32)
    edges = np.linspace(start, end, slots + 1)
    width = (end - start) / slots
    lengths = track.ends - track.starts
    if not len(lengths) or not width > 0:
        return found
    known = ~np.isnan(track.powers)
    covered = _spread(track, lengths, edges)
    heard = _spread(track, lengths * known, edges)
    sizes = _spread(track, track.sizes, edges)
    energy = _spread(track, np.where(known, track.powers, 0) * lengths, edges)
    found[0] = np.divide(sizes, covered, out=np.zeros(slots), where=covered > 0)
    power = np.divide(energy, heard, out=np.zeros(slots), where=heard > 0)
    found[1] = np.where(heard > 0, 10 * np.log10(np.maximum(power, 10 ** (_QUIETEST / 10))), 0)
    found[2:] = np.clip(np.stack([covered, heard]) / width, 0, 1)
    return found


def _spread(track: Track, amounts: FloatArray, edges: FloatArray) -> FloatArray:
    """What of packets' amounts is between each two edges, each packet's being spread evenly over its time."""
    times = np.stack([track.starts, track.ends], axis=1).ravel()
    total = np.concatenate([[0.0], np.cumsum(amounts)])
    sums = np.stack([total[:-1], total[1:]], axis=1).ravel()
    return np.diff(np.interp(edges, times, sums))
