"""Decoding of chosen stretches: seek to a keyframe, send the packets that are needed, drain."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.codec.context import Flags, Flags2
from av.video.frame import PictureType, VideoFrame

from himmel.video.container import open_stream
from himmel.video.index import NO_TIME, IntArray, PictureIndex

_NOBODY = -1
_LOOK_AT = 8
_PREDICTED = (PictureType.P, PictureType.B, PictureType.S)


@dataclass(frozen=True)
class Segment:
    """A stretch that is decoded in one go, by decode-order numbers.

    Attributes:
        start: a keyframe.
        wanted: sorted; decoding ends with the last of them.
    """

    start: int
    wanted: tuple[int, ...]


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
    """One open file with one single-threaded decoder; not for use by several threads at once.

    Args:
        vectors: let FFmpeg export motion vectors.
        crop: cut pictures to the window that the stream names.
        pixels: False leaves out the last steps of reconstruction, for speed.
    """

    def __init__(
        self, path: Path, index: PictureIndex, *, vectors: bool, crop: bool = True, pixels: bool = True
    ) -> None:
        self._path = path
        self._index = index
        self._flags = (Flags2.export_mvs if vectors else 0) | (0 if crop else Flags2.ignore_crop)
        self._options = {} if pixels else {"skip_loop_filter": "all", "skip_idct": "all"}
        self._closing = ExitStack()
        self._open()

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
        wanted = set(segment.wanted)
        context = self._stream.codec_context
        context.flush_buffers()
        held_back: bytes | None = None
        for number, packet in self.packets(segment.start, segment.wanted[-1]):
            if number not in wanted and not self._index.reference[number] and not self._index.key[number]:
                continue
            if self._flags & Flags2.export_mvs and self._index.reference[number] and context.name != "h264":
                held_back = bytes(packet)
            # An edit list may hide this picture: decoders would keep it back, though others refer to it.
            packet = av.Packet(bytes(packet)) if packet.is_discard else packet
            # The number travels through the decoder in place of the time, whatever the file's times are like.
            packet.pts = packet.dts = number
            yield from self._decode(packet)
        if held_back is not None:
            # MPEG decoders give their newest reference without its vectors when drained, but with them when the next
            # reference arrives: the same one again will do.
            again = av.Packet(held_back)
            again.pts = again.dts = _NOBODY
            yield from self._decode(again)
        yield from self._decode(None)

    def _open(self) -> None:
        self._closing.close()
        self._container, self._stream = self._closing.enter_context(open_stream(self._path))
        # Without `unaligned`, FFmpeg rounds the left edge of a cropping window down and shows too much.
        self._stream.codec_context.flags |= Flags.unaligned
        self._stream.codec_context.flags2 |= self._flags
        self._stream.codec_context.options = self._options
        self._restart_demux(0)

    def _restart_demux(self, number: int) -> None:
        self._demux = (packet for packet in self._container.demux(self._stream) if packet.size)
        self._next = number

    def _decode(self, packet: "av.Packet[Any] | None") -> Iterator[tuple[int, VideoFrame]]:
        try:
            frames = self._stream.codec_context.decode(packet)
        except av.FFmpegError:
            return
        while frames:
            number = frames[0].pts
            if number is None or not 0 <= number < len(self._index.size):
                frames.pop(0)
            else:
                # No name here may keep the picture alive after the caller has let go of it.
                yield number, frames.pop(0)

    @property
    def extradata(self) -> bytes | None:
        """The stream's global header as the container stores it."""
        data = self._stream.codec_context.extradata
        return None if data is None else bytes(data)

    def packets(self, start: int, last: int) -> Iterator[tuple[int, "av.Packet[Any]"]]:
        """Packets number `start` (a keyframe) to `last`, undecoded, each with its decode-order number."""
        ahead = self._go_to(start)
        number = start
        while number <= last:
            packet = ahead.pop(0) if ahead else self._take()
            if packet is None:
                return
            yield number, packet
            number += 1

    def _take(self) -> "av.Packet[Any] | None":
        try:
            packet = next(self._demux, None)
        except av.FFmpegError:
            return None
        self._next += 1
        return packet

    def _go_to(self, start: int) -> list["av.Packet[Any]"]:
        """Place the file before packet `start`; returns packets already taken, `start` first."""
        if not 0 <= start - self._next <= 8:
            for target in self._seek_targets(start):
                found = self._try_seek(start, target)
                if found:
                    return found
            self._open()
        while self._next < start:
            if self._take() is None:
                break
        return []

    def _seek_targets(self, start: int) -> Iterator[int]:
        """Timestamps to seek to, nearest first; none if the way is short or the file has no times."""
        index = self._index
        if not index.has_times or start < 8:
            return
        pts, dts = int(index.pts[start]), int(index.dts[start])
        second = round(1 / index.time_base)
        base = pts if dts == NO_TIME else dts
        yield pts
        for margin in (0, 1, 10, 60):
            if base - margin * second > index.pts[0]:
                yield base - margin * second

    def _try_seek(self, start: int, target: int) -> list["av.Packet[Any]"]:
        """Seek, then read on until packet `start` and its successors are met; [] if they aren't."""
        index = self._index
        try:
            self._container.seek(target, stream=self._stream)
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
        index = self._index
        if packet.size != index.size[number] or packet.is_keyframe != bool(index.key[number]):
            return False
        return packet.pos == index.pos[number] or packet.pts == index.pts[number]


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
    note = "The file marks every picture as a keyframe, which is not so: every read starts at its beginning."
    return replace(index, key=key, notes=(*index.notes, note))


def learn_order(path: Path, index: PictureIndex) -> IntArray:
    """Decode a whole file once for the order in which its pictures are shown; decode-order numbers, int64 [<= P]."""
    with Decoder(path, index, vectors=False, pixels=False) as decoder:
        everything = Segment(0, tuple(range(len(index.size))))
        numbers = [number for number, _ in decoder.pictures(everything)]
    return np.array(list(dict.fromkeys(numbers)), np.int64)
