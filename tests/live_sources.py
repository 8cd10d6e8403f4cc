"""Sources of live video on loopback, made of real bytes: files that grow, and servers that may stall or hang up."""

import http.server
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def growing(path: Path, data: bytes, *, pieces: int = 20, seconds: float = 2.0) -> Iterator[Path]:
    """Write a file piece by piece, in a thread, within so many seconds."""
    path.touch()
    stop = threading.Event()

    def write() -> None:
        with path.open("ab", buffering=0) as file:
            size = -(-len(data) // pieces)
            for at in range(0, len(data), size):
                file.write(data[at : at + size])
                if stop.wait(seconds / pieces):
                    return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield path
    finally:
        stop.set()
        thread.join()


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def http_server(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """The address of a server that answers each GET as `answer` does."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                answer(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, *arguments: object) -> None:
            pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def send(handler: http.server.BaseHTTPRequestHandler, data: bytes, *, pieces: int = 10, pause: float = 0.02) -> None:
    """Answer with bytes of unknown length, as a broadcast does, and hang up."""
    handler.send_response(200)
    handler.send_header("Content-Type", "video/mp2t")
    handler.end_headers()
    size = -(-len(data) // pieces)
    for at in range(0, len(data), size):
        handler.wfile.write(data[at : at + size])
        time.sleep(pause)
