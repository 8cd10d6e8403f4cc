"""From packets as they come to groups with times that only rise, whatever the source's clock does."""

import math
from collections import deque
from collections.abc import Callable
from typing import Final
from zlib import crc32

from himmel.video.live.connection import Connection, LivePacket
from himmel.video.live.probe import picture_size, sequence_sets
from himmel.video.live.ring import Format, Group, Ring
from himmel.video.live.template import TICKS

# How far a clock may go ahead between two pictures, in seconds, and how many times the longest distance so far.
_LEAP: Final = 10.0
_LEAPS: Final = 3.0
# How far pictures may go back in it: encoders reorder at most 16 of them (H.264, A.3.1).
_BACK: Final = 2.0
_REORDERED: Final = 16
# The first distance between two pictures is believed up to an hour: a picture a minute is a stream as well.
_FIRST: Final = 3600.0
# Groups are at least so many ticks long, where every picture is a keyframe.
_SHORTEST: Final = TICKS
# What is believed of how long a picture is shown, in seconds.
_LONGEST_SHOWN: Final = 1.0
# Keyframes that are known again.
_REMEMBERED: Final = 4096
# Seconds by which the estimated delay of a stream may grow in each second of it.
_DRIFT: Final = 1e-3


class Intake:
    """Puts packets into a ring: where decoding can't go on, a new stretch begins at the next keyframe.

    Args:
        ring: what they go into.
        tell: called with a sentence and the time, in ticks, for what a viewer should know.

    Attributes:
        waiting: nothing can be decoded before the next keyframe.
        delay: the least that `time.time()` was ahead of the stream's time lately, in seconds: when a picture was
            taken, as far as that can be told.
    """

    def __init__(self, ring: Ring, tell: Callable[[str, int], None]) -> None:
        self._ring, self._tell = ring, tell
        self._connection: Connection | None = None
        self._reconnected = False
        self.waiting = True
        self.delay = math.inf
        self._stretch = 0
        # What is added to the source's time to get the stream's.
        self._offset: float | None = None
        self._latest = self._first = self._arrival = 0.0
        self._longest = 0.0
        self._end = 0
        self._format: Format | None = None
        self._sets: bytes | None = None
        self._header: bytes | None = None
        # Time in ticks and hash of the last keyframes, by which what a source sends again is known.
        self._keyframes: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED)

    def connect(self, connection: Connection) -> None:
        """Go on with packets of a new connection."""
        self._connection = connection
        self._reconnected = True
        self.waiting = True
        # What was known of the pictures was known of the other connection.
        self._sets = None

    def take(self, packet: LivePacket) -> bool:
        """Put a packet into the ring; False if it was left out, since nothing could be made of it."""
        if not self.waiting and self._jumps(packet):
            self._count_on(packet)
        if self.waiting and not (packet.key and self._begins(packet)):
            return False
        if packet.time < self._first:
            # Shown before the first keyframe, it refers to pictures that are not there.
            return False
        ahead = packet.time - self._latest
        if ahead > 0:
            self._longest = max(self._longest, ahead)
            self._latest = packet.time
        self._arrival = packet.arrival
        tick = self._tick(packet.time)
        self.delay = min(self.delay + _DRIFT * max(ahead, 0.0), packet.arrival - tick / TICKS)
        if packet.key:
            self._keyframes.append((tick, crc32(packet.data)))
            self._begin_group(packet, tick)
        # Containers make up durations now and then.
        self._end = max(self._end, tick + max(1, round(min(packet.duration, _LONGEST_SHOWN) * TICKS)))
        if not self._ring.add(tick, packet.data, packet.key, self._end):
            self.waiting, self._reconnected = True, False
            self._tell("No keyframe came for so long that memory is full; waiting for the next one", tick)
        return True

    def _jumps(self, packet: LivePacket) -> bool:
        ahead = packet.time - self._latest
        if ahead <= 0:
            # Nothing that is decoded before a keyframe is shown after it.
            return packet.key or -ahead > max(_BACK, _REORDERED * self._longest)
        if ahead <= (max(_LEAP, _LEAPS * self._longest) if self._longest else _FIRST):
            return False
        # A camera that was silent for just as long only paused.
        return abs(ahead - (packet.arrival - self._arrival)) > _LEAP

    def _count_on(self, packet: LivePacket) -> None:
        """After a jump of the clock, go on where the last picture ended."""
        leap = packet.time - self._latest
        self._offset = self._end / TICKS - packet.time
        self._latest = packet.time
        self.waiting, self._reconnected = True, False
        self._tell(f"The stream's clock jumped by {leap:+.1f} s; its times are counted on", self._end)

    def _begins(self, packet: LivePacket) -> bool:
        """Begin a stretch at a keyframe, unless it was there already."""
        ahead, pause = packet.time - self._latest, packet.arrival - self._arrival
        if self._offset is None:
            self._offset = -packet.time
        elif self._reconnected:
            repeats = self._connection.repeats if self._connection is not None else 0.0
            if -repeats < ahead <= 0 and self._was_there(packet):
                return False
            goes_on = ahead > 0 and (repeats > 0 or abs(ahead - pause) <= _LEAP)
            if not goes_on:
                self._offset = self._end / TICKS + max(pause, 0.0) - packet.time
        self.waiting = self._reconnected = False
        self._stretch += 1
        self._first = self._latest = packet.time
        return True

    def _was_there(self, packet: LivePacket) -> bool:
        """Whether a keyframe came before, rather than one of an encoder whose clock began anew."""
        tick = self._tick(packet.time)
        return (tick, crc32(packet.data)) in self._keyframes or not self._keyframes or tick < self._keyframes[0][0]

    def _begin_group(self, packet: LivePacket, tick: int) -> None:
        connection = self._connection
        assert connection is not None
        sets = sequence_sets(connection.codec, connection.header, packet.data)
        changed = connection.header != self._header or sets != self._sets or self._format is None
        groups = self._ring.groups
        last = groups[-1] if groups else None
        begins = last is None or last.stretch != self._stretch
        if not begins and not changed and last is not None and tick - last.start < _SHORTEST:
            return
        if changed or sets is None:
            self._look_at(packet, connection, tick)
        self._sets, self._header = sets, connection.header
        assert self._format is not None
        self._ring.begin(Group(self._format, connection.template, connection.header, self._stretch, end=tick))

    def _look_at(self, packet: LivePacket, connection: Connection, tick: int) -> None:
        """See which format the pictures have from here on."""
        size = picture_size(connection.decoder, connection.header, packet.data)
        if size is None and self._format is not None and self._format.codec == connection.codec:
            return
        found = Format(connection.codec, *(size or connection.size))
        if self._format is not None and found != self._format:
            self._tell(f"The pictures change from {self._format} to {found}; questions are about those since", tick)
        self._format = found

    def _tick(self, time: float) -> int:
        return round((time + (self._offset or 0.0)) * TICKS)
