"""The thread that reads a source, connects again when it was lost, and says when it has ended."""

import threading
import time
from collections import deque
from typing import Final

from himmel.errors import VideoError
from himmel.video.live.address import Address
from himmel.video.live.connection import (
    Connection,
    Dropped,
    ListEnded,
    LivePacket,
    NotOpened,
    connect,
    why_unreadable,
)
from himmel.video.live.intake import Intake
from himmel.video.live.ring import Ring
from himmel.video.live.template import TICKS

# Seconds before a lost source is tried again: doubled each time, up to a limit.
_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 8.0
# How far reading may be ahead of who reads events, where the source waits.
_AHEAD: Final = 20 * TICKS
# Notices that nobody asked for are dropped, the oldest first.
_MOST_NOTICES: Final = 1000
# How long `close` waits for the thread, which FFmpeg may hold until a limit of time.
_LEAVING: Final = 2.0


class Reader:
    """Reads a source into a ring. All attributes are read and changed under `changed`.

    Args:
        patience: seconds without a picture after which a lost source is given up.

    Attributes:
        changed: notified when pictures or notices came, and when reading ended.
        running: there may be more.
        failure: why there is no more; None if the source ended by itself, or still runs.
        connections: how many there were.
        pictures: how many came.
        notices: (time in ticks, sentence), oldest first.
        described: up to where events were read, in ticks; None where nobody reads any.
        held: nobody has asked for anything yet, so a source that waits is read only a little ahead of its beginning.
    """

    def __init__(self, address: Address, ring: Ring, *, patience: float) -> None:
        self._address, self._ring, self._patience = address, ring, patience
        self._stop = threading.Event()
        self._heard = self._connected = time.monotonic()
        self._again = _FIRST_WAIT
        self._told_short = False
        self.changed = threading.Condition()
        self.intake = Intake(ring, self._tell)
        self.running = True
        self.failure: BaseException | None = None
        self.connections = self.pictures = 0
        self.notices: deque[tuple[int, str]] = deque(maxlen=_MOST_NOTICES)
        self.described: int | None = None
        self.held = True
        self.waits = True
        # What Ctrl-C interrupts is the caller's thread; FFmpeg may hold this one for a while.
        self._thread = threading.Thread(target=self._run, name="himmel-live", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        with self.changed:
            self.changed.notify_all()
        self._thread.join(_LEAVING)

    def _run(self) -> None:
        failure: BaseException | None = None
        try:
            self._follow()
        except BaseException as error:
            failure = error
        with self.changed:
            self.running, self.failure = False, failure
            self.changed.notify_all()

    def _follow(self) -> None:
        while not self._stop.is_set():
            reason = self._read()
            if reason is None or self._stop.is_set():
                break
            shown, left = self._address.shown, self._patience - (time.monotonic() - self._heard)
            if not self.pictures:
                raise VideoError(why_unreadable(self._address, reason))
            if left <= 0:
                raise VideoError(
                    f"{shown} was lost ({reason}) and no picture has come for {self._patience:g} s; start watching"
                    " again once it is back, or be more patient."
                )
            if self._again == _FIRST_WAIT:
                with self.changed:
                    self._tell(f"The connection was lost ({reason}); trying again", self._now())
            self._stop.wait(min(self._again, left))
            self._again = min(2 * self._again, _LONGEST_WAIT)
        if not self.pictures and not self._stop.is_set():
            raise VideoError(
                f"{self._address.shown} ended before a picture that can be decoded by itself; it is damaged or too"
                " short."
            )

    def _read(self) -> str | None:
        """Read one connection to its end; why it was lost, or None if the source ended."""
        try:
            with connect(self._address, patience=self._patience, stop=self._stop) as connection:
                with self.changed:
                    self.connections += 1
                    self._connected = time.monotonic()
                    self.waits = connection.waits
                    self.intake.connect(connection)
                for packet in connection.packets():
                    self._take(packet, connection)
                    if self._stop.is_set():
                        break
        except ListEnded as ended:
            return None if self._has_finished() else str(ended)
        except Dropped as lost:
            return str(lost)
        except NotOpened as error:
            if not self.pictures:
                raise
            return error.reason
        return None

    def _has_finished(self) -> bool:
        """Whether a playlist that was running says now where it ends; if not, it is only out of reach."""
        try:
            with connect(self._address, patience=self._patience, stop=self._stop) as connection:
                return connection.is_whole
        except NotOpened:
            return False

    def _take(self, packet: LivePacket, connection: Connection) -> None:
        with self.changed:
            if self.intake.take(packet):
                self.pictures += 1
                self._heard, self._again = time.monotonic(), _FIRST_WAIT
                if self._ring.cut_short and not self._told_short:
                    self._told_short = True
                    self._tell("Memory is full before the window is; the oldest pictures are dropped", self._now())
                self.changed.notify_all()
            elif time.monotonic() - max(self._heard, self._connected) > self._patience:
                raise VideoError(
                    f"{self._address.shown} has sent no keyframe for {self._patience:g} s, without which nothing can be"
                    " decoded; let the encoder send one every few seconds."
                )
            while connection.waits and self._is_ahead() and not self._stop.is_set():
                self.changed.wait(1.0)
                self._heard = time.monotonic()

    def release(self) -> None:
        """Read on, however far that is ahead of who reads events, if anybody does."""
        if self.held:
            self.held = False
            self.changed.notify_all()

    def _is_ahead(self) -> bool:
        if not self._ring.groups:
            return False
        since = 0 if self.held else self.described
        return since is not None and self._now() - since > min(_AHEAD, self._ring.ticks)

    def _now(self) -> int:
        return self._ring.end if self._ring.groups else 0

    def _tell(self, sentence: str, tick: int) -> None:
        self.notices.append((tick, sentence))
        self.changed.notify_all()
