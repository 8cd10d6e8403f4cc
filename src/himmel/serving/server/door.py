"""Who is let in, how many at once, and how much they may bring."""

import asyncio
import hmac
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request

from himmel.serving.server.limits import Limits
from himmel.serving.server.refusal import Refusal, shutting_down, too_many

# Where a request's state says whose key it brought, see `Keys.check`.
OWNER: Final = "himmel_owner"


def owner_of(request: Request) -> str:
    """Whose key a request brought; empty where everybody is let in."""
    return str(request.scope["state"][OWNER])


def check_page(headers: Mapping[bytes, bytes]) -> None:
    """See that a request that needs no key was not sent by another's web page in a browser on this machine or network.

    Browsers say by Origin which page sends a request. A page whose name is made to lead to this server (DNS rebinding)
    has the same name in Host.

    Raises:
        Refusal: a page sent it that this server did not show, or not under an address or localhost.
    """
    origin = headers.get(b"origin")
    if origin is None:
        return
    try:
        page = urlsplit(origin.decode("latin-1"))
        name = page.hostname or ""
        shown_here = page.netloc == headers.get(b"host", b"").decode("latin-1")
        if shown_here and (name == "localhost" or ip_address(name)):
            return
    except ValueError:
        pass
    raise Refusal(
        403,
        "Web pages are not answered by a server without API keys, as any page could ask it; start it with --api-keys.",
        code="origin_not_allowed",
    )


class Keys:
    """API keys, of which only hashes are kept.

    Args:
        keys: those that are let in; empty lets everybody in.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def check(self, authorization: str | None) -> str:
        """See that a request brings one of the keys; what that takes does not depend on how much of a key is right.

        Returns:
            A word for whose key it is; empty where everybody is let in.

        Raises:
            Refusal: it brings none.
        """
        if not self._digests:
            return ""
        scheme, _, given = (authorization or "").partition(" ")
        digest = _digest(given.strip())
        # Every key is compared, so that time does not tell which one was near.
        right = [hmac.compare_digest(digest, known) for known in self._digests]
        if scheme.lower() != "bearer" or not any(right):
            raise Refusal(
                401, "The API key is missing or wrong; send it as 'Authorization: Bearer KEY'.", code="invalid_api_key"
            )
        return digest.hex()


class Door:
    """Counts requests from their first byte to the last of their answer.

    Args:
        limits: see `Limits`.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bodies = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self.inside = 0
        self.draining = False

    async def empty(self) -> None:
        """Wait until no request is under way."""
        await self._empty.wait()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Count a request within the block.

        Raises:
            Refusal: the server is shutting down, or too many are under way.
        """
        if self.draining:
            raise shutting_down()
        if self.inside >= self._limits.requests:
            raise too_many(f"{self.inside} requests are under way already; try again later.")
        self.inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self.inside -= 1
            if not self.inside:
                self._empty.set()

    @contextmanager
    def carrying(self, request: Request) -> Iterator[int]:
        """Reserve memory for a request's body within the block; gives the most that the body may have.

        Raises:
            Refusal: the body is packed or too large, or those of all requests together are too large.
        """
        encoding = request.headers.get("content-encoding", "identity").lower()
        if encoding != "identity":
            raise Refusal(
                415,
                f"A request that is packed ({encoding[:40]!r}) is not read here; send it without Content-Encoding.",
                code="unsupported_encoding",
            )
        most = self._limits.body_bytes
        declared = request.headers.get("content-length", "")
        size = int(declared) if declared.isdecimal() and len(declared) < 20 else most
        if size > most:
            raise _too_large(most)
        if self._bodies + size > self._limits.bodies_bytes:
            raise too_many("The requests under way bring as many bytes as the server takes at once; try again later.")
        self._bodies += size
        try:
            yield size
        finally:
            self._bodies -= size

    async def receive(self, request: Request, most: int) -> bytes:
        """A request's body.

        Raises:
            Refusal: it is larger, takes too long, or the client has gone.
        """
        pieces: list[bytes] = []
        total = 0
        try:
            async with asyncio.timeout(self._limits.receive_seconds):
                async for piece in request.stream():
                    total += len(piece)
                    if total > most:
                        raise _too_large(most)
                    pieces.append(piece)
        except TimeoutError:
            raise Refusal(
                408,
                f"The request did not arrive within {self._limits.receive_seconds:g} seconds.",
                code="timeout",
            ) from None
        except ClientDisconnect:
            raise gone() from None
        return b"".join(pieces)


def gone() -> Refusal:
    """For a client that has hung up, who never reads it."""
    return Refusal(499, "The client has gone.", code="client_gone")


def _too_large(most: int) -> Refusal:
    return Refusal(
        413,
        f"The request is larger than {most:,} bytes; send a smaller file, or name one by file: or http:.",
        code="request_too_large",
    )


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()
