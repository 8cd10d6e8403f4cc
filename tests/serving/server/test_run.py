"""A server from its start to its end: who is waited for, who is refused, who has gone."""

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from himmel.errors import HimmelError, UsageError
from himmel.methods.gathering import Gathering
from himmel.methods.session import Session
from serving_live import KEY, Live, running


def body(media: Path, **more: Any) -> str:
    content = [
        {"type": "video_url", "video_url": {"url": (media / "clip.mp4").as_uri()}},
        {"type": "text", "text": "What moves?"},
    ]
    messages = [{"role": "user", "content": content}]
    return json.dumps({"model": "dense", "messages": messages, "max_tokens": 4, **more})


def post(url: str, content: str) -> tuple[int, Any]:
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)) as connection:
        connection.request("POST", "/v1/chat/completions", content, {"Authorization": f"Bearer {KEY}"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def status(url: str, path: str) -> int:
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status


def wait_for(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextmanager
def held_model(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Have the model wait before each step of its answers, until the event is set or the block ends."""
    go, step = threading.Event(), Gathering.step

    def wait(gathering: Gathering) -> Any:
        assert go.wait(120)
        return step(gathering)

    with monkeypatch.context() as patched:
        patched.setattr(Gathering, "step", wait)
        try:
            yield go
        finally:
            go.set()


def settings(media: Path, **limits: Any) -> Any:
    from himmel.serving.server.app import Settings
    from himmel.serving.server.limits import Limits

    return Settings(limits=Limits(workers=1, **limits), media=(media,), threads=1)


@pytest.fixture(scope="module")
def live(session: Session, media: Path) -> Iterator[Live]:
    with running(session, settings(media, queue=2, body_bytes=10_000), media) as found:
        yield found


def inside(live: Live) -> int:
    return live.server._serving.door.inside


def test_a_full_queue_refuses_and_empties(live: Live, media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with held_model(monkeypatch) as go, ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(post, live.url, body(media)) for _ in range(2)]
        wait_for(lambda: inside(live) == 2)
        wait_for(lambda: post(live.url, body(media))[0] == 429)
        code, refused = post(live.url, body(media))
        assert (code, refused["error"]["code"]) == (429, "rate_limit_exceeded")
        go.set()
        assert [future.result()[0] for future in waiting] == [200, 200]
    assert post(live.url, body(media))[0] == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_is_given_up(
    live: Live, media: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    with held_model(monkeypatch) as go:
        content = body(media, stream=stream)
        with closing(socket.create_connection(("127.0.0.1", int(live.url.rpartition(":")[2])))) as client:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: {len(content)}\r\n\r\n"
            client.sendall((head + content).encode())
            wait_for(lambda: inside(live) == 1)
        wait_for(lambda: inside(live) == 0)
        go.set()
    assert post(live.url, body(media))[0] == 200


def test_a_body_that_is_too_large_is_refused(live: Live, media: Path) -> None:
    code, refused = post(live.url, body(media, user="x" * 10_000))
    assert (code, refused["error"]["code"]) == (413, "request_too_large")
    with closing(socket.create_connection(("127.0.0.1", int(live.url.rpartition(":")[2])))) as client:
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.sendall(b"3000\r\n" + b" " * 0x3000 + b"\r\n")
        client.settimeout(60)
        assert b" 413 " in client.recv(2**16).splitlines()[0]
    wait_for(lambda: inside(live) == 0)


def test_a_body_that_is_too_slow_is_refused(session: Session, media: Path) -> None:
    with running(session, settings(media, receive_seconds=0.5), media) as live:
        with closing(socket.create_connection(("127.0.0.1", int(live.url.rpartition(":")[2])))) as client:
            client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
            client.settimeout(60)
            assert b" 408 " in client.recv(2**16).splitlines()[0]
        wait_for(lambda: inside(live) == 0)


def test_an_answer_beyond_its_time_is_refused(session: Session, media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Gathering.step

    def late(gathering: Gathering) -> Any:
        time.sleep(2.1)
        return step(gathering)

    with running(session, settings(media, request_seconds=2.0), media) as live:
        with monkeypatch.context() as patched:
            patched.setattr(Gathering, "step", late)
            with ThreadPoolExecutor(2) as pool:
                found = list(pool.map(lambda _: post(live.url, body(media)), range(2)))
        assert [(code, one["error"]["code"]) for code, one in found] == [(504, "timeout")] * 2
        # One that is in time is answered; on a busy machine the first may not be.
        wait_for(lambda: post(live.url, body(media))[0] == 200)


def test_told_to_end_it_finishes_and_refuses(session: Session, media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        running(session, settings(media), media) as live,
        held_model(monkeypatch) as go,
        ThreadPoolExecutor(3) as pool,
    ):
        waiting = [pool.submit(post, live.url, body(media)) for _ in range(3)]
        wait_for(lambda: inside(live) == 3)
        live.server.drain()
        assert status(live.url, "/ready") == 503
        assert status(live.url, "/health") == 200
        code, refused = post(live.url, body(media))
        assert (code, refused["error"]["code"]) == (503, "shutting_down")
        go.set()
        assert [future.result()[0] for future in waiting] == [200] * 3


def test_told_twice_to_end_it_ends_at_once_and_says_so(
    session: Session, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        running(session, settings(media), media) as live,
        held_model(monkeypatch),
        ThreadPoolExecutor(3) as pool,
    ):
        waiting = [pool.submit(post, live.url, body(media)) for _ in range(3)]
        wait_for(lambda: inside(live) == 3)
        for _ in range(2):
            live.server.handle_exit(signal.SIGTERM, None)
        found = [future.result() for future in waiting]
    assert [(code, reply["error"]["code"]) for code, reply in found] == [(503, "shutting_down")] * 3


@pytest.mark.slow
def test_one_that_cannot_be_answered_does_not_spoil_its_batch(
    session: Session, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three requests are answered together, of which one is longer than the host was made for."""
    long = json.loads(body(media))
    long["messages"][0]["content"][1]["text"] = "Which " * 20_000
    with (
        running(session, settings(media, text_characters=200_000), media) as live,
        held_model(monkeypatch) as go,
        ThreadPoolExecutor(4) as pool,
    ):
        first = pool.submit(post, live.url, body(media))
        wait_for(lambda: inside(live) == 1)
        waiting = [pool.submit(post, live.url, content) for content in (body(media), json.dumps(long), body(media))]
        wait_for(lambda: inside(live) == 4)
        go.set()
        found = [future.result() for future in (first, *waiting)]
    assert [code for code, _ in found] == [200, 200, 400, 200]
    assert found[2][1]["error"]["code"] == "context_length_exceeded"
    texts = {one["choices"][0]["message"]["content"] for code, one in found if code == 200}
    assert len(texts) == 1


def test_a_client_that_takes_no_answer_is_given_up() -> None:
    from himmel.serving.server.app import _Gate
    from himmel.serving.server.door import Door, Keys
    from himmel.serving.server.limits import Limits

    limits = Limits(send_seconds=0.05)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def never(*arguments: Any) -> None:
        await asyncio.Event().wait()

    async def run() -> int:
        door = Door(limits)
        gate = _Gate(answer, door=door, keys=Keys([]), limits=limits)
        await gate({"type": "http", "path": "/v1/models", "headers": []}, never, never)
        return door.inside

    assert asyncio.run(run()) == 0


def test_addresses_that_cannot_be_listened_at() -> None:
    from himmel.serving.server.listening import listen

    for address in ("8000", "localhost:", "127.0.0.1:99999", ":8000"):
        with pytest.raises(UsageError, match=re.escape(repr(address))):
            listen(address)
    with closing(listen("127.0.0.1:0")) as taken, pytest.raises(HimmelError, match="Cannot listen"):
        listen(f"127.0.0.1:{taken.getsockname()[1]}")


def command(*arguments: object, **environment: str) -> "subprocess.Popen[str]":
    program = "from himmel.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, "serve", *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def let_in(url: str) -> float:
    """How many questions a server has let in so far, as its metrics say."""
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)) as connection:
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    counted = [line for line in lines if line.startswith(("himmel_under_way ", "himmel_requests_total{"))]
    return sum(float(line.rpartition(" ")[2]) for line in counted)


@pytest.mark.slow
def test_the_command_ends_well_at_sigterm(tiny_host: Callable[[str], str], media: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"\n{KEY}\n")
    options = ["--listen", "127.0.0.1:0", "--host", tiny_host("qwen2_5_vl"), "--device", "cpu", "--media", media]
    with command(*options, "--api-keys", keys, "--limit", "workers=1", "--threads", 1, "--spool", tmp_path) as server:
        assert server.stderr is not None
        lines: list[str] = []
        while not lines or "ready at" not in lines[-1]:
            lines.append(server.stderr.readline())
            assert lines[-1], lines
        url = lines[-1].split()[-1]
        assert post(url, body(media))[0] == 200
        with ThreadPoolExecutor(8) as pool:
            waiting = [pool.submit(post, url, body(media, max_tokens=200)) for _ in range(8)]
            wait_for(lambda: let_in(url) == 9)
            server.send_signal(signal.SIGTERM)
            found = [future.result()[0] for future in waiting]
        assert found == [200] * 8
        assert server.wait(120) == 0
        assert KEY not in "".join(lines) + server.stderr.read()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["keys"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--listen", "nowhere"], "'nowhere' is no address to listen at"),
        (["--media", "/no/such/folder"], "There is no folder '/no/such/folder'"),
        (["--fetch-network", "here"], "'here' is no network"),
        (["--limit", "speed=3"], "There is no limit 'speed'; there are body_bytes"),
        (["--limit", "requests=0"], "requests=0 is out of range"),
        (["--api-keys", "/no/such/file"], "The API keys in '/no/such/file' cannot be read"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(arguments: list[str], said: str) -> None:
    with command(*arguments) as server:
        _, told = server.communicate(timeout=120)
    assert server.returncode == 2
    assert said in told
    assert "Traceback" not in told


def test_connections_that_bring_no_request_are_closed(
    session: Session, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from himmel.serving.server import connections

    waits = threading.Semaphore(0)
    wait_for_head = connections.Connection._wait_for_head

    def noted(connection: connections.Connection) -> None:
        wait_for_head(connection)
        waits.release()

    monkeypatch.setattr(connections.Connection, "_wait_for_head", noted)
    with running(session, settings(media), media) as live:
        netloc = urlsplit(live.url).netloc

        def is_healthy(connection: http.client.HTTPConnection) -> bool:
            connection.request("GET", "/health")
            return json.loads(connection.getresponse().read()) == {"status": "ok"}

        with closing(http.client.HTTPConnection(netloc, timeout=60)) as slow:
            assert is_healthy(slow)
            # The wait for the next head has begun; only that for the one after it is short.
            assert all(waits.acquire(timeout=60) for _ in range(2))
            monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
            assert is_healthy(slow)
            with suppress(ConnectionError):
                slow.sock.sendall(b"GET /health HTTP/1.1\r\nX-Slow: ")
                assert slow.sock.recv(2**16) == b""
        address = "127.0.0.1", int(live.url.rpartition(":")[2])
        with closing(socket.create_connection(address)) as idle:
            idle.settimeout(60)
            assert idle.recv(1) == b""


def test_a_connection_whose_request_takes_long_is_kept(
    session: Session, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from himmel.serving.server import connections

    sent: list[str] = []

    def ask(url: str) -> int:
        while True:
            sent.append(url)
            # On a busy machine its head may come too late.
            with suppress(ConnectionError, http.client.HTTPException):
                return post(url, body(media))[0]

    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    with (
        running(session, settings(media), media) as live,
        held_model(monkeypatch) as go,
        ThreadPoolExecutor(1) as pool,
    ):
        waiting = pool.submit(ask, live.url)
        wait_for(lambda: inside(live) == 1)
        until_then = len(sent)
        time.sleep(0.6)
        go.set()
        assert waiting.result() == 200
        assert len(sent) == until_then


def test_a_head_that_is_too_large_is_refused(live: Live) -> None:
    with closing(socket.create_connection(("127.0.0.1", int(live.url.rpartition(":")[2])))) as client:
        client.settimeout(60)
        with suppress(OSError):
            client.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 200_000)
        with suppress(ConnectionResetError):
            assert client.recv(2**16).startswith(b"HTTP/1.1 400")
