"""One connection to a source: its packets as they come, and why there are no more, in one sentence."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from himmel.errors import VideoError
from himmel.video.file.container import video_stream
from himmel.video.file.headers import new_header
from himmel.video.file.pyav import LENIENT
from himmel.video.live.address import Address
from himmel.video.live.growing import GrowingFile
from himmel.video.live.template import keep_template

# Seconds after which a silent server counts as gone, if the user is patient.
_SILENCE: Final = 30.0
# What running playlists list is not older than this, in seconds.
_REPEATED: Final = 600.0
# Share of a limit of time from which on what ends is taken for what was ended by the limit.
_NEARLY: Final = 0.95
# What FFmpeg says when a limit of time is reached, and when a connection breaks off.
_REASONS: Final = {"Immediate exit requested": "it is silent", "Input/output error": "it does not answer or broke off"}


class Dropped(Exception):
    """A connection was lost; the text is why, as the end of a sentence."""


class ListEnded(Dropped):
    """A playlist that was running when it was opened came to its end, or could not be read again."""


class NotOpened(VideoError):
    """A source cannot be opened; `reason` is why, as the end of a sentence."""

    def __init__(self, sentence: str, reason: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True)
class LivePacket:
    """A packet as it came.

    Attributes:
        time: of presentation by the source's clock, in seconds.
        duration: for how long it is shown, in seconds.
        key: decoding may start here.
        data: as the source sent it.
        arrival: `time.time()` when it was there.
    """

    time: float
    duration: float
    key: bool
    data: bytes
    arrival: float


class Connection:
    """An open source.

    Attributes:
        codec, decoder: FFmpeg's names of the codec and of what decodes it.
        size: (width, height) that the container tells, in pixels.
        header: the stream's global header.
        template: see `template.keep_template`.
        is_whole: the source is a recording of known length, or a playlist that says where it ends.
        waits: the source is there to be read whenever it suits: a file, or such a recording.
        repeats: how far back, in seconds, the source may begin with what it sent on an earlier connection, as
            playlists and recordings do.
    """

    def __init__(
        self, container: InputContainer, stream: VideoStream, file: GrowingFile | None, *, limit: float, web: bool
    ) -> None:
        self._container, self._stream, self._file, self._limit = container, stream, file, limit
        context = stream.codec_context
        self.codec, self.decoder = context.codec.canonical_name, context.codec.name
        self.size = context.width, context.height
        self.header = None if context.extradata is None else bytes(context.extradata)
        self.template = keep_template(stream)
        self._is_list = container.format.name in ("hls", "dash")
        # A broadcast has no length, or says 0; FFmpeg makes one up only where the file can be sought. Of others on the
        # web the server tells how many bytes there are.
        self.is_whole = bool(container.duration) or (web and not self._is_list and (container.size or 0) > 0)
        self.waits = file is not None or self.is_whole
        self.repeats = math.inf if self.is_whole and file is None else _REPEATED if self._is_list else 0.0

    def packets(self) -> Iterator[LivePacket]:
        """Packets until the source ends.

        Raises:
            Dropped: it did not end, but stopped.
        """
        heard = time.monotonic()
        try:
            for packet in self._timed():
                yield packet
                heard = time.monotonic()
        except IndexError:
            # PyAV looks for streams that appeared on the way and that it has not listed.
            raise Dropped("its streams changed") from None
        except av.FFmpegError as error:
            raise Dropped(_reason(error)) from error
        # A playlist that stands still ends where FFmpeg's limit of time is reached.
        if self._file is None and time.monotonic() - heard > _NEARLY * self._limit:
            raise Dropped("it is silent")
        if self._file is not None and self._file.ended in ("replaced", "shortened"):
            raise Dropped(f"the file was {self._file.ended}")
        if self._file is None and not self.is_whole:
            raise ListEnded("its list cannot be read") if self._is_list else Dropped("the sender closed the connection")

    def _timed(self) -> Iterator[LivePacket]:
        usual = 1 / float(self._stream.guessed_rate or self._stream.average_rate or 25)
        first: LivePacket | None = None
        last: float | None = None
        for packet in self._container.demux(self._stream):
            if not packet.size:
                continue
            base = packet.time_base or self._stream.time_base or Fraction(1, 90_000)
            stamp = packet.dts if packet.pts is None else packet.pts
            at = (last or 0.0) + usual if stamp is None else float(stamp * base)
            changed = new_header(packet)
            if changed is not None:
                self.header = changed
            lasts = float(packet.duration * base) if packet.duration else usual
            found = LivePacket(at, lasts, packet.is_keyframe, bytes(packet), time.time())
            if stamp is None and first is None and last is None:
                # RTP's first picture has no time in FFmpeg. Others count from it, or from the one that follows.
                first = found
                continue
            if first is not None:
                yield replace(first, time=min(at - usual, 0.0))
                first = None
            last = at
            yield found


@contextmanager
def connect(address: Address, *, patience: float, stop: threading.Event) -> Iterator[Connection]:
    """Open a source.

    Args:
        patience: seconds that a file may be silent before it counts as finished; a server half as long, up to a limit.
        stop: ends the reading of a file.

    Raises:
        NotOpened: it cannot be opened, or holds no video.
    """
    # Within its patience, a silent server is tried once more.
    limit = min(patience / 2, _SILENCE)
    file = GrowingFile(Path(address.text), patience=patience, stop=stop) if address.grows else None
    what: Any = address.text if file is None else file
    try:
        # Not `options`, which PyAV 15 also hands to streams that are found only later: it crashes there.
        container = av.open(what, container_options=dict(address.options), timeout=(limit, limit), **LENIENT)
    except (av.FFmpegError, OSError) as error:
        if file is not None:
            file.close()
        if file is not None and file.ended == "quiet":
            sentence = f"{address.shown} has no pictures yet and does not grow; check that it is being written."
        else:
            sentence = why_unreadable(address, _reason(error))
        raise NotOpened(sentence, _reason(error)) from error
    try:
        with container:
            try:
                stream = video_stream(container, address.shown)
            except VideoError as error:
                raise NotOpened(str(error), "it sent no pictures") from error
            web = address.text[:5].lower() in ("http:", "https")
            yield Connection(container, stream, file, limit=limit, web=web)
    finally:
        if file is not None:
            file.close()


def why_unreadable(address: Address, reason: str) -> str:
    """A sentence about a source of which nothing can be read.

    Args:
        reason: why, as the end of a sentence.
    """
    if not address.grows:
        return f"{address.shown} cannot be watched ({reason}); check the address, and whether it is being sent."
    return (
        f"{address.shown} cannot be read while it grows ({reason}); let the recorder write MPEG-TS, Matroska, FLV or"
        " fragmented MP4."
    )


def _reason(error: Exception) -> str:
    words = error.strerror if isinstance(error, av.FFmpegError | OSError) else None
    return _REASONS.get(words or "", (words or "unknown error").lower())
