"""Which pictures become anchors and steps (docs/method.md, equation 1), from timestamps and keyframes alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from himmel._text import by_number
from himmel.choices import AnchorMode

IntArray = npt.NDArray[np.int64]
TimeArray = npt.NDArray[np.floating[Any]]

# Seconds for which one picture is shown before that may count as a pause.
_PAUSE = 10


def nearest(times: TimeArray, wanted: TimeArray) -> IntArray:
    """Index of the entry of sorted `times` that is nearest to each of `wanted`; the earlier one in a tie."""
    right = np.clip(np.searchsorted(times, wanted), 1, max(len(times) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(times) - 1)
    return np.where(wanted - times[left] <= times[right] - wanted, left, right).astype(np.int64)


def make_distinct(chosen: IntArray, first: int, stop: int) -> IntArray:
    """Move sorted indices as little as needed to be strictly increasing within `range(first, stop)`.

    Needs `len(chosen) <= stop - first`.
    """
    steps = np.arange(len(chosen))
    pushed = np.maximum.accumulate(np.maximum(chosen, first) - steps) + steps
    return np.minimum(pushed, stop - len(chosen) + steps)


@dataclass(frozen=True, eq=False)
class Clock:
    """The time by which pictures are chosen: the video's own without long pauses, in which one picture is shown.

    Attributes:
        times: float64 [T], sorted, in seconds.
        duration: in seconds.
        note: a sentence about the pauses that were left out, None if there are none.
    """

    times: TimeArray
    duration: float
    note: str | None

    @classmethod
    def without_pauses(cls, times: TimeArray, duration: float, num_anchors: int) -> "Clock":
        """Leave out pauses that would bunch anchors at the pictures before and after them.

        Those last over ten seconds, and so long that more than two anchors fall in them when they are spread over the
        rest; each counts as long as pictures usually last then. Where there are none, the times are the video's own.
        """
        count = min(num_anchors, len(times))
        lengths = np.diff(np.append(times, duration))
        usual = float(np.median(lengths))
        paused = np.zeros(len(times), np.bool_)
        while True:
            left = np.where(paused, usual, lengths)
            found = (left > max(_PAUSE, 2 * left.sum() / count)) & ~paused
            if not found.any():
                break
            paused |= found
        if not paused.any():
            return cls(times, duration, None)
        clock = np.append(0.0, np.cumsum(left))
        first = int(np.argmax(paused))
        more = int(paused.sum()) - 1
        rest = lengths[paused].sum() - lengths[first]
        others = by_number(more, ", and {} other", ", and {} others") + f" for {rest:.0f} s in all" if more else ""
        note = (
            f"The picture at {times[first]:.3f} s is shown for {lengths[first]:.0f} s{others}: anchors and steps are"
            " placed as if there were no such pause."
        )
        return cls(clock[:-1], float(clock[-1]), note)


def place_anchors(
    times: TimeArray, duration: float, keyframes: IntArray, num_anchors: int, mode: AnchorMode
) -> IntArray:
    """Pictures that become anchors: strictly increasing, at most `num_anchors`, uniform over [0, duration).

    Args:
        times: float64 [T], sorted, in seconds.
        keyframes: int64 [K], sorted indices into `times`.
        mode: "exact": the picture nearest to each uniform time; "keyframe": the nearest keyframe if one lies within
            half a spacing of that time, otherwise as "exact".
    """
    count = min(num_anchors, len(times))
    spacing = duration / count
    uniform = spacing * np.arange(count)
    chosen = nearest(times, uniform)
    if mode == "keyframe" and len(keyframes):
        candidate = keyframes[nearest(times[keyframes], uniform)]
        offset = times[candidate] - uniform
        # Half-open windows: no keyframe can serve two anchors.
        chosen = np.where((offset >= -spacing / 2) & (offset < spacing / 2), candidate, chosen)
        chosen = np.maximum.accumulate(chosen)
    return make_distinct(chosen, 0, len(times))


def place_steps(
    times: TimeArray, anchor: int, stop: int, end_time: float, keyframes: IntArray, max_steps: int
) -> IntArray:
    """Pictures of `range(anchor + 1, stop)` that become steps: strictly increasing, nearest to uniform midpoints.

    A keyframe holds no vectors: where one is chosen, its successor takes its place if that is free and no keyframe.

    Args:
        end_time: time of the next anchor, or the duration for the last interval.
    """
    first = anchor + 1
    count = min(max_steps, stop - first)
    if count <= 0:
        return np.zeros(0, np.int64)
    middles = times[anchor] + (end_time - times[anchor]) * (np.arange(count) + 0.5) / count
    chosen = make_distinct(nearest(times[first:stop], middles) + first, first, stop)
    is_key = np.isin(chosen, keyframes, kind="table")
    for k in np.flatnonzero(is_key):
        after = chosen[k] + 1
        free = after < stop and (k + 1 == count or chosen[k + 1] != after)
        if free and not np.isin(after, keyframes, kind="table"):
            chosen[k] = after
    return chosen
