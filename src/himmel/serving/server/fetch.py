"""Videos of other hosts: of listed ones alone, at public addresses alone, however names resolve and hosts redirect."""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from himmel.serving.server.limits import Limits
from himmel.serving.server.refusal import Refusal

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Sequence[str]]

_MOST_REDIRECTS: Final = 5
_PIECE: Final = 2**16
_PORTS: Final = {"http": 80, "https": 443}
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# Addresses of IPv6 that lead to one of IPv4 (RFC 6052): what they hold is not looked at.
_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")


def look_up(host: str, port: int) -> list[str]:
    """All addresses of a host.

    Raises:
        OSError: it has none.
    """
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True)
class Fetcher:
    """Downloads of videos and pictures.

    An address is looked up once and connected to as it was looked up, so that a name can't lead elsewhere between the
    check and the connection. Redirects are checked like the first address. Proxies of the environment are not used.

    Attributes:
        hosts: names that may be fetched from, each with a port if it is another than the scheme's; empty: none.
        networks: addresses that may be reached although they are not public.
        limits: see `Limits`.
        resolve: a host's addresses.
    """

    hosts: frozenset[str]
    networks: tuple[Network, ...]
    limits: Limits
    resolve: Resolver = look_up

    def fetch(self, url: str, write: Callable[[bytes], object]) -> None:
        """Hand the bytes at an address to `write`, piece by piece.

        Raises:
            Refusal: the address is not allowed, cannot be reached, is too large or takes too long.
        """
        deadline = time.monotonic() + self.limits.fetch_seconds
        for _ in range(_MOST_REDIRECTS + 1):
            target = self._check(url)
            with self._answer(target, deadline) as response:
                if response.status in _REDIRECTS and response.headers["location"]:
                    url = urljoin(url, response.headers["location"])
                    continue
                if response.status != 200:
                    raise _unreachable(f"{target.hostname} answered with status {response.status}")
                for piece in self._pieces(response, deadline):
                    write(piece)
                return
        raise _unreachable(f"more than {_MOST_REDIRECTS} redirects lead on from it")

    def _check(self, url: str) -> SplitResult:
        """The parts of an address that may be fetched."""
        try:
            target = urlsplit(url)
            usual = _PORTS[target.scheme]
            port = target.port or usual
        except (ValueError, KeyError):
            raise Refusal(400, "The URL is no address of http or https.", code="invalid_url") from None
        if target.username is not None or target.password is not None:
            raise Refusal(400, "The URL holds a name or password; give one without.", code="invalid_url")
        host = (target.hostname or "").rstrip(".")
        named = host if port == usual else f"{host}:{port}"
        if named not in self.hosts:
            raise Refusal(
                403,
                f"Videos are not fetched from {named[:100]!r} here; send the file itself, as a data: URL or by "
                "/v1/files.",
                code="host_not_allowed",
            )
        return target

    @contextmanager
    def _answer(self, target: SplitResult, deadline: float) -> Iterator[http.client.HTTPResponse]:
        """What a host answers; everything about it is over at the deadline."""
        host = (target.hostname or "").rstrip(".")
        port = target.port or _PORTS[target.scheme]
        address = self._address(host, port)
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        left = max(deadline - time.monotonic(), 0.1)
        connection = _Pinned(host, port, address, secure=target.scheme == "https", timeout=left)
        # A host that sends a byte now and then meets no timeout of the socket.
        alarm = threading.Timer(left, connection.cut)
        alarm.daemon = True
        alarm.start()
        try:
            with closing(connection):
                connection.request("GET", path, headers={"Accept-Encoding": "identity", "User-Agent": "himmel"})
                yield connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            if time.monotonic() >= deadline:
                raise self._too_slow() from error
            raise _unreachable(f"{type(error).__name__} at {host}") from error
        finally:
            alarm.cancel()

    def _address(self, host: str, port: int) -> str:
        try:
            found = self.resolve(host, port)
        except OSError as error:
            raise _unreachable(f"{host} has no address") from error
        if not found or not all(self._is_allowed(ipaddress.ip_address(one.partition("%")[0])) for one in found):
            raise Refusal(
                403, f"{host} is at an address that is not public, which is not fetched from.", code="host_not_allowed"
            )
        return found[0]

    def _is_allowed(self, address: Address) -> bool:
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in self.networks):
            return True
        if isinstance(address, ipaddress.IPv6Address) and (
            address.sixtofour is not None or address.teredo is not None or address in _TRANSLATED
        ):
            return False
        return address.is_global and not address.is_multicast

    def _pieces(self, response: http.client.HTTPResponse, deadline: float) -> Iterator[bytes]:
        total = 0
        while piece := response.read1(_PIECE):
            total += len(piece)
            if total > self.limits.source_bytes:
                raise Refusal(
                    413, f"The file is larger than {self.limits.source_bytes:,} bytes.", code="source_too_large"
                )
            if time.monotonic() >= deadline:
                raise self._too_slow()
            yield piece
        if time.monotonic() >= deadline:
            raise self._too_slow()
        if response.length:
            raise _unreachable(f"{response.length:,} bytes are missing at the end")

    def _too_slow(self) -> Refusal:
        return _unreachable(f"it took more than {self.limits.fetch_seconds:g} seconds")


class _Pinned(http.client.HTTPConnection):
    """A connection to an address, under its host's name."""

    def __init__(self, host: str, port: int, address: str, *, secure: bool, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self._pinned, self._secure = address, secure
        if secure:
            self.default_port = _PORTS["https"]

    def connect(self) -> None:
        """Connect to the address that was checked."""
        self.sock = socket.create_connection((self._pinned, self.port), self.timeout)
        if self._secure:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)

    def cut(self) -> None:
        """End it, whatever it waits for."""
        with suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)


def _unreachable(why: str) -> Refusal:
    return Refusal(400, f"The URL cannot be fetched ({why}); check it, or send the file itself.", code="unreachable")
