"""Usable presentation times: what a container says about time, mended where it says too little or starts again."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from himmel._text import by_number
from himmel.video.file.packets import NO_TIME, BoolArray, Columns, IntArray, ShortArray

# Formats whose clock has 33 bits (ISO 13818-1, 2.4.2.1); FFmpeg counts on over one wrap.
_WRAPPING = frozenset({"mpegts", "mpeg"})
_CLOCK = 2**33
_MINUTE = 60 * 90_000


@dataclass(frozen=True, repr=False)
class Times:
    """When the pictures of a file are shown.

    Attributes:
        pts: int64 [P], presentation times in units of `unit`.
        part: int32 [P], number of the part of the file that a packet is in; times rise within each part.
        from_file: the times come from the file.
        restarts: the file's own clock starts again somewhere, so that one time may mean several places.
    """

    pts: IntArray
    unit: Fraction
    part: ShortArray
    from_file: bool
    restarts: bool


def read_times(columns: Columns, format_name: str, time_base: Fraction, rate: Fraction, notes: list[str]) -> Times:
    """Times of all packets; packets before their keyframe are hidden. Anything unusual goes into `notes`.

    Args:
        format_name: FFmpeg's name of the container format.
        rate: nominal pictures per second.
    """
    # Nearly always one number for all packets, which takes no memory.
    part: ShortArray = np.broadcast_to(np.zeros(1, np.int32), len(columns.pts))
    missing = columns.pts == NO_TIME
    pts = np.where(missing, columns.dts, columns.pts) if missing.any() else columns.pts
    if (pts == NO_TIME).any():
        notes.append(
            f"The file stores no timestamps: times are computed from its nominal rate, {float(rate):.6g} pictures per"
            " second."
        )
        _hide_leads(columns, part, notes)
        return Times(np.cumsum(~columns.second, dtype=np.int64) - 1, 1 / rate, part, False, False)
    if missing.any():
        notes.append(
            by_number(
                int(np.sum(missing & ~columns.second)),
                "{} picture has no presentation time: its decoding time is used.",
                "{} pictures have no presentation time: their decoding times are used.",
            )
        )
    wraps = _find_wraps(columns, format_name)
    starts = [] if columns.direct else _find_starts(columns, pts, wraps, round(1 / time_base))
    if starts:
        part = np.isin(np.arange(len(pts)), starts, kind="table").cumsum(dtype=np.int32)
    _hide_leads(columns, part, notes)
    if not starts:
        return Times(pts, time_base, part, True, False)
    joined, recordings = _join(columns, pts, starts, wraps)
    if recordings > 1:
        notes.append(
            f"The file's times start again {_times(recordings - 1)}: it is read as {recordings} recordings, one"
            " after the other."
        )
    return Times(joined, time_base, part, True, recordings > 1)


def arrange(
    pts: IntArray, shown: BoolArray, not_counted: BoolArray, part: ShortArray, place: IntArray | None = None
) -> tuple[ShortArray, ShortArray]:
    """(rank, order) of `PictureIndex`; packets that hold no picture of their own are not counted.

    Args:
        place: of pictures with equal times, the lower comes first; None: the one decoded first.
    """
    by_time = np.lexsort((pts, part) if place is None else (place, pts, part)).astype(np.int32)
    rank = np.empty_like(by_time)
    rank[by_time] = np.cumsum(~not_counted[by_time], dtype=np.int32) - 1
    return rank, by_time[shown[by_time]]


def last_duration(
    pts: IntArray, order: ShortArray, durations: IntArray | None, time_base: Fraction, rate: Fraction
) -> float:
    """Seconds for which the last picture is shown: as stored, else as long as pictures last in the median."""
    if len(order) and durations is not None and durations[order[-1]] > 0:
        return float(durations[order[-1]] * time_base)
    gaps = np.diff(pts[order])
    gaps = gaps[gaps > 0]
    return float(np.median(gaps) * time_base) if len(gaps) else float(1 / rate)


def _find_wraps(columns: Columns, format_name: str) -> frozenset[int]:
    """Packets at which FFmpeg took another recording's times for a clock that has wrapped.

    It counts on over the wrap then, which shows as a leap over the wrap, or over half of the clock.
    """
    if format_name not in _WRAPPING:
        return frozenset()
    dts = columns.dts
    step = np.where((dts[1:] != NO_TIME) & (dts[:-1] != NO_TIME), np.diff(dts), 0)
    over = (dts[:-1] < _CLOCK) & (dts[1:] >= _CLOCK) & (step > _MINUTE)
    return frozenset((np.flatnonzero(over | (step > _CLOCK // 2)) + 1).tolist())


def _find_starts(columns: Columns, pts: IntArray, wraps: frozenset[int], second: int) -> list[int]:
    """Packets, by decode-order numbers, at which times start again.

    No picture decoded before a keyframe is shown after it. So where a keyframe is earlier than one before it, by both
    of its times, something new begins: another recording, or another segment of an edit list, whose hidden pictures
    have times that run into the next segment. If a recording doesn't begin with a keyframe, a fall of its decoding
    times by more than a second shows it.

    Args:
        second: a second in units of the times.
    """
    known = columns.dts != NO_TIME
    dts = np.where(known, columns.dts, pts)
    falls = known[1:] & known[:-1] & (np.diff(dts) < -second)
    falls |= columns.key[1:] & (pts[1:] < np.maximum.accumulate(pts)[:-1])
    starts, begin = [], 0
    for number in sorted(wraps.union((np.flatnonzero(falls) + 1).tolist())):
        before = slice(begin, number)
        if number in wraps or (pts[number] < pts[before].max() and dts[number] <= dts[before].max()):
            starts.append(number)
            begin = number
    return starts


def _join(columns: Columns, pts: IntArray, starts: list[int], wraps: frozenset[int]) -> tuple[IntArray, int]:
    """The times with each recording right after the one before, and how many recordings there are.

    Parts whose shown pictures follow those of the part before are segments of one edit list.
    """
    joined, recordings, end, offset = pts.copy(), 1, None, 0
    for start, stop in zip([0, *starts], [*starts, len(pts)], strict=True):
        shown = np.flatnonzero(columns.shown[start:stop]) + start
        if not len(shown):
            continue
        first, last = int(pts[shown].min()), int(shown[np.argmax(pts[shown])])
        usual = _typical(columns, pts, shown)
        if end is not None and (start in wraps or first < end - usual):
            offset += end - first
            recordings += 1
        joined[start:stop] += offset
        end = int(pts[last]) + (int(columns.duration[last]) or usual)
    return joined, recordings


def _hide_leads(columns: Columns, part: ShortArray, notes: list[str]) -> None:
    """Pictures that come before the first keyframe of their part are not shown."""
    if len(part) and not columns.key.any():
        notes.append("The file marks no picture as a keyframe: every read starts at the beginning of the file.")
    lead = 0
    starts = np.flatnonzero(np.diff(part, prepend=-1)).tolist()
    for start, stop in pairwise([*starts, len(part)]):
        before = int(np.argmax(columns.key[start:stop]))
        lead += int(np.sum(~columns.second[start : start + before]))
        columns.shown[start : start + before] = False
    if lead:
        where = "the first keyframe" if len(starts) == 1 else "the first keyframe of each recording"
        notes.append(
            by_number(
                lead,
                f"{{}} picture before {where} cannot be decoded and is left out.",
                f"{{}} pictures before {where} cannot be decoded and are left out.",
            )
        )


def _typical(columns: Columns, pts: IntArray, shown: IntArray) -> int:
    """How long pictures last in the median, in units of the times."""
    gaps = np.diff(np.sort(pts[shown]))
    gaps = gaps[gaps > 0]
    return int(np.median(gaps)) if len(gaps) else int(columns.duration[shown[-1]])


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
