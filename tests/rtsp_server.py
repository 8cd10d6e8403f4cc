"""An RTSP server of one H.264 stream (RFC 2326), RTP in the same TCP connection (10.12), as cameras have them."""

import base64
import random
import re
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av

_UNIT_BYTES = 1200
Sender = Callable[[Sequence["Coded"]], None]


@dataclass(frozen=True)
class Coded:
    """A picture's units without start codes, and its time in units of 1/90000 s."""

    time: int
    units: tuple[bytes, ...]


def read_units(path: Path) -> list[Coded]:
    """The pictures of an MPEG-TS in decode order."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [
            Coded(packet.pts, tuple(unit for unit in re.split(rb"\x00{2,3}\x01", bytes(packet)) if unit))
            for packet in container.demux(stream)
            if packet.size
        ]


class _Client:
    """One connection: requests, then RTP packets."""

    def __init__(self, connection: socket.socket, pictures: Sequence[Coded]) -> None:
        self._connection = connection
        self._lines = connection.makefile("rb")
        sets = [unit for unit in pictures[0].units if unit[0] & 31 in (7, 8)]
        self._sets = ",".join(base64.b64encode(unit).decode() for unit in sets)
        self._sequence = random.Random(0).randrange(2**16)

    def answer(self) -> bool:
        """Answer requests up to PLAY; False if the client left."""
        while True:
            lines = list(iter(lambda: self._lines.readline().strip(), b""))
            if not lines:
                return False
            method, address = lines[0].decode().split()[:2]
            headers = dict(line.decode().split(": ", 1) for line in lines[1:])
            more, body = "", ""
            if method == "OPTIONS":
                more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            elif method == "DESCRIBE":
                body = (
                    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
                    f"a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;sprop-parameter-sets={self._sets}\r\n"
                    "a=control:track\r\n"
                )
                more = f"Content-Base: {address}/\r\nContent-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
            elif method == "SETUP":
                more = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
            elif method == "PLAY":
                more = "Session: 1\r\n"
            self._connection.sendall(f"RTSP/1.0 200 OK\r\nCSeq: {headers['CSeq']}\r\n{more}\r\n{body}".encode())
            if method == "PLAY":
                return True

    def send(self, pictures: Sequence[Coded]) -> None:
        """Send pictures as RTP (RFC 6184, 5.6 and 5.8)."""
        for picture in pictures:
            for unit in picture.units:
                last = unit is picture.units[-1]
                if len(unit) <= _UNIT_BYTES:
                    self._send(unit, picture.time, last)
                    continue
                head, body = unit[0], unit[1:]
                for at in range(0, len(body), _UNIT_BYTES):
                    ends = at + _UNIT_BYTES >= len(body)
                    fragment = bytes([head & 0xE0 | 28, (at == 0) << 7 | ends << 6 | head & 31])
                    self._send(fragment + body[at : at + _UNIT_BYTES], picture.time, last and ends)

    def _send(self, payload: bytes, time: int, marker: bool) -> None:
        header = struct.pack(">BBHII", 0x80, marker << 7 | 96, self._sequence, time % 2**32, 7)
        self._sequence = (self._sequence + 1) % 2**16
        self._connection.sendall(b"$\0" + struct.pack(">H", 12 + len(payload)) + header + payload)


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def rtsp_server(
    first: Sequence[Coded], play: Callable[[int, Sender], None], *, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """The address of a server that calls `play` for each connection, and hangs up when that returns.

    Args:
        first: pictures whose first one has the parameter sets that the server announces.
        play: called with the connection's number, from 1 on, and with what sends pictures.
        tls: how connections are encrypted, which makes it rtsps.
    """
    count, lock = 0, threading.Lock()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            nonlocal count
            try:
                connection = self.request if tls is None else tls.wrap_socket(self.request, server_side=True)
                client = _Client(connection, first)
                if client.answer():
                    with lock:
                        count += 1
                        number = count
                    play(number, client.send)
            except OSError:
                pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"rtsp{'s' if tls else ''}://someone:secret@127.0.0.1:{server.server_address[1]}/camera"
        finally:
            server.shutdown()
            thread.join()
