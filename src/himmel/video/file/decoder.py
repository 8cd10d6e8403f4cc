"""Decoding of chosen stretches: seek to a keyframe, send the packets that are needed, drain."""

import io
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import av
import numpy as np
from av.codec.context import Flags, Flags2
from av.container import InputContainer
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from himmel._interrupts import interrupts_kept
from himmel.video.file.container import demux, open_stream
from himmel.video.file.headers import HeaderChanges
from himmel.video.file.index import PictureIndex
from himmel.video.file.nal import NalUnits
from himmel.video.file.packets import NO_TIME, IntArray
from himmel.video.file.tables import HEAD
from himmel.video.file.vops import VopReader

Opened = tuple[InputContainer, VideoStream]
Missing = TypeVar("Missing", bound=Sized)

_NOBODY = -1
_ELSEWHERE = 2**62
_LOOK_AT = 8
_RETRIES = 2
# Bytes before a packet's place to seek to.
_SEEK_MARGINS = (0, 2**15, 2**20)
_PREDICTED = (PictureType.P, PictureType.B, PictureType.S)


class Stopped(Exception):
    """Another worker has failed or was interrupted: the rest is not needed."""


@dataclass(frozen=True)
class Segment:
    """A stretch that is decoded in one go, by decode-order numbers.

    Attributes:
        start: a keyframe.
        wanted: sorted; decoding ends with the last of them.
    """

    start: int
    wanted: tuple[int, ...]


def read_with_retries(
    index: PictureIndex, start: int, wanted: Missing, read: Callable[[int, Missing], Missing]
) -> None:
    """Read from `start`, then what did not come from up to two keyframes before it.

    With periodic intra refresh, what counts as a keyframe gives a whole picture only a second later.

    Args:
        start: decode-order number of a keyframe.
        read: takes where to begin and what is wanted, and returns what did not come, or not whole.
    """
    earlier = index.key_numbers[index.key_numbers < start]
    for begin in (start, *earlier[: -_RETRIES - 1 : -1].tolist()):
        wanted = read(begin, wanted)
        if not wanted:
            return


def plan_segments(index: PictureIndex, wanted: Iterable[set[int]]) -> list[Segment]:
    """Group wanted pictures by the keyframe that they are decoded from; stretches that overlap are joined.

    The plan depends on the file and on what is wanted alone, never on threads.

    Args:
        wanted: sets of pictures, by decode-order numbers; those of one set come from one stretch.
    """
    groups: dict[int, set[int]] = {}
    for numbers in wanted:
        groups.setdefault(min(index.start_for(number) for number in numbers), set()).update(numbers)
    joined: list[tuple[int, set[int]]] = []
    for start, numbers in sorted(groups.items()):
        if joined and start <= max(joined[-1][1]):
            joined[-1][1].update(numbers)
        else:
            joined.append((start, numbers))
    return [Segment(start, tuple(sorted(numbers))) for start, numbers in joined]


class Decoder:
    """One file with one single-threaded decoder; not for use by several threads at once.

    The file is opened by FFmpeg when that is first needed: packets whose places are known are read without it.

    Args:
        vectors: let FFmpeg export motion vectors.
        crop: cut pictures to the window that the stream names.
        pixels: False leaves out the last steps of reconstruction, for speed.
        opened: a container and its stream, from which nothing has been decoded; the caller closes it.
        stop: when it is set, reading ends at the next packet, with `Stopped`.

    Attributes:
        refusal: why the last packet that gave no picture was refused.
    """

    def __init__(
        self,
        path: Path,
        index: PictureIndex,
        *,
        vectors: bool,
        crop: bool = True,
        pixels: bool = True,
        opened: Opened | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self._path = path
        self.index = index
        self._flags = (Flags2.export_mvs if vectors else 0) | (0 if crop else Flags2.ignore_crop)
        self._options = {} if pixels else {"skip_loop_filter": "all", "skip_idct": "all"}
        self._stop = stop
        self.refusal: av.FFmpegError | None = None
        self._closing = ExitStack()
        self._file: io.FileIO | None = None
        self._opened: Opened | None = None
        if opened is not None:
            self._use(opened)
            self._restart_demux(_ELSEWHERE)

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    @property
    def coded_size(self) -> tuple[int, int]:
        """(width, height) in which blocks are coded; known after the first picture."""
        return self._stream.codec_context.coded_width, self._stream.codec_context.coded_height

    def pictures(self, segment: Segment) -> Iterator[tuple[int, VideoFrame]]:
        """Yield (decode-order number, picture) as the decoder gives them, roughly in presentation order.

        Pictures that no other refers to are skipped unless wanted. Let go of each picture before taking the next one:
        exported vectors pin its memory. Damaged packets are skipped, so a wanted picture may not come.
        """
        index = self.index
        context = self._stream.codec_context
        context.flush_buffers()
        held_back: bytes | None = None
        for number, packet in self.packets(segment):
            if self._flags & Flags2.export_mvs and index.reference[number] and context.name != "h264":
                held_back = bytes(packet)
            # An edit list may hide this picture: decoders would keep it back, though others refer to it.
            packet = packet if isinstance(packet, av.Packet) and not packet.is_discard else _new_packet(bytes(packet))
            # The number travels through the decoder in place of the time, whatever the file's times are like.
            packet.pts = packet.dts = number
            yield from self._decode(packet)
        if held_back is not None:
            # MPEG decoders give their newest reference without its vectors when drained, but with them when the next
            # reference arrives: the same one again will do.
            again = _new_packet(held_back)
            again.pts = again.dts = _NOBODY
            yield from self._decode(again)
        yield from self._decode(None)

    @property
    def _stream(self) -> VideoStream:
        return (self._opened or self._open())[1]

    def _open(self) -> Opened:
        self._closing.close()
        self._file = None
        opened = self._use(self._closing.enter_context(open_stream(self._path)))
        self._restart_demux(0)
        return opened

    def _use(self, opened: Opened) -> Opened:
        self._opened = opened
        context = opened[1].codec_context
        # Without `unaligned`, FFmpeg rounds the left edge of a cropping window down and shows too much.
        context.flags |= Flags.unaligned
        context.flags2 |= self._flags
        context.options = self._options
        return opened

    def _restart_demux(self, number: int) -> None:
        container, stream = self._opened or self._open()
        self._demux = demux(container, stream)
        self._next = number

    def _decode(self, packet: "av.Packet[Any] | None") -> Iterator[tuple[int, VideoFrame]]:
        try:
            with interrupts_kept():
                frames = self._stream.codec_context.decode(packet)
        except av.FFmpegError as error:
            self.refusal = error.with_traceback(None)
            return
        while frames:
            number = frames[0].pts
            if number is None or not 0 <= number < len(self.index.size):
                frames.pop(0)
            else:
                # No name here may keep the picture alive after the caller has let go of it.
                yield number, frames.pop(0)

    def packets(self, segment: Segment) -> Iterator[tuple[int, "av.Packet[Any] | bytes"]]:
        """Undecoded packets from a segment's start to the last wanted picture, each with its picture's number.

        Pictures that are neither wanted nor referred to by others are left out.

        Raises:
            Stopped: see `Decoder`.
        """
        for number, packet in self._packets(segment):
            if self._stop is not None and self._stop.is_set():
                raise Stopped
            yield number, packet

    def _packets(self, segment: Segment) -> Iterator[tuple[int, "av.Packet[Any] | bytes"]]:
        index, last = self.index, self.index.end_of(segment.wanted[-1])
        owners = np.arange(segment.start, last + 1) - index.second[segment.start : last + 1]
        # By table, here and in schedule.py: the way by sorting imports numpy.ma first, a thirtieth of a prompt's time.
        chosen = index.key[owners] | np.isin(owners, segment.wanted, kind="table")
        if index.direct:
            yield from self._read(segment.start, chosen.tolist())
            return
        ahead = self._go_to(segment.start)
        vops = VopReader(index.extradata) if index.packed else None
        headers = None
        if index.headers:
            headers = HeaderChanges(self._stream.codec_context.name, index.extradata, index.headers)
        for owner, needed in zip(owners.tolist(), (chosen | index.reference[owners]).tolist(), strict=True):
            packet = ahead.pop(0) if ahead else self._take()
            if packet is None:
                return
            if vops is not None:
                own = vops.unpack(bytes(packet))
                if needed:
                    yield owner, own
            elif needed:
                yield owner, packet if headers is None else headers.prepare(owner, packet)

    def _read(self, start: int, chosen: list[bool]) -> Iterator[tuple[int, bytes]]:
        """Packets from `start` on by their places in the file: those chosen, and references.

        Fewer bytes come if the file became shorter.
        """
        if self._file is None:
            self._file = self._closing.enter_context(self._path.open("rb", buffering=0))
        file, units = self._file, NalUnits(self.index.extradata)
        stop = start + len(chosen)
        places, sizes = self.index.pos[start:stop].tolist(), self.index.size[start:stop].tolist()
        for number, place, size, needed in zip(range(start, stop), places, sizes, chosen, strict=True):
            file.seek(place)
            if needed:
                yield number, file.read(size)
                continue
            head = file.read(min(HEAD, size))
            if units.is_reference(memoryview(head)):
                yield number, head + file.read(size - len(head))

    def _take(self) -> "av.Packet[Any] | None":
        try:
            with interrupts_kept():
                packet = next(self._demux, None)
        except av.FFmpegError:
            return None
        self._next += 1
        return packet

    def _go_to(self, start: int) -> list["av.Packet[Any]"]:
        """Place the file before packet `start`; returns packets already taken, `start` first."""
        if self._opened is None:
            self._open()
        if not 0 <= start - self._next <= 8:
            for target in self._seek_targets(start):
                found = self._try_seek(start, target, by_bytes=self.index.restarts)
                if found:
                    return found
            self._open()
        while self._next < start:
            if self._take() is None:
                break
        return []

    def _seek_targets(self, start: int) -> Iterator[int]:
        """Timestamps to seek to, nearest first; none if the way is short or the file has no times.

        Where one time means several places, it is the packet's place in the file.
        """
        index = self.index
        if not index.has_times or start < 8:
            return
        if index.restarts:
            places = index.pos[: start + 1]
            places = places[places >= 0]
            # From the middle of a pack of MPEG-PS on, FFmpeg first gives packets that are not whole, or without times.
            for margin in _SEEK_MARGINS if len(places) else ():
                yield from map(int, places[places <= places[-1] - margin][-1:])
            return
        pts, dts = int(index.stored_pts[start]), int(index.dts[start])
        pts = int(index.pts[start]) if pts == NO_TIME else pts
        second = round(1 / index.time_base)
        base = pts if dts == NO_TIME else dts
        yield pts
        for margin in (0, 1, 10, 60):
            if base - margin * second > index.pts[0]:
                yield base - margin * second

    def _try_seek(self, start: int, target: int, *, by_bytes: bool) -> list["av.Packet[Any]"]:
        """Seek to a time or a place and read on until packet `start` and its successors are met; [] if they aren't."""
        index = self.index
        try:
            container, stream = self._opened or self._open()
            with interrupts_kept():
                if by_bytes:
                    container.seek(target, unsupported_byte_offset=True)
                else:
                    container.seek(target, stream=stream)
        except av.FFmpegError:
            return []
        self._restart_demux(-1)
        limit = index.dts[start]
        while (packet := self._take()) is not None:
            if self._same(packet, start):
                following = [packet]
                for number in range(start + 1, min(start + 4, len(index.size))):
                    after = self._take()
                    if after is None or after.size != index.size[number]:
                        return []
                    following.append(after)
                self._next = start + len(following)
                return following
            if packet.dts is not None and limit != NO_TIME and packet.dts > limit:
                break
        return []

    def _same(self, packet: "av.Packet[Any]", number: int) -> bool:
        index = self.index
        if packet.size != index.size[number] or packet.is_keyframe != bool(index.key[number]):
            return False
        return packet.pos == index.pos[number] or packet.pts == index.stored_pts[number]


def _new_packet(data: bytes) -> "av.Packet[Any]":
    """A packet with the zeros behind its data that decoders may read, which `av.Packet(data)` lacks."""
    packet = av.Packet(len(data))
    packet.update(data)
    return packet


def check_keys(path: Path, index: PictureIndex) -> PictureIndex:
    """Mistrust a file that calls every picture a keyframe (an MP4 without its table of keyframes does).

    If one of its first pictures is predicted from another, only the first counts as a keyframe.
    """
    if len(index.key) < 2 or not index.key.all():
        return index
    first = Segment(0, tuple(range(min(_LOOK_AT, len(index.key)))))
    with Decoder(path, index, vectors=False, pixels=False) as decoder:
        if not any(frame.pict_type in _PREDICTED for _, frame in decoder.pictures(first)):
            return index
    key = np.zeros_like(index.key)
    key[0] = True
    note = "The file wrongly marks every picture as a keyframe: every read starts at the beginning of the file."
    return replace(index, key=key, notes=(*index.notes, note))


def learn_order(path: Path, index: PictureIndex) -> IntArray:
    """Decode a whole file once for the order in which its pictures are shown; decode-order numbers, int64 [<= P]."""
    with Decoder(path, index, vectors=False, pixels=False) as decoder:
        everything = Segment(0, tuple(range(len(index.size))))
        numbers = [number for number, _ in decoder.pictures(everything)]
    return np.array(list(dict.fromkeys(numbers)), np.int64)
