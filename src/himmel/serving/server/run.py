"""The server as a process: it listens, and on SIGTERM finishes what is under way and refuses what is new."""

import asyncio
import multiprocessing
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from himmel.errors import HimmelError, UsageError
from himmel.methods.session import Session
from himmel.serving.server.app import Serving, Settings

_BACKLOG = 1024
# Seconds between two looks, by which load balancers have seen that the server is not ready any more.
_LOOK = 0.05


def listen(address: str) -> socket.socket:
    """A socket that listens at HOST:PORT; port 0 takes a free one.

    Raises:
        UsageError: it is no address.
        HimmelError: it cannot be listened at.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"{address!r} is no address to listen at; write HOST:PORT, such as 127.0.0.1:8000.")
    try:
        return socket.create_server(
            (host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=_BACKLOG
        )
    except OSError as error:
        raise HimmelError(
            f"Cannot listen at {address!r} ({error.strerror or error}); choose another address or port (--listen)."
        ) from error


def serve(
    session: Session, settings: Settings, listener: socket.socket, *, started: Callable[[], None] = lambda: None
) -> None:
    """Answer requests until SIGTERM or SIGINT.

    Args:
        session: whose model is asked.
        settings: see `Settings`.
        listener: from `listen`.
        started: called once questions are answered.

    Raises:
        HimmelError: the model or a worker cannot be loaded.
    """
    failures: list[Exception] = []

    def fail(error: Exception) -> None:
        failures.append(error)
        server.should_exit = True

    serving = Serving(session, settings, failed=fail)
    config = uvicorn.Config(
        serving.app,
        log_level="warning",
        access_log=False,
        lifespan="on",
        ws="none",
        server_header=False,
        # Its own refusals are not in OpenAI's shape: only what the door can't see to, connections without requests.
        limit_concurrency=2 * settings.limits.requests + 64,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config, serving, drain_seconds=settings.limits.drain_seconds, started=started)
    try:
        server.run([listener])
    finally:
        # A thread that waits for one of them would be waited for.
        for child in multiprocessing.active_children():
            child.terminate()
    if failures:
        raise failures[0]


class _Server(uvicorn.Server):
    """Uvicorn that, told to end, first lets those inside out, while it refuses others."""

    def __init__(
        self, config: uvicorn.Config, serving: Serving, *, drain_seconds: float, started: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._serving, self._drain_seconds, self._when_started = serving, drain_seconds, started
        self._tasks: list[asyncio.Task[None]] = []

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end, at once for SIGINT or a second signal."""
        if sig == signal.SIGTERM and not self._serving.door.draining:
            self._serving.door.draining = True
            return
        super().handle_exit(sig, frame)

    async def main_loop(self) -> None:
        """Uvicorn's own loop, with an eye on the door."""
        self._tasks = [asyncio.create_task(self._tell_start()), asyncio.create_task(self._drain())]
        await super().main_loop()
        for task in self._tasks:
            task.cancel()

    async def _tell_start(self) -> None:
        while not self._serving.is_ready:
            await asyncio.sleep(_LOOK)
        self._when_started()

    async def _drain(self) -> None:
        while not self._serving.door.draining:
            await asyncio.sleep(_LOOK)
        try:
            await asyncio.wait_for(self._serving.door.empty(), self._drain_seconds)
        except TimeoutError:
            self.force_exit = True
        self.should_exit = True
