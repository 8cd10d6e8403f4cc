"""The server on a Ray cluster: Ray Serve starts replicas, replaces those that are lost, and shares requests out."""

import logging
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

from himmel._checks import check_number, check_whole
from himmel._install import get_extra
from himmel._ray import cluster_joined
from himmel._text import by_number
from himmel.errors import HimmelError, MissingPackageError, UsageError
from himmel.serving.server.listening import read_address
from himmel.serving.server.replica import APPLICATION, Orders, make_replica

_LOOK: Final = 0.5
# Seconds beyond the drain until Serve has noticed its end.
_SLACK: Final = 15.0
# Requests that ask for health and models come on top of those that the limits count.
_ALWAYS: Final = 64


@dataclass(frozen=True, kw_only=True)
class Replicas:
    """How many replicas there are, and what each takes of the cluster.

    Attributes:
        least, most: their number; between them it follows the requests under way.
        cpus, gpus: of each; a part of a GPU is shared with others.

    Raises:
        UsageError: a number is out of range.
    """

    least: int = 1
    most: int = 1
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        check_whole("replicas", self.least, 1, 4096)
        check_whole("replicas", self.most, self.least, 4096)
        check_number("replica_cpus", self.cpus, 0.0, 4096.0)
        check_number("replica_gpus", self.gpus, 0.0, 64.0)

    @classmethod
    def parse(cls, text: str, *, cpus: float, gpus: float) -> "Replicas":
        """Replicas of MIN or MIN:MAX.

        Raises:
            UsageError: it is neither, or a number is out of range.
        """
        least, _, most = text.partition(":")
        if not least.isdecimal() or not (most or least).isdecimal() or text.endswith(":"):
            raise UsageError(f"{text!r} is no number of replicas; write one such as 2, or MIN:MAX such as 1:4.")
        return cls(least=int(least), most=int(most or least), cpus=cpus, gpus=gpus)


class _EndedError(BaseException):
    """A signal came; not to be taken for an error by whatever runs at that moment."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def serve_on(
    address: str, *, listen: str, orders: Orders, replicas: Replicas, say: Callable[[str], None] = lambda said: None
) -> None:
    """Serve on a cluster until SIGTERM or SIGINT; both remove what was served, and SIGTERM waits until that has ended.

    Args:
        address: see `cluster_joined`.
        listen: HOST:PORT, at which each machine with a replica listens.
        orders: see `Orders`.
        replicas: see `Replicas`.
        say: told what happens, one sentence each time.

    Raises:
        UsageError: `listen` is no address with a port.
        HimmelError: there is no such cluster, a replica cannot be started there, or the cluster was lost.
        MissingPackageError: Ray, or what its Serve needs, is not installed.
    """
    try:
        from ray import serve
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"Serving on a cluster needs Ray Serve, of which {error.name} is not installed; "
            f"{get_extra('ray-serve')} gets it."
        ) from error

    host, port = read_address(listen)
    if not port:
        raise UsageError("On a cluster each machine listens at the same port; name one in place of 0 (--listen).")
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    with cluster_joined(address), _signals_raised(), suppress(_EndedError):
        started = _start(serve, host, port)
        _say_what_is_missing(replicas, say)
        say(f"{by_number(replicas.least, 'a replica is', '{} replicas are')} starting on the cluster")
        wait, replaced = False, False
        try:
            _deploy(serve, orders, replicas)
            say(f"ready at http://{f'[{host}]' if ':' in host else host}:{port}")
            _watch(serve)
            replaced = True
            say("another one has taken this one's place on the cluster")
        except _EndedError as ended:
            wait = ended.number == signal.SIGTERM
        finally:
            if not replaced:
                _remove(serve, seconds=orders.settings.limits.drain_seconds if wait else 0.0)
        if started and wait and not serve.status().applications:
            serve.shutdown()


@contextmanager
def _signals_raised() -> Iterator[None]:
    """Have SIGTERM and SIGINT raise within the block."""

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        raise _EndedError(number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(serve: Any, host: str, port: int) -> bool:
    """Have Serve run on the cluster; returns whether it did not run before.

    Raises:
        HimmelError: it cannot be started, or listens elsewhere.
    """
    import ray
    from ray.serve.context import _get_global_client

    runs = bool(serve.status().proxies)
    try:
        serve.start(proxy_location="EveryNode", http_options={"host": host, "port": port})
    except ray.exceptions.RayActorError as error:
        raise HimmelError(
            f"Ray Serve did not start on the cluster ({_last_line(str(error))}); run the same command again when its "
            "machines are less busy."
        ) from error
    except (RuntimeError, OSError, ray.exceptions.RayError) as error:
        raise HimmelError(
            f"Ray Serve cannot listen at {host}:{port} ({_last_line(str(error))}); choose another address (--listen)."
        ) from error
    # A cluster has one Serve with one address; nothing that is public tells it.
    found = _get_global_client().http_config
    if (found.host, found.port) != (host, port):
        raise HimmelError(
            f"Ray Serve listens at {found.host}:{found.port} on this cluster already; name that address (--listen), or "
            "end what it serves (`serve shutdown`)."
        )
    return not runs


def _say_what_is_missing(replicas: Replicas, say: Callable[[str], None]) -> None:
    """Tell where the whole cluster is too small: Ray waits for more machines, which may come."""
    import ray

    total = ray.cluster_resources()
    for name, each in (("CPU", replicas.cpus), ("GPU", replicas.gpus)):
        needed, there = replicas.least * each, total.get(name, 0.0)
        if needed > there:
            say(
                f"the cluster has {there:g} {name}s of the {needed:g} that its replicas need; waiting for more machines"
            )


def _deploy(serve: Any, orders: Orders, replicas: Replicas) -> None:
    """Have replicas run, in place of those that an earlier call left; returns once as many as are needed answer.

    Raises:
        HimmelError: they cannot be started.
    """
    import ray

    limits = orders.settings.limits
    if replicas.least == replicas.most:
        number: dict[str, Any] = {"num_replicas": replicas.least}
    else:
        number = {
            "autoscaling_config": {
                "min_replicas": replicas.least,
                "max_replicas": replicas.most,
                # What a replica answers together is what it is good for.
                "target_ongoing_requests": limits.batch,
            }
        }
    deployment = serve.deployment(
        make_replica(orders),
        name=APPLICATION,
        ray_actor_options={"num_cpus": replicas.cpus, "num_gpus": replicas.gpus},
        # So many that the server's own refusals come first: they say what to do, in the shape that clients know.
        max_ongoing_requests=limits.requests + _ALWAYS,
        graceful_shutdown_timeout_s=limits.drain_seconds,
        logging_config={"enable_access_log": False},
        **number,
    )
    try:
        serve.run(deployment.bind(), name=APPLICATION, route_prefix="/")
    except (RuntimeError, ray.exceptions.RayError, serve.exceptions.RayServeException) as error:
        raise HimmelError(f"No replica can be started on the Ray cluster: {_last_line(str(error))}") from error


def _watch(serve: Any) -> None:
    """Look at what is served until another deployment has taken its place.

    Raises:
        HimmelError: it is not there any more, or the cluster is not.
    """
    import ray

    begin = None
    while True:
        try:
            found = serve.status().applications.get(APPLICATION)
        except (ray.exceptions.RayError, RuntimeError, ConnectionError) as error:
            raise HimmelError(f"The Ray cluster is lost ({_last_line(str(error))}); join it again.") from error
        if found is None:
            raise HimmelError("What was served was removed from the Ray cluster; run the same command to serve again.")
        begin = begin or found.last_deployed_time_s
        if found.last_deployed_time_s != begin:
            return
        time.sleep(_LOOK)


def _remove(serve: Any, *, seconds: float) -> None:
    """Serve nothing more; waits at most so long, and a little, for the end of what is under way."""
    import ray

    with suppress(ray.exceptions.RayError, serve.exceptions.RayServeException, RuntimeError):
        serve.delete(APPLICATION, _blocking=False)
        end = time.monotonic() + seconds + _SLACK
        while seconds and APPLICATION in serve.status().applications and time.monotonic() < end:
            time.sleep(_LOOK)


def _last_line(said: str) -> str:
    """What an error of Ray's comes down to: the last error of ours in it, or else its last line."""
    ours = re.findall(r"himmel\.errors\.\w+: (.+)", said)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return str((ours or lines or ["no reason was given"])[-1]).rstrip(".")
