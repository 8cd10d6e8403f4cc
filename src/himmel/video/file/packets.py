"""What a container says about each packet of a stream: packets are walked one by one, nothing is decoded."""

from array import array
from dataclasses import dataclass, replace

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.stream import VideoStream

from himmel._text import by_number
from himmel.video.file.container import demux
from himmel.video.file.fields import FieldRule
from himmel.video.file.headers import new_header
from himmel.video.file.reference import ReferenceRule
from himmel.video.file.vops import CODEC as MPEG4
from himmel.video.file.vops import VopRule

IntArray = npt.NDArray[np.int64]
ShortArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]

NO_TIME = -(2**63)
MAX_PACKETS = 2**26


@dataclass(frozen=True, repr=False)
class Columns:
    """One entry per packet in decode order, as stored; see `PictureIndex`.

    Attributes:
        duration: int64 [P], in units of the stream's time base; 0 if the file doesn't say.
        coded: bool [P], false for packets without a picture of their own: the one before stays on the screen.
        packed: MPEG-4 Part 2 with B pictures that share packets with others, see `vops`.
        headers: (first packet that needs it, global header) for headers that replace the first one.
        direct: the file holds each packet's bytes as they are, from its `pos` on.
    """

    pts: IntArray
    dts: IntArray
    pos: IntArray
    size: ShortArray
    key: BoolArray
    reference: BoolArray
    shown: BoolArray
    second: BoolArray
    duration: IntArray
    coded: BoolArray
    packed: bool = False
    headers: tuple[tuple[int, bytes], ...] = ()
    direct: bool = False


def is_mp4(container: InputContainer) -> bool:
    """Whether a file is made of boxes: MP4, MOV and their kin."""
    return "mov" in container.format.name.split(",")


def walk_packets(container: InputContainer, stream: VideoStream, notes: list[str]) -> Columns:
    """Demux a freshly opened container to its end; what stops that, or is missing, goes into `notes`."""
    pts, dts, pos = array("q"), array("q"), array("q")
    size, duration = array("i"), array("q")
    key, reference, shown, second = array("b"), array("b"), array("b"), array("b")
    context = stream.codec_context
    rule = ReferenceRule(context.name, context.extradata)
    vops = VopRule(context.extradata) if context.name == MPEG4 else None
    fields = FieldRule(context.extradata if context.name == "h264" else None)
    header, headers = context.extradata, list[tuple[int, bytes]]()
    latest = NO_TIME
    try:
        for packet in demux(container, stream):
            changed = new_header(packet)
            if changed is not None and changed != header:
                header = changed
                headers.append((len(pts), header))
                rule = ReferenceRule(context.name, header)
                fields = FieldRule(header if context.name == "h264" else None)
            time = NO_TIME if packet.pts is None else packet.pts
            if packet.is_keyframe and time != NO_TIME:
                # Nothing decoded before it is shown after it; if its time is earlier, another recording begins.
                latest = time
            pts.append(time)
            dts.append(NO_TIME if packet.dts is None else packet.dts)
            pos.append(NO_TIME if packet.pos is None else packet.pos)
            size.append(packet.size)
            duration.append(packet.duration or 0)
            key.append(packet.is_keyframe)
            reference.append(rule.is_reference(packet, reordered=time < latest))
            shown.append(not packet.is_discard and rule.is_shown(packet))
            second.append(fields.may_find and fields.is_second(memoryview(packet)))
            if vops is not None:
                vops.add(bytes(packet))
            latest = max(latest, time)
            if len(pts) >= MAX_PACKETS:
                notes.append(f"The file has too many pictures: only the first {MAX_PACKETS:,} are read.")
                break
    except av.FFmpegError as error:
        stopped = by_number(len(pts), "Reading stopped after {} picture", "Reading stopped after {} pictures")
        notes.append(f"{stopped} ({(error.strerror or 'unknown error').lower()}).")
    is_avi = container.format.name == "avi"
    # AVI's clock counts packets, the empty ones too, which FFmpeg leaves out.
    there = max(len(pts), min(max(dts, default=0) + 1, stream.frames)) if is_avi else len(pts)
    # What an edit list leaves out is counted as well: there `whole.note_missing` looks closer.
    if stream.frames > there + 1 and not is_mp4(container):
        notes.append(f"The file is cut short: {there} of {stream.frames} pictures can be read.")
    columns = Columns(
        pts=np.frombuffer(pts, np.int64),
        dts=np.frombuffer(dts, np.int64),
        pos=np.frombuffer(pos, np.int64),
        size=np.frombuffer(size, np.int32),
        key=np.frombuffer(key, np.bool_),
        reference=np.frombuffer(reference, np.bool_),
        shown=np.frombuffer(shown, np.bool_),
        second=np.frombuffer(second, np.bool_),
        duration=np.frombuffer(duration, np.int64),
        coded=np.ones(len(pts), np.bool_),
        headers=tuple(headers),
    )
    _join_fields(columns)
    if vops is not None:
        columns = _with_vops(columns, vops, notes)
    # Before the first picture and after the last one there is none that an empty packet would show on.
    between = int(np.ptp(columns.pts)) + 1 - len(pts) if is_avi and NO_TIME not in pts and len(pts) else 0
    empty = int(np.sum(~columns.coded)) + min(max(between, 0), there - len(pts))
    if empty:
        notes.append(
            by_number(
                empty,
                "{} packet of the file holds no picture: the picture before it stays on the screen.",
                "{} packets of the file hold no picture: the picture before each stays on the screen.",
            )
        )
    return columns


def _with_vops(columns: Columns, vops: VopRule, notes: list[str]) -> Columns:
    times = columns.dts if (columns.pts == NO_TIME).any() else columns.pts
    found = vops.columns(times, columns.key, columns.shown, notes)
    return replace(
        columns,
        pts=found.pts if found.packed else columns.pts,
        key=found.key,
        reference=found.reference,
        shown=found.shown,
        coded=found.coded,
        packed=found.packed,
    )


def _join_fields(columns: Columns) -> None:
    """Make each second field a part of the picture before it."""
    seconds = np.flatnonzero(columns.second)
    firsts = seconds - 1
    columns.reference[firsts] |= columns.reference[seconds]
    columns.reference[seconds] = columns.reference[firsts]
    columns.duration[firsts] += columns.duration[seconds]
    columns.pts[seconds] = columns.pts[firsts]
    columns.dts[seconds] = columns.dts[firsts]
    columns.key[seconds] = columns.shown[seconds] = False
