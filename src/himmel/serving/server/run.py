"""The server as a process: it listens, and on SIGTERM finishes what is under way and refuses what is new."""

import asyncio
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from himmel.methods.session import Session
from himmel.serving.server.app import Serving, Settings
from himmel.serving.server.connections import Connection

# Seconds between two looks, by which load balancers have seen that the server is not ready any more.
_LOOK = 0.05


class Server(uvicorn.Server):
    """Uvicorn that, told to end, first lets those inside out, while it refuses others.

    Args:
        session: whose model is asked.
        settings: see `Settings`.
        started: called once questions are answered.
    """

    def __init__(self, session: Session, settings: Settings, *, started: Callable[[], None] = lambda: None) -> None:
        self._serving = Serving(session, settings, failed=self._fail)
        limits = settings.limits
        config = uvicorn.Config(
            self._serving.app,
            log_level="warning",
            access_log=False,
            lifespan="on",
            http=Connection,
            ws="none",
            server_header=False,
            # Its refusals are not in OpenAI's shape, so only for what the door can't see: connections without requests.
            limit_concurrency=2 * limits.requests + 64,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self._drain_seconds, self._when_started = limits.drain_seconds, started
        self._tasks: list[asyncio.Task[None]] = []
        self._failures: list[Exception] = []

    def answer(self, listener: socket.socket) -> None:
        """Answer requests that come in at a socket, see `listen`, until SIGTERM, SIGINT or `drain`.

        Raises:
            HimmelError: the model or a worker cannot be loaded.
        """
        self.run([listener])
        if self._failures:
            raise self._failures[0]

    def drain(self) -> None:
        """Refuse what is new, finish what is under way, then end; from any thread."""
        self._serving.door.draining = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end, at once for SIGINT or a second signal."""
        if sig != signal.SIGTERM:
            super().handle_exit(sig, frame)
        elif self._serving.door.draining:
            # Uvicorn would raise the signal once more at its end, and the process would not end well.
            self.should_exit = self.force_exit = True
        else:
            self.drain()

    async def main_loop(self) -> None:
        """Uvicorn's own loop, with an eye on the door."""
        self._tasks = [asyncio.create_task(self._tell_start()), asyncio.create_task(self._drain())]
        await super().main_loop()
        for task in self._tasks:
            task.cancel()

    def _fail(self, error: Exception) -> None:
        self._failures.append(error)
        self.should_exit = True

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
