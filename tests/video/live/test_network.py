"""The protocols that no other test reads: tcp, udp, rtmp from a sender, and RTSP under TLS, all on loopback."""

import shutil
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av
import pytest

from himmel.errors import HimmelError, VideoError
from himmel.video import LiveVideo, Video
from rtsp_server import Sender, read_units, rtsp_server

Encode = Callable[..., Path]
OPTIONS = {"g": "25", "bf": "2"}
_DATAGRAM = 7 * 188
_CHECKS_RTSPS = av.library_versions["libavformat"] >= (62,)
# Sends a file to a server as often as that refuses, for it may not listen yet.
_PUBLISH = """
import sys, time, av
path, address = sys.argv[1:]
while True:
    try:
        with av.open(path) as source, av.open(address, "w", format="flv") as output:
            stream = output.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(source.streams.video[0]):
                if packet.size:
                    packet.stream = stream
                    output.mux(packet)
        break
    except OSError:
        time.sleep(0.2)
"""


def _free(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait(live: LiveVideo, pictures: int) -> None:
    end = time.monotonic() + 30
    while live.state.pictures < pictures:
        assert live.state.running, live.failure
        assert time.monotonic() < end
        time.sleep(0.02)


def test_tcp_is_read_to_where_the_sender_closes(encode_clip: Encode) -> None:
    path = encode_clip("a.ts", num_frames=75, options=OPTIONS)

    asked, done = [], threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            asked.append(self)
            # It is connected to again, and hears no more.
            if len(asked) > 1:
                done.wait(60)
                return
            with suppress(OSError):
                self.request.sendall(path.read_bytes())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            with LiveVideo(f"tcp://127.0.0.1:{server.server_address[1]}", patience=5) as live:
                _wait(live, 75)
                window = live.window()
        finally:
            done.set()
            server.shutdown()
            thread.join()
    assert window.decompose(num_anchors=2).anchors[0].image.tobytes() == next(Video(path).images()).tobytes()
    assert window.num_frames == 75


@contextmanager
def _sent_over_udp(path: Path, port: int) -> Iterator[None]:
    """Datagrams of a file from when somebody listens, within half a second; the system keeps what is not read yet."""
    data, stop = path.read_bytes(), threading.Event()

    def is_heard(own: socket.socket) -> bool:
        """A connected socket is told at the second packet, which holds nothing, that nobody took the first."""
        try:
            for _ in range(2):
                own.send(b"\x47\x1f\xff\x10" + b"\xff" * 184)
        except ConnectionRefusedError:
            return False
        return True

    def work() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.connect(("127.0.0.1", port))
            while not is_heard(own):
                if stop.wait(0.02):
                    return
            for at in range(0, len(data), _DATAGRAM):
                own.send(data[at : at + _DATAGRAM])
                if stop.wait(0.5 * _DATAGRAM / len(data)):
                    return

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.slow
def test_udp_is_read_and_its_silence_noticed(encode_clip: Encode) -> None:
    path, port = encode_clip("a.ts", num_frames=75, options=OPTIONS), _free(socket.SOCK_DGRAM)
    with _sent_over_udp(path, port), LiveVideo(f"udp://127.0.0.1:{port}", patience=10) as live:
        _wait(live, 70)
        window = live.window()
        with pytest.raises(VideoError, match=r"was lost \(it is silent\)"):
            list(live.events(motion=False))
    assert window.duration == pytest.approx(3, abs=0.3)
    assert window.keyframes[0] == 0


@pytest.mark.slow
def test_rtmp_is_what_a_sender_publishes_here(encode_clip: Encode) -> None:
    """Encoders such as OBS send to an address; FFmpeg's option `listen` makes that one of this machine."""
    path, port = encode_clip("a.flv", num_frames=75, options=OPTIONS), _free(socket.SOCK_STREAM)
    address = f"rtmp://127.0.0.1:{port}/live/key"
    sender = subprocess.Popen([sys.executable, "-c", _PUBLISH, str(path), address])
    try:
        with LiveVideo(address, patience=60, options={"listen": "1"}) as live:
            _wait(live, 75)
            window = live.window()
    finally:
        sender.kill()
        sender.wait()
    assert window.num_frames == 75
    assert window.duration == pytest.approx(3, abs=0.1)


@pytest.fixture
def certified(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """How a server encrypts, and its certificate, which it signed itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the program openssl, which makes certificates")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = ["-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate), "-days", "2"]
    subprocess.run([openssl, "req", "-x509", *words, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate


def test_rtsps_is_rtsp_under_tls(encode_clip: Encode, certified: tuple[ssl.SSLContext, Path]) -> None:
    context, certificate = certified
    sent = read_units(encode_clip("a.ts", num_frames=75, options=OPTIONS))
    done = threading.Event()

    def play(number: int, send: Sender) -> None:
        del number
        send(sent)
        done.wait(30)

    with rtsp_server(sent, play, tls=context) as address:
        assert address.startswith("rtsps://")
        for options in ({"tls_verify": "0"}, {"tls_verify": "1", "ca_file": str(certificate)})[: 1 + _CHECKS_RTSPS]:
            with LiveVideo(address, patience=20, options=options) as live:
                _wait(live, 74)
                assert live.window().num_frames == 74
        reason = "cannot be watched" if _CHECKS_RTSPS else "FFmpeg before 8.* does not check certificates"
        with pytest.raises(HimmelError, match=reason):
            LiveVideo(address, patience=2, options={"tls_verify": "1"})
        done.set()
