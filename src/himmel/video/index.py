"""The picture index of a file: packets are walked, nothing is decoded (about 0.1 s for ten minutes of video)."""

from array import array
from dataclasses import dataclass, replace
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.stream import VideoStream

from himmel.video.reference import ReferenceRule

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

NO_TIME = -(2**63)
MAX_PACKETS = 2**26


@dataclass(frozen=True, repr=False)
class PictureIndex:
    """One entry per coded picture in decode order (length P); T of them are shown.

    Attributes:
        pts, dts, pos, size: int64 [P]; pts and dts in units of `time_base`, dts and pos may be NO_TIME.
        key: bool [P], decoding may start here.
        reference: bool [P], other pictures may be predicted from it.
        shown: bool [P], false for pictures that edit lists, hidden frames or a missing keyframe keep from the viewer.
        order: int64 [T], decode-order number of each shown picture in presentation order.
        picture: int64 [P], the inverse: presentation index, or -1.
        rank: int64 [P], place in presentation order among all P pictures.
        last_duration: duration of the picture shown last, in seconds.
        has_times: times come from the file, so that it can be sought by them.
        has_order: times tell the order of presentation; otherwise `with_order` has to.
        notes: what was unusual.
    """

    pts: IntArray
    dts: IntArray
    pos: IntArray
    size: IntArray
    key: BoolArray
    reference: BoolArray
    shown: BoolArray
    order: IntArray
    picture: IntArray
    rank: IntArray
    time_base: Fraction
    last_duration: float
    has_times: bool
    has_order: bool
    notes: tuple[str, ...]

    @property
    def key_numbers(self) -> IntArray:
        """Decode-order numbers at which decoding may start; the first packet if the file marks no keyframe."""
        numbers = np.flatnonzero(self.key)
        return numbers if len(numbers) else np.zeros(1, np.int64)

    def start_for(self, number: int) -> int:
        """Where decoding must start to get picture `number`.

        Pictures that follow a keyframe in the file but are shown before it (an open GOP) need the keyframe before.
        """
        keys = self.key_numbers
        at = int(np.searchsorted(keys, number, side="right")) - 1
        while at > 0 and self.rank[keys[at]] > self.rank[number]:
            at -= 1
        return int(keys[max(at, 0)])

    def references_for(self, number: int, window: int = 16) -> tuple[int, int]:
        """(past, future) reference of a picture, as decode-order numbers or -1: the nearest ones decoded before it.

        At most 16 pictures can be held as references (H.264, A.3.1); right in 98 % of B and P pictures (not certain:
        the stream may name another one).
        """
        before = np.flatnonzero(self.reference[max(0, number - 8 * window) : number])[-window:]
        before = before + max(0, number - 8 * window)
        rank, own = self.rank[before], self.rank[number]
        past, future = before[rank < own], before[rank > own]
        return (
            int(past[np.argmax(self.rank[past])]) if len(past) else -1,
            int(future[np.argmin(self.rank[future])]) if len(future) else -1,
        )


class _Rows:
    """Columns that grow without a Python object per entry."""

    def __init__(self) -> None:
        self.pts, self.dts, self.pos, self.size, self.duration = (array("q") for _ in range(5))
        self.key, self.reference, self.shown = (array("b") for _ in range(3))


def build_index(container: InputContainer, stream: VideoStream) -> PictureIndex:
    """Walk all packets of a freshly opened container."""
    notes: list[str] = []
    rows = _read_packets(container, stream, notes)
    columns = {name: np.array(column, np.int64) for name, column in vars(rows).items()}
    key, shown = columns["key"].astype(bool), columns["shown"].astype(bool)
    rate = Fraction(stream.guessed_rate or stream.average_rate or stream.base_rate or 25)
    pts, time_base, has_times = _timestamps(
        columns["pts"], columns["dts"], Fraction(stream.time_base or 1), rate, notes
    )
    if len(key) and not key.any():
        notes.append("The file marks no keyframe: every read starts at its beginning.")
    elif len(key) and not key[0]:
        lead = int(np.argmax(key))
        shown[:lead] = False
        notes.append(f"{lead} pictures before the first keyframe cannot be decoded and are left out.")
    rank, order, picture = _arrange(pts, shown)
    # AVI has one clock, for decoding; if pictures are reordered, only the decoder knows when they are shown.
    is_reordered = bool(stream.codec_context.has_b_frames) and bool((np.diff(pts) > 0).all())
    return PictureIndex(
        pts=pts,
        dts=columns["dts"],
        pos=columns["pos"],
        size=columns["size"],
        key=key,
        reference=columns["reference"].astype(bool),
        shown=shown,
        order=order,
        picture=picture,
        rank=rank,
        time_base=time_base,
        last_duration=_last_duration(pts, order, columns["duration"] if has_times else None, time_base, rate),
        has_times=has_times,
        has_order=not (is_reordered and (not has_times or container.format.name == "avi")),
        notes=tuple(notes),
    )


def with_order(index: PictureIndex, numbers: IntArray) -> PictureIndex:
    """The index with the order in which the decoder gave its pictures; the file's times are dealt out in that order.

    Args:
        numbers: decode-order numbers in presentation order; pictures that didn't come count as not shown.
    """
    shown = np.zeros(len(index.pts), np.bool_)
    shown[numbers] = True
    pts = np.sort(index.pts)
    lost = np.flatnonzero(~shown)
    dealt = np.empty_like(pts)
    dealt[np.concatenate((numbers, lost))] = pts
    rank, order, picture = _arrange(dealt, shown & index.shown)
    return replace(
        index,
        pts=dealt,
        shown=shown & index.shown,
        order=order,
        picture=picture,
        rank=rank,
        has_order=True,
        notes=(*index.notes, "The file does not store the order of its pictures: they were decoded once to learn it."),
    )


def _timestamps(
    pts: IntArray, dts: IntArray, time_base: Fraction, rate: Fraction, notes: list[str]
) -> tuple[IntArray, Fraction, bool]:
    """Usable presentation times, their unit, and whether they come from the file."""
    missing = pts == NO_TIME
    if not missing.any():
        return pts, time_base, True
    filled = np.where(missing, dts, pts)
    if (filled != NO_TIME).all():
        notes.append(f"{missing.sum()} pictures have no presentation time: their decoding time is used.")
        return filled, time_base, True
    notes.append(
        f"The file stores no timestamps: times are the order of pictures at its nominal {float(rate):.6g} pictures"
        " per second."
    )
    return np.arange(len(pts), dtype=np.int64), 1 / rate, False


def _arrange(pts: IntArray, shown: BoolArray) -> tuple[IntArray, IntArray, IntArray]:
    """(rank, order, picture) of `PictureIndex`."""
    by_time = np.argsort(pts, kind="stable").astype(np.int64)
    rank = np.empty_like(by_time)
    rank[by_time] = np.arange(len(by_time))
    order = by_time[shown[by_time]]
    picture = np.full(len(pts), -1, np.int64)
    picture[order] = np.arange(len(order))
    return rank, order, picture


def _read_packets(container: InputContainer, stream: VideoStream, notes: list[str]) -> _Rows:
    rows = _Rows()
    rule = ReferenceRule(stream.codec_context.name, stream.codec_context.extradata)
    latest = NO_TIME
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            pts = NO_TIME if packet.pts is None else packet.pts
            rows.pts.append(pts)
            rows.dts.append(NO_TIME if packet.dts is None else packet.dts)
            rows.pos.append(NO_TIME if packet.pos is None else packet.pos)
            rows.size.append(packet.size)
            rows.duration.append(packet.duration or 0)
            rows.key.append(packet.is_keyframe)
            rows.reference.append(rule.is_reference(packet, reordered=pts < latest))
            rows.shown.append(not packet.is_discard and rule.is_shown(packet))
            latest = max(latest, pts)
            if len(rows.pts) >= MAX_PACKETS:
                notes.append(f"Only the first {MAX_PACKETS} pictures are read.")
                break
    except av.FFmpegError as error:
        notes.append(f"Reading stopped after {len(rows.pts)} pictures ({(error.strerror or 'unknown error').lower()}).")
    if stream.frames > len(rows.pts) + 1:
        notes.append(f"The file is cut short: {len(rows.pts)} of its {stream.frames} pictures are there.")
    return rows


def _last_duration(
    pts: IntArray, order: IntArray, durations: IntArray | None, time_base: Fraction, rate: Fraction
) -> float:
    """Seconds for which the last picture is shown: as stored, else as long as pictures last in the median."""
    if len(order) and durations is not None and durations[order[-1]] > 0:
        return float(durations[order[-1]] * time_base)
    gaps = np.diff(pts[order])
    gaps = gaps[gaps > 0]
    return float(np.median(gaps) * time_base) if len(gaps) else float(1 / rate)
