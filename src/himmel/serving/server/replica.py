"""The server as one of several replicas in a Ray cluster, each a process with a model of its own."""

import asyncio
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry
from starlette.types import Receive, Scope, Send

import himmel
from himmel.errors import HimmelError, UsageError
from himmel.methods.session import Session
from himmel.serving.server.app import Serving, Settings, respond
from himmel.serving.server.door import Keys
from himmel.serving.server.refusal import Refusal

APPLICATION: Final = "himmel"
"""How Ray calls what is served."""
_LOOK: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What each replica is told; API keys are in it as hashes alone, since a cluster keeps it and its logs may show it.

    Attributes:
        settings: see `Settings`; without API keys.
        keys: who is let in.
        session: how a `Session` is made.
        uploads: whether `/v1/files` takes any: a second replica would not know what the first one was given.
        version: of himmel where the replicas are ordered; what is sent to them fits no other.
    """

    settings: Settings
    keys: Keys
    session: dict[str, Any]
    uploads: bool
    version: str = field(default=himmel.__version__)

    @classmethod
    def of(cls, settings: Settings, *, session: dict[str, Any], uploads: bool) -> "Orders":
        """Orders for the settings of a server, with hashes in place of its API keys."""
        return cls(
            settings=replace(settings, api_keys=()), keys=Keys(settings.api_keys), session=session, uploads=uploads
        )


class Front:
    """What a replica answers with: the server's application, except for what one of several replicas cannot know.

    Args:
        orders: see `Orders`.
    """

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._serving: Serving | None = None
        self._told: Told | None = None
        self._failures: list[Exception] = []

    def start(self) -> None:
        """Make the server, in the replica; it loads once its application lives.

        Raises:
            UsageError: this machine has another himmel, or lacks a folder.
            HimmelError: see `Session`.
        """
        orders = self._orders
        if himmel.__version__ != orders.version:
            raise UsageError(
                f"{socket.gethostname()}, a machine of the cluster, has himmel {himmel.__version__} and the one that "
                f"serves has himmel {orders.version}; install the same on all of them."
            )
        for folder in orders.settings.media:
            _check_folder(folder)
        self._serving = Serving(
            Session(**orders.session), orders.settings, failed=self._failures.append, keys=orders.keys
        )
        self._told = Told(self._serving.metrics.registry)

    async def check_health(self) -> None:
        """Wait until questions are answered. Ray asks for this at the start, and every few seconds from then on.

        Raises:
            Exception: the model or a worker could not be loaded.
        """
        assert self._serving is not None
        assert self._told is not None
        while not self._serving.is_ready:
            if self._failures:
                raise self._failures[0]
            await asyncio.sleep(_LOOK)
        self._told.tell()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as an ASGI application."""
        assert self._serving is not None
        path = scope.get("path", "")
        if path == "/metrics":
            refusal = Refusal(
                404,
                "Each replica counts for itself; Ray tells the numbers of all of them, as ray_himmel_*.",
                code="unknown_url",
            )
        elif path.startswith("/v1/files") and not self._orders.uploads:
            refusal = Refusal(
                400,
                "Uploads are not kept here: one of several replicas alone would have them; send the file in the "
                "request as a data: URL, or name one by file:.",
                code="uploads_not_kept",
            )
        else:
            await self._serving.app(scope, receive, send)
            return
        await respond(refusal)(scope, receive, send)


class Told:
    """Tells Ray what a replica has counted: each sample under its own name, with Ray's names for the replica beside.

    Args:
        registry: where the replica counts.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._gauges: dict[str, Any] = {}

    def tell(self) -> None:
        """Tell all numbers as they are now."""
        for family in self._registry.collect():
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    self._gauge(sample.name, family.documentation, tuple(sample.labels)).set(
                        sample.value, tags=sample.labels
                    )

    def _gauge(self, name: str, what: str, labels: tuple[str, ...]) -> Any:
        from ray.serve.metrics import Gauge

        # Ray's own counters and histograms take single events; a rate of these numbers is the same.
        if name not in self._gauges:
            self._gauges[name] = Gauge(name, description=what, tag_keys=labels)
        return self._gauges[name]


def make_replica(orders: Orders) -> Any:
    """The class of a Ray Serve deployment.

    Args:
        orders: see `Orders`.
    """
    from ray import serve

    front = Front(orders)

    # Ray sends class and application to a replica in one piece, where both still mean the same front.
    @serve.ingress(lambda: front)
    class Replica:
        def __init__(self) -> None:
            front.start()

        async def check_health(self) -> None:
            await front.check_health()

    return Replica


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise HimmelError(
            f"There is no folder {str(folder)!r} on {socket.gethostname()}, a machine of the cluster; mount it on all "
            "of them (--media)."
        )
