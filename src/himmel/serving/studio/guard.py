"""Who may ask the page's server: the page itself, and no other site that the same browser has open.

A page of another site can send requests to 127.0.0.1 (CSRF), and can let its own name lead there (DNS rebinding). So
the name that a request is sent to must be known, and what changes anything must carry a header that a browser lets no
other site send without asking first.
"""

import ipaddress
from collections.abc import Sequence
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER: Final = "x-himmel-studio"
_SAFE: Final = frozenset({"GET", "HEAD"})
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ADDED: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Refuses what another site sends, and tells browsers to load nothing from elsewhere.

    Args:
        app: what it guards.
        names: host names by which this server may be called, besides "localhost" and addresses in numbers.
    """

    def __init__(self, app: ASGIApp, *, names: Sequence[str] = ()) -> None:
        self._app = app
        self._names = {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_ADDED)
            await send(message)

        said = self._object(scope["method"], Headers(scope=scope))
        if said:
            await JSONResponse({"error": said}, 403)(scope, receive, send_more)
        else:
            await self._app(scope, receive, send_more)

    def _object(self, method: str, headers: Headers) -> str:
        """Why a request is refused; empty where it is not."""
        host = headers.get("host", "")
        if not self._knows(host):
            return f"This server is not called {host[:100]!r}; start it with --name to allow that."
        if method in _SAFE:
            return ""
        origin = headers.get("origin")
        foreign = origin is not None and origin.partition("://")[2] != host
        if foreign or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "Only this server's own page may ask it."
        return "" if headers.get(HEADER) == "1" else f"The header {HEADER} is missing; use the page."

    def _knows(self, host: str) -> bool:
        name = host.lower()
        name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
