"""What is fetched from other hosts, and what is not however names resolve and hosts redirect."""

import ipaddress
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from himmel.serving.server.fetch import Fetcher
from himmel.serving.server.limits import Limits
from himmel.serving.server.refusal import Refusal

HERE = (ipaddress.ip_network("127.0.0.1/32"),)


@contextmanager
def web(answer: Callable[[Any], None]) -> Iterator[int]:
    """A server on this machine whose handler is `answer`; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # The client leaves in the middle where that is tested.
            with suppress(OSError):
                answer(self)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(handler: Any, data: bytes, *, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"content-length": str(len(data)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(data)


def fetcher(
    port: int, *, addresses: Sequence[str] = ("127.0.0.1",), networks: Any = HERE, more: str = "", **limits: Any
) -> Fetcher:
    hosts = {f"videos.test:{port}", *([more] if more else [])}
    return Fetcher(frozenset(hosts), networks, Limits(**limits), lambda host, number: addresses)


def fetch(port: int, path: str = "/a.mp4", **options: Any) -> bytes:
    pieces: list[bytes] = []
    fetcher(port, **options).fetch(f"http://videos.test:{port}{path}", pieces.append)
    return b"".join(pieces)


def refused(port: int, path: str = "/a.mp4", **options: Any) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        fetch(port, path, **options)
    return caught.value.code, caught.value.said


def test_a_listed_host_is_fetched_under_its_name() -> None:
    asked: list[str] = []

    def answer(handler: Any) -> None:
        asked.extend((handler.headers["host"], handler.path))
        send(handler, b"film" * 50_000)

    with web(answer) as port:
        assert fetch(port, "/a.mp4?token=1") == b"film" * 50_000
    assert asked == [f"videos.test:{port}", "/a.mp4?token=1"]


def test_a_redirect_is_followed_to_listed_hosts_alone() -> None:
    def answer(handler: Any) -> None:
        where = {"/near": "/a.mp4", "/far": "http://169.254.169.254/latest/meta-data/", "/round": "/round"}
        if handler.path in where:
            send(handler, b"", status=302, location=where[handler.path])
        else:
            send(handler, b"film")

    with web(answer) as port:
        assert fetch(port, "/near") == b"film"
        assert refused(port, "/far")[0] == "host_not_allowed"
        assert refused(port, "/round") == (
            "unreachable",
            "The URL cannot be fetched (more than 5 redirects lead on from it); check it, or send the file itself.",
        )


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1%eth0",
        "fc00::1",
        "::ffff:127.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "::7f00:1",
        "::ffff:0:7f00:1",
        "2001:0:7f00:1::",
        "fec0::1",
        "192.0.0.8",
        "192.88.99.1",
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    code, said = refused(1, addresses=[address], networks=())
    assert code == "host_not_allowed"
    assert "not public" in said
    # One good address beside it does not help.
    assert refused(1, addresses=["93.184.215.14", address], networks=())[0] == "host_not_allowed"


def test_a_name_is_looked_up_once_for_check_and_connection() -> None:
    """A name that leads elsewhere the second time it is asked for (DNS rebinding)."""
    answers = [["127.0.0.1"], ["10.0.0.1"], ["10.0.0.1"]]
    with web(lambda handler: send(handler, b"film")) as port:
        found = Fetcher(frozenset([f"videos.test:{port}"]), HERE, Limits(), lambda host, number: answers.pop(0))
        pieces: list[bytes] = []
        found.fetch(f"http://videos.test:{port}/", pieces.append)
    assert pieces == [b"film"]
    assert len(answers) == 2


def test_where_the_first_address_does_not_answer_the_next_is_tried() -> None:
    networks = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
    with web(lambda handler: send(handler, b"film")) as port:
        assert fetch(port, addresses=["::1", "127.0.0.2", "127.0.0.1"], networks=networks) == b"film"


def test_an_address_may_hold_blanks_and_letters_of_any_script() -> None:
    asked: list[str] = []

    def answer(handler: Any) -> None:
        asked.append(handler.path)
        send(handler, b"film")

    with web(answer) as port:
        fetch(port, "/a b/\u00fc%20.mp4?q=\u00e9&r=%2F")
    assert asked == ["/a%20b/%C3%BC%20.mp4?q=%C3%A9&r=%2F"]


def test_a_download_ends_with_its_request_s_time() -> None:
    gone = threading.Event()
    begin = time.monotonic()
    with web(lambda handler: gone.wait(60)) as port:
        with pytest.raises(Refusal, match="more than"):
            fetcher(port).fetch(f"http://videos.test:{port}/", lambda piece: None, deadline=begin + 0.3)
        gone.set()
    assert time.monotonic() - begin < 30


@pytest.mark.parametrize(
    "url",
    [
        "http://other.test/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://videos.test@169.254.169.254/",
        "http://other.test#videos.test:{port}",
        "http://other.test\\@videos.test:{port}/",
        "http://\uff56ideos.test.evil:{port}/",
        "http://videos.test/",
        "http://videos.test.evil.test:{port}/",
        "http://user:word@videos.test:{port}/",
        "ftp://videos.test:{port}/",
        "http://videos.test:99999/",
        "http://[::1/",
        "file:///etc/passwd",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(Refusal) as caught:
        fetcher(8080).fetch(url.format(port=8080), lambda piece: None)
    assert caught.value.code in ("host_not_allowed", "invalid_url")


def test_what_is_too_large_is_not_taken() -> None:
    with web(lambda handler: send(handler, b"x" * 5000)) as port:
        assert refused(port, source_bytes=4999)[0] == "source_too_large"
        assert len(fetch(port, source_bytes=5000)) == 5000


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_host_that_trickles_is_given_up_in_time(part: str) -> None:
    gone = threading.Event()

    def answer(handler: Any) -> None:
        if part == "body":
            handler.send_response(200)
            handler.end_headers()
        while not gone.wait(0.05):
            handler.wfile.write(b"a")
            handler.wfile.flush()

    with web(answer) as port:
        begin = time.monotonic()
        assert "more than 0.5 seconds" in refused(port, fetch_seconds=0.5)[1]
        assert time.monotonic() - begin < 20
        gone.set()


def test_what_goes_wrong_there_is_said() -> None:
    def answer(handler: Any) -> None:
        if handler.path == "/missing":
            send(handler, b"", status=404)
        else:
            handler.send_response(200)
            handler.send_header("content-length", "100")
            handler.end_headers()
            handler.wfile.write(b"half")

    with web(answer) as port:
        assert "answered with status 404" in refused(port, "/missing")[1]
        assert refused(port, "/half")[0] == "unreachable"
    assert refused(port)[0] == "unreachable"
