"""One connection to a source: its packets as they come, and why there are no more, in one sentence."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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

# Seconds after which a silent server counts as gone, if the user is no less patient.
_SILENCE: Final = 30.0
# What FFmpeg says when a limit of time is reached, and when a connection breaks off.
_REASONS: Final = {"Immediate exit requested": "it is silent", "Input/output error": "it does not answer or broke off"}


class Dropped(Exception):
    """A connection was lost; the text is why, as the end of a sentence."""


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
        waits: the source is there to be read whenever it suits: a file, or a recording of known length.
        repeats: after another connection, the source sends again what it sent before, as playlists do.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, file: GrowingFile | None) -> None:
        self._container, self._stream, self._file = container, stream, file
        context = stream.codec_context
        self.codec, self.decoder = context.codec.canonical_name, context.codec.name
        self.size = context.width, context.height
        self.header = None if context.extradata is None else bytes(context.extradata)
        self.template = keep_template(stream)
        is_list = container.format.name in ("hls", "dash")
        # A broadcast has no length; FFmpeg makes one up only where the file can be sought.
        is_whole = container.duration is not None
        self.waits = file is not None or is_whole
        self.repeats = is_list and not is_whole
        self._ends = is_list or is_whole

    def packets(self) -> Iterator[LivePacket]:
        """Packets until the source ends.

        Raises:
            Dropped: it did not end, but stopped.
        """
        rate = self._stream.guessed_rate or self._stream.average_rate or 25
        usual, last = 1 / float(rate), 0.0
        try:
            for packet in self._container.demux(self._stream):
                if not packet.size:
                    continue
                stamp = packet.dts if packet.pts is None else packet.pts
                base = packet.time_base or self._stream.time_base
                last = last + usual if stamp is None or base is None else float(stamp * base)
                lasts = float(packet.duration * base) if packet.duration and base is not None else usual
                changed = new_header(packet)
                if changed is not None:
                    self.header = changed
                yield LivePacket(last, lasts, packet.is_keyframe, bytes(packet), time.time())
        except IndexError:
            # PyAV looks for streams that appeared on the way and that it has not listed.
            raise Dropped("its streams changed") from None
        except av.FFmpegError as error:
            raise Dropped(_reason(error)) from error
        if self._file is not None and self._file.ended in ("replaced", "shortened"):
            raise Dropped(f"the file was {self._file.ended}")
        if self._file is None and not self._ends:
            raise Dropped("the sender closed the connection")


@contextmanager
def connect(address: Address, *, patience: float, stop: threading.Event) -> Iterator[Connection]:
    """Open a source.

    Args:
        patience: seconds that a file may be silent before it counts as finished, and the most that a server may be.
        stop: ends the reading of a file.

    Raises:
        VideoError: it cannot be opened, or holds no video.
    """
    limit = min(patience, _SILENCE)
    file = GrowingFile(Path(address.text), patience=patience, stop=stop) if address.grows else None
    what: Any = address.text if file is None else file
    try:
        container = av.open(what, options=dict(address.options), timeout=(limit, limit), **LENIENT)
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
            yield Connection(container, video_stream(container, address.shown), file)
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
