"""The picture index of a file, made without decoding (ten minutes: 0.03 s from an MP4's tables, else 0.1 s)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from himmel.video.file.container import open_stream
from himmel.video.file.packets import BoolArray, Columns, IntArray, ShortArray, is_mp4, walk_packets
from himmel.video.file.protection import check_samples
from himmel.video.file.tables import agrees, look_up_references, read_tables
from himmel.video.file.times import Times, arrange, last_duration, read_times
from himmel.video.file.whole import note_appended, note_changes, note_missing, note_other_stream

# Codecs whose packets give the order of pictures.
_TELL_ORDER = frozenset({"h264", "hevc", "mpeg4", "mpeg1video", "mpeg2video"})
# Pictures by which decoding may be ahead of presentation (H.264, A.3.1; H.265, A.4.2).
_MOST_AHEAD = 16


@dataclass(frozen=True, repr=False)
class PictureIndex:
    """One entry per packet in decode order (length P); T of them are shown.

    A packet holds a picture. If fields come in packets of their own, the first field's packet counts as the picture.

    Attributes:
        pts, dts, pos: int64 [P]; pts and dts in units of `time_base`, dts and pos may be NO_TIME.
        stored_pts: int64 [P], what the packets say, which may be NO_TIME; `pts` is what is made of it (see times.py).
        part: int32 [P], number of the part of the file that the packet is in; times rise within each part.
        size: int32 [P], bytes of the packet.
        key: bool [P], decoding may start here.
        reference: bool [P], other pictures may be predicted from it; with `direct` all are, until `with_references`.
        shown: bool [P], false for pictures that edit lists, hidden frames or a missing keyframe keep from the viewer.
        second: bool [P], the packet holds the second field of the picture before.
        coded: bool [P], false for packets without a picture of their own: the picture before stays on the screen.
        order: int32 [T], decode-order number of each shown picture in presentation order.
        rank: int32 [P], place in presentation order among all pictures.
        last_duration: duration of the picture shown last, in seconds.
        has_times: times come from the file, so that it can be sought by them.
        restarts: the file's own clock starts again somewhere, so that it cannot be sought by times.
        has_order: times give the order of presentation; if not, `with_order` does.
        extradata: the stream's global header as the container stores it.
        packed: B pictures share packets with others: packet k counts as the picture that `VopReader.unpack` gives.
        headers: (first packet that needs it, global header) for headers that replace `extradata`.
        direct: the file holds each packet's bytes as they are, from its `pos` on.
        notes: what was unusual.
    """

    pts: IntArray
    dts: IntArray
    pos: IntArray
    size: ShortArray
    key: BoolArray
    reference: BoolArray
    shown: BoolArray
    second: BoolArray
    coded: BoolArray
    order: ShortArray
    rank: ShortArray
    stored_pts: IntArray
    part: ShortArray
    time_base: Fraction
    last_duration: float
    has_times: bool
    has_order: bool
    restarts: bool
    extradata: bytes | None
    packed: bool
    headers: tuple[tuple[int, bytes], ...]
    direct: bool
    notes: tuple[str, ...]

    @property
    def key_numbers(self) -> IntArray:
        """Decode-order numbers at which decoding may start; the first packet if the file marks no keyframe."""
        numbers = np.flatnonzero(self.key)
        return numbers if len(numbers) else np.zeros(1, np.int64)

    def end_of(self, number: int) -> int:
        """The last packet of picture `number`: its own, or that of its second field."""
        return number + int(number + 1 < len(self.second) and self.second[number + 1])

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
        nearby = slice(max(0, number - 8 * window), number)
        before = nearby.start + np.flatnonzero(self.reference[nearby] & self.coded[nearby])[-window:]
        rank, own = self.rank[before], self.rank[number]
        past, future = before[rank < own], before[rank > own]
        return (
            int(past[np.argmax(self.rank[past])]) if len(past) else -1,
            int(future[np.argmin(self.rank[future])]) if len(future) else -1,
        )


def build_index(path: Path, container: InputContainer, stream: VideoStream) -> PictureIndex:
    """Index a freshly opened container: from its own tables if they say all, else by walking its packets."""
    notes: list[str] = []
    if is_mp4(container):
        notes.extend(filter(None, [check_samples(path, stream.id)]))
    columns = read_tables(path, container, stream)
    if columns is None:
        columns = walk_packets(container, stream, notes)
    elif not agrees(path, container, stream, columns):
        with open_stream(path) as fresh:
            columns = walk_packets(*fresh, notes)
    notes.extend(_look_around(path, container, stream, columns))
    key, shown, second, coded = columns.key, columns.shown, columns.second, columns.coded
    rate = Fraction(stream.guessed_rate or stream.average_rate or stream.base_rate or 25)
    times = read_times(columns, container.format.name, Fraction(stream.time_base or 1), rate, notes)
    pts, part = times.pts, times.part
    rank, order = arrange(pts, shown, second | ~coded, part)
    extradata = stream.codec_context.extradata
    return PictureIndex(
        pts=pts,
        dts=columns.dts,
        pos=columns.pos,
        size=columns.size,
        key=key,
        reference=columns.reference,
        shown=shown,
        second=second,
        coded=coded,
        order=order,
        rank=rank,
        stored_pts=columns.pts,
        part=part,
        time_base=times.unit,
        last_duration=last_duration(pts, order, columns.duration if times.from_file else None, times.unit, rate),
        has_times=times.from_file,
        has_order=not (stream.codec_context.has_b_frames and _leaves_open(times, ~second & coded, stream, container)),
        restarts=times.restarts,
        extradata=None if extradata is None else bytes(extradata),
        packed=columns.packed,
        headers=columns.headers,
        direct=columns.direct,
        notes=tuple(notes),
    )


def _look_around(path: Path, container: InputContainer, stream: VideoStream, columns: Columns) -> Iterator[str]:
    """Sentences about what is missing of a file, or is not read of it."""
    name = container.format.name
    found: list[str | None] = []
    if is_mp4(container) and not columns.direct:
        found.append(note_missing(path, stream))
    if is_mp4(container) or name == "flv":
        found.append(note_changes(path, name, stream.id))
    if is_mp4(container) or name in ("flv", "asf"):
        found.append(note_appended(path, name, columns))
    if name == "mpegts":
        found.append(note_other_stream(path, stream, columns))
    return filter(None, found)


def _leaves_open(times: Times, pictures: BoolArray, stream: VideoStream, container: InputContainer) -> bool:
    """Whether times may fail to give the order of pictures that the encoder reordered.

    They fail if they all rise: some containers have only a clock for decoding (AVI, and its streams in Matroska), and
    some files were written without presentation times. They also fail if some are equal, which happens at over 1,000
    pictures a second.
    """
    codec = stream.codec_context.name
    if _rises(times.pts, pictures, times.part):
        return codec in _TELL_ORDER or not times.from_file or container.format.name == "avi"
    pts, part = times.pts[pictures], times.part[pictures]
    by_time = np.lexsort((pts, part))
    equal = (np.diff(pts[by_time]) == 0) & (np.diff(part[by_time]) == 0)
    return codec in _TELL_ORDER and bool(equal.any())


def with_references(path: Path, index: PictureIndex) -> PictureIndex:
    """The index with `reference` from the packets, if that was not looked up before."""
    if not index.direct:
        return index
    return replace(index, reference=look_up_references(path, index.pos, index.extradata))


def with_order(index: PictureIndex, numbers: IntArray, how: str) -> PictureIndex:
    """The index in an order that was read from the stream.

    If all times rise in the order of decoding, they are decoding times and are assigned again in presentation order. An
    edit list was made for decoding times as well: if it only hides as many pictures as decoding is ahead by, nothing is
    hidden. If times do not all rise, only pictures with equal times change places.

    Args:
        numbers: decode-order numbers in presentation order; pictures that aren't among them count as not shown.
        how: the order was found, as the end of a sentence.
    """
    pictures = ~index.second & index.coded
    own = np.flatnonzero(pictures)
    if np.array_equal(numbers, own):
        return replace(index, has_order=True)
    pts, shown, place = index.pts, np.zeros_like(index.shown), np.full(len(index.pts), len(index.pts))
    shown[numbers] = True
    place[numbers] = np.arange(len(numbers))
    seconds = np.flatnonzero(index.second)
    place[seconds] = place[seconds - 1]
    what = "The file does not store the order in which its pictures are shown"
    if _rises(index.pts, pictures, index.part):
        everyone = own[np.argsort(place[own], kind="stable")]
        pts = index.pts.copy()
        pts[everyone] = np.sort(index.pts[own])
        pts[seconds] = pts[seconds - 1]
        shown &= _shown_anew(index, own, everyone)
    else:
        what = "Several pictures have the same time, so the times do not give their order"
        shown &= index.shown
    rank, order = arrange(pts, shown, ~pictures, index.part, place)
    return replace(
        index, pts=pts, shown=shown, order=order, rank=rank, has_order=True, notes=(*index.notes, f"{what}: {how}.")
    )


def _shown_anew(index: PictureIndex, own: IntArray, everyone: IntArray) -> BoolArray:
    """Which pictures are shown after times were assigned again: the hidden times stay hidden, not the same pictures.

    Decoding counts as ahead by as much as the stream allows, not by as much as it really is.
    """
    shown = index.shown.copy()
    if not index.key.any():
        return shown
    # Pictures before the first keyframe are hidden whenever they are.
    first = int(np.argmax(index.key))
    hidden = ~index.shown[own[own >= first]]
    if not hidden[_MOST_AHEAD:].any():
        hidden[:] = False
    late = everyone[everyone >= first]
    shown[late] = ~hidden
    return shown


def _rises(pts: IntArray, pictures: BoolArray, part: ShortArray) -> bool:
    """Whether no picture is earlier than one decoded before it, within each part."""
    steps = np.diff(pts[pictures])
    return bool((steps[np.diff(part[pictures]) == 0] >= 0).all())
