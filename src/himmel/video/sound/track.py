"""The packets of a file's sound: when, how large and, of AAC, how loud each is; nothing is decoded."""

from array import array
from dataclasses import dataclass
from typing import Final

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import InputContainer

from himmel._text import by_number
from himmel.video.file.container import demux, open_stream
from himmel.video.file.opened import VideoFile
from himmel.video.file.packets import MAX_PACKETS
from himmel.video.file.pyav import STREAMS_CAN_BE_DISCARDED
from himmel.video.sound.aac import HEAD, Packing, read_packing, read_powers

FloatArray = npt.NDArray[np.float64]

_AT_ONCE: Final = 1024
# Packets this long after a stretch belong to it no more, in whatever order they come.
_MARGIN: Final = 1.0
# So many of them in a row are the end of a stretch; fewer have times that are wrong.
_MOST_LATE: Final = 32


@dataclass(frozen=True, eq=False)
class Track:
    """The packets of one track of sound, in the order of their times; P may be 0.

    Attributes:
        starts, ends: float64 [P], seconds since the first shown picture; packets don't overlap.
        sizes: float64 [P], bytes.
        powers: float64 [P], mean square of the samples, 1 being a full-scale square wave; NaN where it isn't known.
        notes: sentences about what was unusual.
    """

    starts: FloatArray
    ends: FloatArray
    sizes: FloatArray
    powers: FloatArray
    notes: tuple[str, ...] = ()

    @classmethod
    def silent(cls, *notes: str) -> "Track":
        """No packets, and why."""
        return cls(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0), notes)


def read_track(file: VideoFile) -> Track:
    """Walk the packets of the best track of sound up to the end of the video."""
    if file.index.restarts or not file.index.has_times:
        return Track.silent("The sound is left out: the file's clock does not say which pictures it belongs to.")
    with open_stream(file.path) as (container, pictures):
        best = container.streams.best("audio")
        if not isinstance(best, AudioStream):
            return Track.silent("The file has no sound.")
        if STREAMS_CAN_BE_DISCARDED:
            pictures.discard = av.stream.Discard.all
            best.discard = av.stream.Discard.default
        return _walk(container, best, start=file.start, duration=file.duration)


def _walk(container: InputContainer, stream: AudioStream, *, start: float, duration: float) -> Track:
    notes = list[str]()
    tracks = len(container.streams.audio)
    if tracks > 1:
        notes.append(f"The file has {tracks} tracks of sound: the one with the index {stream.index} is read.")
    unit = float(stream.time_base or 1)
    starts, lengths, sizes = array("d"), array("d"), array("q")
    loudness = _Powers(stream)
    after, late = -start, 0
    try:
        for packet in demux(container, stream):
            time = after if packet.pts is None else packet.pts * unit - start
            if time > duration + _MARGIN:
                late += 1
                if late == _MOST_LATE:
                    break
                continue
            late = 0
            starts.append(time)
            lengths.append((packet.duration or 0) * unit)
            sizes.append(packet.size)
            loudness.add(packet)
            after = time + lengths[-1]
            if len(starts) >= MAX_PACKETS:
                notes.append(f"The file has too many packets of sound: only the first {MAX_PACKETS:,} are read.")
                break
    except av.FFmpegError as error:
        stopped = by_number(len(starts), "after {} packet", "after {} packets")
        notes.append(f"Reading the sound stopped {stopped} ({(error.strerror or 'unknown error').lower()}).")
    powers = loudness.values()
    if not len(powers) or np.isnan(powers).all():
        notes.append(f"Of the sound ({stream.codec_context.name}) only sizes are known, and not how loud it is.")
    return _in_order(np.array(starts), np.array(lengths), np.array(sizes, np.float64), powers, tuple(notes))


class _Powers:
    """Packets' powers, read many at once."""

    def __init__(self, stream: AudioStream) -> None:
        context = stream.codec_context
        self._is_aac = context.name == "aac"
        self._extradata = context.extradata
        self._packing: Packing | None = None
        self._heads, self._sizes = bytearray(), list[int]()
        self._found = list[FloatArray]()

    def add(self, packet: "av.Packet[AudioStream]") -> None:
        """Take a packet's beginning."""
        head = bytes(memoryview(packet)[:HEAD]) if self._is_aac else b""
        if self._is_aac and self._packing is None:
            self._packing = read_packing(self._extradata, head)
        self._heads += head.ljust(HEAD, b"\0") if self._is_aac else b""
        self._sizes.append(packet.size)
        if len(self._sizes) == _AT_ONCE:
            self._read()

    def values(self) -> FloatArray:
        """Of all packets, float64 [P]; NaN where it isn't known."""
        self._read()
        powers = np.concatenate(self._found)
        # A packet's windows reach over itself and the next one, so that two packets make each one's samples.
        before = np.concatenate([powers[:1], powers[:-1]])
        return (powers + before) / 2

    def _read(self) -> None:
        sizes = np.array(self._sizes, np.int64)
        if self._packing is None:
            self._found.append(np.full(len(sizes), np.nan))
        else:
            heads = np.frombuffer(bytes(self._heads), np.uint8).reshape(len(sizes), HEAD)
            self._found.append(read_powers(heads, sizes, self._packing))
        self._heads.clear()
        self._sizes.clear()


def _in_order(
    starts: FloatArray, lengths: FloatArray, sizes: FloatArray, powers: FloatArray, notes: tuple[str, ...]
) -> Track:
    """Packets by time, each up to the next one where the file leaves that open or rounds its times."""
    if not len(starts):
        return Track.silent(*notes)
    order = np.argsort(starts, kind="stable")
    starts, lengths, sizes, powers = starts[order], lengths[order], sizes[order], powers[order]
    following = np.append(starts[1:], np.inf)
    between = lengths[lengths > 0] if (lengths > 0).any() else np.diff(starts)
    usual = float(np.median(between)) if len(between) else 0.0
    ends = starts + np.where(lengths > 0, lengths, usual)
    ends = np.where(following - ends < usual / 4, following, ends)
    ends[-1:] = starts[-1:] + np.where(lengths[-1:] > 0, lengths[-1:], usual)
    return Track(starts, np.minimum(ends, following), sizes, powers, notes)
