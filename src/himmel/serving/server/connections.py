"""Connections that bring no request: without an end to their time they would keep out those that bring one."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

# Seconds for the head of a request, the first or a later one.
HEAD_SECONDS: Final = 30.0


class Connection(H11Protocol):
    """Uvicorn's connection, closed where the head of a request takes too long.

    Uvicorn itself waits as long as a client sends a byte now and then, or nothing after it has connected. Of its two
    parsers this one bounds the size of a head (64 KiB).
    """

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        self._stop_waiting()

    def handle_events(self) -> None:
        """Take what has come, which may be a request."""
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request; it may be there already."""
        self._wait_for_head()
        super().on_response_complete()

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
