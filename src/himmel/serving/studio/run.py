"""The page's server as a process."""

import webbrowser
from collections.abc import Callable
from socket import socket
from typing import TYPE_CHECKING

import uvicorn

from himmel.serving.server.connections import Connection
from himmel.serving.studio.app import Studio, StudioSettings

__all__ = ["StudioServer", "StudioSettings", "open_browser"]

if TYPE_CHECKING:
    from himmel.methods.session import Session


class StudioServer(uvicorn.Server):
    """Uvicorn with the page.

    Args:
        make_session: see `Studio`.
        settings: see `StudioSettings`.
        started: called once the page is there.
    """

    def __init__(
        self,
        make_session: "Callable[[], Session]",
        settings: StudioSettings,
        *,
        started: Callable[[], None] = lambda: None,
    ) -> None:
        config = uvicorn.Config(
            Studio(make_session, settings).app,
            log_level="warning",
            access_log=False,
            lifespan="on",
            http=Connection,
            ws="none",
            server_header=False,
            limit_concurrency=settings.limits.requests,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self._when_started = started

    def answer(self, listener: socket) -> None:
        """Answer requests that come in at a socket, until SIGTERM, SIGINT or `end`."""
        self.run([listener])

    def end(self) -> None:
        """End; from any thread."""
        self.should_exit = True

    async def main_loop(self) -> None:
        """Uvicorn's own loop, once it has told that it listens."""
        self._when_started()
        await super().main_loop()


def open_browser(address: str) -> None:
    """Show the page in the browser, without waiting for it; nothing happens where there is none."""
    webbrowser.open(address)
