"""A page's server in this process, with a tiny model; all is skipped where the extra `studio` is not installed."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from himmel.methods.session import Session
from himmel.serving.server.limits import Limits
from tiny_hosts import build, host_config, tiny_host

__all__ = ["tiny_host"]

for package in ("fastapi", "prometheus_client", "python_multipart", "uvicorn"):
    pytest.importorskip(package, reason=f"{package} of the extra 'studio' is not installed")


@dataclass
class Browser:
    """A browser's requests, with its cookie."""

    port: int
    headers: dict[str, str] = field(default_factory=lambda: {"x-himmel-studio": "1"})

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        """Status and content of an answer; `body` is sent as it is if it is bytes, else as JSON."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, content, {**self.headers, **named})
        response = connection.getresponse()
        said = response.read()
        cookie = response.getheader("set-cookie")
        if cookie:
            self.headers["cookie"] = cookie.partition(";")[0]
        connection.close()
        return response.status, said

    def told(self, method: str, path: str, body: Any = None) -> Any:
        """JSON of a good answer; of several lines, a list."""
        status, said = self.ask(method, path, body)
        assert status == 200, said
        lines = [json.loads(line) for line in said.splitlines()]
        return lines if path.endswith(("/line", "/ask")) else lines[0]


@contextmanager
def running(session: Session, **settings: Any) -> Iterator[int]:
    """A server in a thread; yields its port."""
    from himmel.serving.server.listening import listen
    from himmel.serving.studio.app import StudioSettings
    from himmel.serving.studio.run import StudioServer

    listener = listen("127.0.0.1:0")
    ready = threading.Event()
    server = StudioServer(lambda: session, StudioSettings(**settings), started=ready.set)
    thread = threading.Thread(target=server.answer, args=(listener,))
    thread.start()
    try:
        assert ready.wait(120)
        yield int(listener.getsockname()[1])
    finally:
        server.end()
        thread.join(120)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def session(tiny_host: Callable[[str], str]) -> Session:
    """A tiny Qwen with an adapter."""
    return Session(build(host_config("qwen2_5_vl", tiny_host("qwen2_5_vl"), num_anchors=3, steps_per_interval=2)).model)


@pytest.fixture(scope="module")
def port(session: Session) -> Iterator[int]:
    """Of a server that answers, once its model is there."""
    with running(session) as number:
        browser = Browser(number)
        for _ in range(600):
            if browser.told("GET", "/api/state")["ready"]:
                break
            threading.Event().wait(0.2)
        yield number


@pytest.fixture
def other_port(session: Session) -> Iterator[int]:
    """Of a second server on the same machine."""
    with running(session) as number:
        yield number


@pytest.fixture
def hasty_port(session: Session) -> Iterator[int]:
    """Of a server that does not wait for slow uploads."""
    with running(session, limits=Limits(receive_seconds=0.3)) as number:
        yield number


@pytest.fixture
def browser(port: int) -> Browser:
    """A browser that has loaded the page."""
    found = Browser(port)
    assert found.ask("GET", "/")[0] == 200
    return found


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    """24 pictures that move."""
    return write_clip(tmp_path_factory.mktemp("studio") / "clip.mp4", num_frames=24, options={"g": "8"})
