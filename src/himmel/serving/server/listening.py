"""A socket that a server listens at."""

import socket

from himmel.errors import HimmelError, UsageError

_BACKLOG = 1024


def read_address(address: str) -> tuple[str, int]:
    """Host and port of HOST:PORT, the host without brackets.

    Raises:
        UsageError: it is no address.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"{address!r} is no address to listen at; write HOST:PORT, such as 127.0.0.1:8000.")
    return host, int(port)


def listen(address: str) -> socket.socket:
    """A socket that listens at HOST:PORT; port 0 takes a free one.

    Raises:
        UsageError: it is no address.
        HimmelError: it cannot be listened at.
    """
    host, port = read_address(address)
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=_BACKLOG
        )
    except OSError as error:
        raise HimmelError(
            f"Cannot listen at {address!r} ({error.strerror or error}); choose another address or port (--listen)."
        ) from error
