"""The camera's motion in a few stretches with one motion each: the best piecewise constant curve through samples."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from himmel.video.describe.results import CameraMotion, CameraSegment, Samples

FloatArray = npt.NDArray[np.float64]

# What counts as a small difference of pan, tilt, zoom (per cent a second) and roll (degrees a second).
_UNITS = np.array([1.5, 1.5, 1.5, 1.5])
# Shorter stretches than this are part of a neighbour.
_LEAST_SECONDS = 0.3
# A stretch without a sample that can be trusted is told as such from so many seconds on.
_UNKNOWN_SECONDS = 1.5
_LEAST_REACH = 0.05
# Values that a new stretch needs: a mean of each of four parameters, and where it begins.
_FREE = 5


def find_segments(samples: Samples, cuts: Sequence[float], duration: float) -> tuple[CameraSegment, ...]:
    """Segments from 0 to the duration, without gaps.

    Args:
        samples: of the pictures that were read.
        cuts: seconds, sorted, within the duration; a segment begins at each.
    """
    bounds = [0.0, *cuts, duration]
    segments: list[CameraSegment] = []
    for begin, end in pairwise(bounds):
        if end > begin:
            chosen = (samples.times >= begin) & (samples.times < end)
            segments += _shot(samples.times[chosen], samples.motion[chosen], begin, end)
    return tuple(segments)


def _shot(times: FloatArray, motion: FloatArray, begin: float, end: float) -> list[CameraSegment]:
    """Segments of one scene; where nothing is known for long, a segment that says so."""
    known = ~np.isnan(motion).any(axis=1)
    times, motion = times[known], motion[known]
    if not len(times):
        return [CameraSegment(begin, end, None)]
    usual = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    patience = max(_UNKNOWN_SECONDS, 4 * usual)
    # What a sample tells of, before and after it, where the next one is far.
    reach = max(usual / 2, _LEAST_REACH)
    segments: list[CameraSegment] = []
    at = begin
    for piece in np.split(np.arange(len(times)), np.flatnonzero(np.diff(times) > patience) + 1):
        first, last = float(times[piece[0]]), float(times[piece[-1]])
        is_last = piece[-1] + 1 == len(times)
        start = at if not segments and first - at <= patience else first - reach
        stop = end if is_last and end - last <= patience else min(last + reach, end)
        if start > at:
            segments.append(CameraSegment(at, start, None))
        segments += _stretch(times[piece], motion[piece], start, stop)
        at = stop
    if at < end:
        segments.append(CameraSegment(at, end, None))
    return segments


def _stretch(times: FloatArray, motion: FloatArray, begin: float, end: float) -> list[CameraSegment]:
    """Segments of a stretch with samples."""
    smooth = _without_spikes(motion)
    starts = split(smooth / _noise(smooth))
    edges = [begin, *((times[k - 1] + times[k]) / 2 for k in starts[1:]), end]
    pieces = [
        (float(start), float(stop), motion[a:b])
        for start, stop, a, b in zip(edges[:-1], edges[1:], starts, [*starts[1:], len(times)], strict=True)
    ]
    return [_segment(*piece) for piece in _without_short(pieces)]


def split(values: FloatArray) -> list[int]:
    """Where the pieces of the best piecewise constant curve begin, the first 0.

    The sum of squared deviations from each piece's mean, plus a price for each piece that grows with the logarithm of
    the number of samples (Schwarz's criterion), is the least there is, by dynamic programming.

    Args:
        values: float64 [n, p], with errors of about 1.
    """
    count = len(values)
    price = _FREE * np.log(max(count, 2))
    sums = np.vstack((np.zeros(values.shape[1]), np.cumsum(values, axis=0)))
    squares = np.append(0.0, np.cumsum((values**2).sum(axis=1)))
    best, previous = np.zeros(count + 1), np.zeros(count + 1, np.int64)
    for stop in range(1, count + 1):
        starts = np.arange(stop)
        deviation = squares[stop] - squares[starts]
        deviation = deviation - ((sums[stop] - sums[starts]) ** 2).sum(axis=1) / (stop - starts)
        cost = best[starts] + deviation + price
        previous[stop] = int(np.argmin(cost))
        best[stop] = cost[previous[stop]]
    found = [count]
    while found[-1]:
        found.append(int(previous[found[-1]]))
    return found[:0:-1]


def _without_spikes(motion: FloatArray) -> FloatArray:
    """Median of each sample and its two neighbours."""
    if len(motion) < 3:
        return motion
    padded = np.concatenate((motion[:1], motion, motion[-1:]))
    return np.median(np.stack((padded[:-2], padded[1:-1], padded[2:])), axis=0)


def _noise(motion: FloatArray) -> FloatArray:
    """Errors of each parameter: from sample to sample, and at least what counts as small."""
    if len(motion) < 3:
        return _UNITS
    return np.maximum(_UNITS, 1.5 * np.median(np.abs(np.diff(motion, axis=0)), axis=0))


def _without_short(pieces: list[tuple[float, float, FloatArray]]) -> list[tuple[float, float, FloatArray]]:
    """Pieces, those that are too short joined with the neighbour that is more like them."""
    pieces = list(pieces)
    while len(pieces) > 1:
        lengths = [stop - start for start, stop, _ in pieces]
        k = int(np.argmin(lengths))
        if lengths[k] >= _LEAST_SECONDS:
            break
        around = [j for j in (k - 1, k + 1) if 0 <= j < len(pieces)]
        mine = pieces[k][2].mean(axis=0)
        j = min(around, key=lambda j: float((np.abs(pieces[j][2].mean(axis=0) - mine) / _UNITS).sum()))
        a, b = sorted((k, j))
        pieces[a : b + 1] = [(pieces[a][0], pieces[b][1], np.concatenate((pieces[a][2], pieces[b][2])))]
    return pieces


def _segment(start: float, end: float, motion: FloatArray) -> CameraSegment:
    mean = np.median(motion, axis=0) if len(motion) > 4 else motion.mean(axis=0)
    shake = float(motion[:, :2].std(axis=0).max())
    return CameraSegment(start, end, CameraMotion(*map(float, mean)), shake)
