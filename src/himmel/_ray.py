"""Joining a cluster of Ray's."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from himmel.errors import HimmelError

LOCAL: Final = "local"
"""The address of a cluster that is started here, and ends with the block that joined it."""
_KNOCK: Final = 10.0


@contextmanager
def cluster_joined(address: str, *, num_cpus: int | None = None) -> Iterator[None]:
    """Be part of a cluster for as long as the block takes; within one that was joined already, nothing is done.

    Args:
        address: as Ray takes it, such as `auto`, `HOST:PORT` or `ray://HOST:PORT`; or `LOCAL`.
        num_cpus: processors of a cluster that is started here; None for those that this machine has.

    Raises:
        HimmelError: there is no such cluster.
        ModuleNotFoundError: Ray is not installed.
    """
    import ray

    # Whoever has joined a cluster in this process is the one to leave it.
    joins = not ray.is_initialized()
    if joins:
        own: dict[str, Any] = {"num_cpus": num_cpus, "include_dashboard": False} if address == LOCAL else {}
        try:
            _knock(address)
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **own)
        except (OSError, ValueError, RuntimeError) as error:
            said = " ".join(str(error).split()).partition(". ")[0].rstrip(".")
            raise HimmelError(
                f"The Ray cluster {address!r} cannot be joined ({said}); check the address, or start one "
                f"(`ray start --head`, or --ray {LOCAL})."
            ) from error
    try:
        yield
    finally:
        if joins:
            ray.shutdown()


def _knock(address: str) -> None:
    """See that somebody listens at HOST:PORT, where Ray itself would try for minutes.

    Raises:
        OSError: nobody does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK).close()
