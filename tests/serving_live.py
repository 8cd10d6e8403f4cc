"""A live server in this process, and the official client."""

import http.client
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from himmel.methods.session import Session

if TYPE_CHECKING:
    import openai

    from himmel.serving.server.app import Settings
    from himmel.serving.server.run import Server

KEY = "sk-serve-0b7d53a1"


@dataclass(frozen=True)
class Live:
    """A server that answers.

    Attributes:
        url: without a path.
        server: to be told to end.
        media: the folder whose files may be named.
        session: whose model is asked.
    """

    url: str
    server: "Server"
    media: Path
    session: Session

    def client(self, key: str = KEY) -> "openai.OpenAI":
        """The official client, which does not try again."""
        openai = pytest.importorskip("openai", reason="openai of the extra 'api' is not installed")
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=120)  # type: ignore[no-any-return]

    def ask(self, content: Any, *, model: str = "himmel", **options: Any) -> Any:
        """Ask as one user's message; a stream comes as the list of its chunks."""
        options.setdefault("max_tokens", 6)
        messages: Any = [{"role": "user", "content": content}]
        with self.client() as client:
            reply = client.chat.completions.create(model=model, messages=messages, **options)
            return list(reply) if options.get("stream") else reply


@contextmanager
def running(session: Session, settings: "Settings", media: Path) -> Iterator[Live]:
    """A server on a free port in a thread of this process."""
    from himmel.serving.server.listening import listen
    from himmel.serving.server.run import Server

    listener = listen("127.0.0.1:0")
    ready = threading.Event()
    server = Server(session, settings, started=ready.set)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            server.answer(listener)
        except BaseException as error:
            failed.append(error)
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(240)
        assert not failed
        yield Live(f"http://127.0.0.1:{listener.getsockname()[1]}", server, media, session)
    finally:
        server.drain()
        thread.join(120)
        assert not thread.is_alive()


def assert_responsive(live: Live, work: Callable[[], None]) -> None:
    """While it does some work, the server answers others in less than two seconds, at least once of three times.

    A machine that other tests keep busy may hold it up for longer now and then.
    """
    longest = [math.inf]
    while min(longest) >= 2 and len(longest) < 4:
        longest.append(max(_waits(live, work)))
    assert min(longest) < 2, longest


def _waits(live: Live, work: Callable[[], None]) -> list[float]:
    """Seconds that others waited for an answer, one after the other, while it worked; one wait at least."""
    waits: list[float] = []
    over = threading.Event()

    def ask() -> None:
        while not waits or not over.wait(0.02):
            begin = time.monotonic()
            with closing(http.client.HTTPConnection(urlsplit(live.url).netloc, timeout=120)) as connection:
                connection.request("GET", "/health")
                assert connection.getresponse().status == 200
            waits.append(time.monotonic() - begin)

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            work()
        finally:
            over.set()
        asking.result()
    return waits
