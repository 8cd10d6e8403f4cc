"""The last minutes of a stream as coded packets, within a bound of seconds and one of bytes."""

from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from himmel.video.file.headers import HeaderChanges
from himmel.video.live.template import TICKS, write_window

# What a packet takes besides its bytes.
_OVERHEAD: Final = 64


@dataclass(frozen=True)
class Format:
    """What must not change within a file: the codec, and the size of its pictures in pixels."""

    codec: str
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.codec}, {self.width} x {self.height}"


@dataclass(repr=False)
class Group:
    """A keyframe and what follows it up to another one: as much as can be decoded by itself.

    Attributes:
        format: of its pictures.
        template, header: of the connection that it came by.
        stretch: counts breaks in the stream, such as a lost connection: between two groups of a stretch nothing is
            missing.
        ticks: times of presentation in decode order; a list of them is kept apart from the bytes.
        end: when its last picture ends, in ticks.
    """

    format: Format
    template: bytes
    header: bytes | None
    stretch: int
    end: int = 0
    ticks: "array[int]" = field(default_factory=lambda: array("q"))
    keys: bytearray = field(default_factory=bytearray)
    ends: "array[int]" = field(default_factory=lambda: array("q"))
    data: bytearray = field(default_factory=bytearray)

    @property
    def start(self) -> int:
        """When its keyframe is shown, in ticks."""
        return self.ticks[0]

    @property
    def size(self) -> int:
        """Memory that it takes."""
        return len(self.data) + _OVERHEAD * len(self.ticks)

    def add(self, tick: int, data: bytes, key: bool) -> None:
        """Append a packet."""
        self.ticks.append(tick)
        self.keys.append(key)
        self.data += data
        self.ends.append(len(self.data))

    def copied(self) -> "Group":
        """A copy that does not change with this one."""
        return replace(self, ticks=self.ticks[:], keys=self.keys[:], ends=self.ends[:], data=bytearray(self.data))


class Ring:
    """Groups in the order in which they came; not for several threads at once.

    Args:
        seconds: what is kept: at least so much, back to the keyframe before.
        most: bytes that are kept at most.

    Attributes:
        ticks: `seconds` in ticks.
        groups: what is kept, oldest first.
    """

    def __init__(self, *, seconds: float, most: int) -> None:
        self.ticks = round(seconds * TICKS)
        self._most = most
        self.groups: deque[Group] = deque()
        self._size = 0
        self.cut_short = False

    @property
    def size(self) -> int:
        """Memory that the packets take."""
        return self._size

    @property
    def end(self) -> int:
        """When the last picture ends, in ticks."""
        return self.groups[-1].end

    def begin(self, group: Group) -> None:
        """Let a group follow those that are there."""
        self.groups.append(group)
        self._size += group.size

    def add(self, tick: int, data: bytes, key: bool, end: int) -> bool:
        """Append a packet to the last group.

        Returns:
            False where that group alone is more than the bound: it is dropped, and nothing can be decoded before the
            next keyframe.
        """
        group = self.groups[-1]
        group.add(tick, data, key)
        group.end = max(group.end, end)
        self._size += len(data) + _OVERHEAD
        while len(self.groups) > 1 and self.groups[1].start <= self.end - self.ticks:
            self._drop()
        while self._size > self._most and len(self.groups) > 1:
            self._drop()
            self.cut_short = True
        if self._size > self._most:
            self._drop()
            return False
        return True

    def _drop(self) -> None:
        self._size -= self.groups.popleft().size

    def latest(self, since: int | None = None, *, whole: bool = True) -> list[Group]:
        """The last groups of one format, the last of them as a copy, since it still grows.

        Args:
            since: those alone that are needed to decode from there on, in ticks.
            whole: also those before breaks in the stream.
        """
        chosen: list[Group] = []
        for group in reversed(self.groups):
            last = chosen[-1] if chosen else group
            if group.format != last.format or not (whole or group.stretch == last.stretch):
                break
            chosen.append(group)
            if since is not None and group.start <= since:
                break
        return [*reversed(chosen[1:]), chosen[0].copied()] if chosen else []


def write_groups(path: Path, groups: Sequence[Group]) -> None:
    """Write groups of one format to a file from which they are read as any other video; times are those of the ring."""
    first = groups[0]
    changes, count, header = [], 0, first.header
    for group in groups:
        if group.header != header:
            header = group.header
            changes.append((count, header or b""))
        count += len(group.ticks)
    headers = HeaderChanges(first.format.codec, first.header, changes)
    packets = list[tuple[bytes, bool]]()
    for group in groups:
        begin = 0
        view = memoryview(group.data)
        for key, end in zip(group.keys, group.ends, strict=True):
            data = bytes(view[begin:end])
            if changes:
                data = bytes(headers.prepare(len(packets), data))
            packets.append((data, bool(key)))
            begin = end
    write_window(path, first.template, packets, _distinct([tick for group in groups for tick in group.ticks]))


def _distinct(ticks: list[int]) -> list[int]:
    """Times, later by as little as is needed for no two to be equal: a file has no other order of presentation."""
    times = np.array(ticks, np.int64)
    order, steps = np.argsort(times, kind="stable"), np.arange(len(times))
    times[order] = np.maximum.accumulate(times[order] - steps) + steps
    return [int(time) for time in times]
