"""What a container says about each packet of a stream: packets are walked one by one, nothing is decoded."""

from array import array
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.stream import VideoStream

from himmel.video.file.fields import FieldRule
from himmel.video.file.reference import ReferenceRule

IntArray = npt.NDArray[np.int64]
ShortArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]

NO_TIME = -(2**63)
MAX_PACKETS = 2**26


@dataclass(frozen=True, repr=False)
class Columns:
    """One entry per packet in decode order, as stored; see `PictureIndex`.

    Attributes:
        duration: int64 [P], in units of the stream's time base; 0 where the file doesn't tell.
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
    direct: bool = False


def walk_packets(container: InputContainer, stream: VideoStream, notes: list[str]) -> Columns:
    """Demux a freshly opened container to its end; what stops that, or is missing, goes into `notes`."""
    pts, dts, pos = array("q"), array("q"), array("q")
    size, duration = array("i"), array("q")
    key, reference, shown, second = array("b"), array("b"), array("b"), array("b")
    context = stream.codec_context
    rule = ReferenceRule(context.name, context.extradata)
    fields = FieldRule(context.extradata if context.name == "h264" else None)
    latest = NO_TIME
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
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
            latest = max(latest, time)
            if len(pts) >= MAX_PACKETS:
                notes.append(f"Only the first {MAX_PACKETS} pictures are read.")
                break
    except av.FFmpegError as error:
        notes.append(f"Reading stopped after {len(pts)} pictures ({(error.strerror or 'unknown error').lower()}).")
    if stream.frames > len(pts) + 1:
        notes.append(f"The file is cut short: {len(pts)} of its {stream.frames} pictures are there.")
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
    )
    _join_fields(columns)
    return columns


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
