"""A chat completions API on this machine that answers as a test tells it to, and remembers what it was asked."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

KEY = "sk-test-4f1c9e7b2d8a"


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    path: str
    authorization: str | None
    body: dict[str, Any]

    @property
    def content(self) -> list[dict[str, Any]]:
        """The user's message, part by part."""
        return list(self.body["messages"][-1]["content"])

    @property
    def texts(self) -> list[str]:
        return [part["text"] for part in self.content if part["type"] == "text"]

    @property
    def pictures(self) -> list[npt.NDArray[np.uint8]]:
        """The pictures, decoded, RGB."""
        return [decode(part["image_url"]["url"]) for part in self.content if part["type"] == "image_url"]


def decode(url: str) -> npt.NDArray[np.uint8]:
    head, _, data = url.partition(",")
    assert head == "data:image/jpeg;base64"
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(data, validate=True), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture[..., ::-1]


@dataclass(frozen=True)
class Reply:
    """What to send back: a status, headers and a body; after `wait` seconds, byte by byte if `trickle`."""

    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0
    trickle: bool = False


def completion(text: str | None, *, usage: tuple[int, int] | None = (1000, 10), finish: str = "stop") -> Reply:
    """A chat completion as an API gives it."""
    body: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "mock-2026",
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}],
    }
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return Reply(body=json.dumps(body))


def refusal(status: int, message: str, **more: str) -> Reply:
    """An error as an API gives it, which asks to be tried again at once if at all."""
    body = {"error": {"message": message, "type": "error", "param": None, "code": None, **more}}
    return Reply(status, json.dumps(body), {"retry-after-ms": "1"})


Answerer = Callable[[Asked], Reply]


@dataclass
class MockApi:
    """The server's address, what it was asked so far, and how it answers."""

    url: str
    answer: Answerer
    asked: list[Asked] = field(default_factory=list)
    most_at_once: int = 0


@contextmanager
def mock_api(answer: Answerer) -> Iterator[MockApi]:
    """Serve on a free port while the block runs."""
    lock, ended = threading.Lock(), threading.Event()
    under_way = 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            nonlocal under_way
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked = Asked(self.path, self.headers["authorization"], body)
            with lock:
                served.asked.append(asked)
                under_way += 1
                served.most_at_once = max(served.most_at_once, under_way)
            reply = served.answer(asked)
            ended.wait(reply.wait)
            with lock:
                under_way -= 1
            # The client has gone, as it does after a time limit.
            with suppress(OSError):
                self._send(reply)

        def _send(self, reply: Reply) -> None:
            data = reply.body.encode()
            self.send_response(reply.status)
            for name, value in {"content-type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            if not reply.trickle:
                self.wfile.write(data)
                return
            for byte in data:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.05)

        def log_message(self, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

    server = Server(("127.0.0.1", 0), Handler)
    served = MockApi(f"http://127.0.0.1:{server.server_port}/v1", answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def in_turn(*replies: Reply) -> Answerer:
    """One reply after the other; the last one again and again."""
    left = list(replies)
    return lambda asked: left.pop(0) if len(left) > 1 else left[0]
