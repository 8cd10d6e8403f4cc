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
from math import inf
from typing import Final
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from himmel.serving.server.limits import Limits
from himmel.serving.server.refusal import Refusal

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Sequence[str]]

_MOST_REDIRECTS: Final = 5
_PIECE: Final = 2**16
_PORTS: Final = {"http": 80, "https": 443}
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# Addresses that some release of Python takes for public and that are not, or that lead on to others of IPv4.
_NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(one)
    for one in (
        "192.0.0.0/24",  # protocol assignments (RFC 6890)
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "::/96",  # IPv4-compatible (RFC 4291, 2.5.5.1)
        "::ffff:0:0:0/96",  # IPv4-translated (RFC 2765)
        "64:ff9b::/96",  # NAT64 (RFC 6052)
        "64:ff9b:1::/48",  # NAT64 of a site (RFC 8215)
        "2001::/23",  # protocol assignments, Teredo among them (RFC 2928)
        "2002::/16",  # 6to4 (RFC 3056)
        "3fff::/20",  # documentation (RFC 9637)
        "5f00::/16",  # segment routing (RFC 9602)
        "fec0::/10",  # site-local (RFC 3879)
    )
)
# Of a path and its query, what is sent as it stands; the rest, such as a blank or an umlaut, as percent and digits.
_PLAIN: Final = "/?%:@!$&'()*+,;=~"


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

    def fetch(self, url: str, write: Callable[[bytes], object], *, deadline: float = inf) -> None:
        """Hand the bytes at an address to `write`, piece by piece.

        Args:
            url: http or https.
            write: takes a piece.
            deadline: when the whole request's time is up, on the clock `time.monotonic`.

        Raises:
            Refusal: the address is not allowed, cannot be reached, is too large or takes too long.
        """
        deadline = min(deadline, time.monotonic() + self.limits.fetch_seconds)
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
        addresses = self._addresses(host, port)
        path = quote((target.path or "/") + (f"?{target.query}" if target.query else ""), safe=_PLAIN)
        left = max(deadline - time.monotonic(), 0.1)
        connection = _Pinned(host, port, addresses, secure=target.scheme == "https", timeout=left)
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

    def _addresses(self, host: str, port: int) -> Sequence[str]:
        try:
            found = self.resolve(host, port)
        except OSError as error:
            raise _unreachable(f"{host} has no address") from error
        if not found or not all(self._is_allowed(ipaddress.ip_address(one.partition("%")[0])) for one in found):
            raise Refusal(
                403, f"{host} is at an address that is not public, which is not fetched from.", code="host_not_allowed"
            )
        return found

    def _is_allowed(self, address: Address) -> bool:
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in self.networks):
            return True
        if any(address in network for network in _NOT_PUBLIC):
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
    """A connection to the first of some addresses that answers, under its host's name."""

    def __init__(self, host: str, port: int, addresses: Sequence[str], *, secure: bool, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self._pinned, self._secure = addresses, secure
        if secure:
            self.default_port = _PORTS["https"]

    def connect(self) -> None:
        """Connect to one of the addresses that were checked."""
        end = time.monotonic() + float(self.timeout or 0.0)
        for number, address in enumerate(self._pinned, 1):
            # One that does not answer leaves time for the others.
            left = max(end - time.monotonic(), 0.1) / (len(self._pinned) - number + 1)
            try:
                self.sock = socket.create_connection((address, self.port), left)
                break
            except OSError:
                if number == len(self._pinned):
                    raise
        self.sock.settimeout(max(end - time.monotonic(), 0.1))
        if self._secure:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)

    def cut(self) -> None:
        """End it, whatever it waits for."""
        with suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)


def _unreachable(why: str) -> Refusal:
    return Refusal(400, f"The URL cannot be fetched ({why}); check it, or send the file itself.", code="unreachable")
