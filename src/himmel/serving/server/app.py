"""The server as an ASGI application: its addresses, and what becomes of every request."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import himmel
from himmel.methods.session import Session
from himmel.serving.askable import askable_methods
from himmel.serving.server.chat import Chat
from himmel.serving.server.door import OWNER, Door, Keys, check_page, owner_of
from himmel.serving.server.engine import Engine
from himmel.serving.server.fetch import Fetcher, Network, Resolver, look_up
from himmel.serving.server.files import Files
from himmel.serving.server.limits import Limits
from himmel.serving.server.metrics import Metrics
from himmel.serving.server.reading import Readers
from himmel.serving.server.refusal import Refusal, shutting_down
from himmel.serving.server.schema import ChatRequest
from himmel.serving.server.sources import Sources
from himmel.serving.server.spool import Spool
from himmel.serving.server.uploads import Uploads
from himmel.serving.server.watched import Watched

_log = logging.getLogger("himmel.serve")
_OPEN = frozenset({"/health", "/ready", "/metrics"})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a server is set up.

    Attributes:
        limits: see `Limits`.
        api_keys: those that are let in; empty lets everybody in.
        media: folders below which `file:` may name files; empty: none.
        fetch_hosts: hosts that `http(s):` may name, with a port if it is another than the scheme's; empty: none.
        fetch_networks: addresses that may be reached although they are not public.
        spool: folder for uploads and downloads; None for the system's place for temporary files.
        watch: sources of streams that `live:` may name, by name.
        threads: of one answer; None leaves torch's number.
        resolve: how a host's addresses are looked up.
    """

    limits: Limits = field(default_factory=Limits)
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    media: tuple[Path, ...] = ()
    fetch_hosts: tuple[str, ...] = ()
    fetch_networks: tuple[Network, ...] = ()
    spool: Path | None = None
    watch: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = None
    resolve: Resolver = look_up


class Serving:
    """A server: the application, what stands behind it, and its state.

    Args:
        session: whose model is asked.
        settings: see `Settings`.
        failed: told once the model or a worker cannot be loaded.
        keys: who is let in, where this process must not know the keys themselves; None for those of the settings.

    Attributes:
        app: what an ASGI server runs.
        door: who is inside.
        metrics: what was counted.
    """

    def __init__(
        self,
        session: Session,
        settings: Settings,
        *,
        failed: Callable[[Exception], None] = lambda error: None,
        keys: Keys | None = None,
    ) -> None:
        self._session, self._settings, self._failed = session, settings, failed
        self.metrics = Metrics()
        self._loaded: _Loaded | None = None
        self.door = Door(settings.limits)
        self.metrics.watch("himmel_under_way", "Requests that were let in.", lambda: self.door.inside)
        self.app = FastAPI(
            title="HY-Himmel",
            version=himmel.__version__,
            lifespan=self._live,
            redoc_url=None,
            # A redirect would go where the request's Host header says, past a proxy with TLS.
            redirect_slashes=False,
        )
        self._add_addresses()
        self.app.add_exception_handler(Refusal, _answer_refusal)
        self.app.add_exception_handler(HTTPException, _answer_http)
        self.app.add_exception_handler(Exception, _answer_bug)
        self.app.add_middleware(_Gate, door=self.door, keys=keys or Keys(settings.api_keys), limits=settings.limits)

    @property
    def is_ready(self) -> bool:
        """Whether questions are answered."""
        return self._loaded is not None and not self.door.draining

    @asynccontextmanager
    async def _live(self, app: FastAPI) -> AsyncIterator[None]:
        """Load while the server answers that it is not ready, and let go of everything at the end."""
        del app
        loading = asyncio.create_task(self._load())
        try:
            yield
        finally:
            loading.cancel()
            if self._loaded is not None:
                self._loaded.close()

    async def _load(self) -> None:
        try:
            self._loaded = await _Loaded.load(self._session, self._settings, self.metrics, self.door)
        except Exception as error:
            self._failed(error)

    def _ready(self) -> "_Loaded":
        if self._loaded is None:
            raise Refusal(503, "The server is loading its model; try again.", code="loading", retry_after=5)
        return self._loaded

    def _add_addresses(self) -> None:
        body = {"content": {"application/json": {"schema": ChatRequest.model_json_schema()}}, "required": True}

        @self.app.post("/v1/chat/completions", openapi_extra={"requestBody": body}, response_model=None)
        async def chat(request: Request) -> Response:
            """Answer a question about a video or pictures."""
            return await self._ready().chat.respond(request)

        @self.app.get("/v1/models")
        async def models() -> dict[str, Any]:
            """The methods that can be asked, as models."""
            return {"object": "list", "data": [_describe_model(name) for name in self._ready().models]}

        @self.app.get("/v1/models/{name}")
        async def model(name: str) -> dict[str, Any]:
            """One of them."""
            if name not in self._ready().models:
                raise Refusal(404, f"There is no model {name[:100]!r}.", code="model_not_found", param="model")
            return _describe_model(name)

        @self.app.post("/v1/files")
        async def upload(request: Request) -> dict[str, Any]:
            """Keep a video or picture for later requests with the same key."""
            return await self._ready().files.upload(request)

        @self.app.get("/v1/files")
        async def uploads(request: Request) -> dict[str, Any]:
            """The uploads of a key that are still kept."""
            return self._ready().files.all(owner_of(request))

        @self.app.get("/v1/files/{file_id}")
        async def find(request: Request, file_id: str) -> dict[str, Any]:
            """Whether an upload is still kept."""
            return self._ready().files.find(file_id, owner_of(request))

        @self.app.delete("/v1/files/{file_id}")
        async def remove(request: Request, file_id: str) -> dict[str, Any]:
            """Remove an upload."""
            return self._ready().files.remove(file_id, owner_of(request))

        @self.app.get("/v1/live")
        async def live() -> dict[str, Any]:
            """The streams that are watched, and what of each can be asked about."""
            return {"object": "list", "data": await asyncio.to_thread(self._ready().watched.describe)}

        @self.app.get("/health")
        async def health() -> dict[str, str]:
            """Whether the process lives."""
            return {"status": "ok"}

        @self.app.get("/ready", response_model=None)
        async def ready() -> JSONResponse:
            """Whether questions are answered; 503 while the model loads and after SIGTERM."""
            return JSONResponse({"ready": self.is_ready}, 200 if self.is_ready else 503)

        @self.app.get("/metrics", response_model=None)
        async def metrics() -> Response:
            """Counters for Prometheus."""
            return Response(self.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@dataclass(frozen=True)
class _Loaded:
    """What answers requests, once the model and the workers are there."""

    models: tuple[str, ...]
    engine: Engine
    chat: Chat
    files: Files
    readers: Readers
    spool: Spool
    watched: Watched

    @classmethod
    async def load(cls, session: Session, settings: Settings, metrics: Metrics, door: Door) -> "_Loaded":
        limits = settings.limits
        readers = Readers(limits, ended=lambda cause: metrics.workers.labels(cause).inc())
        models = await asyncio.to_thread(askable_methods, session)
        await asyncio.to_thread(readers.start)
        spool = Spool(limits, settings.spool)
        uploads = Uploads(spool)
        metrics.watch("himmel_spool_bytes", "Bytes of uploads and downloads on the disk.", lambda: spool.num_bytes)
        fetcher = Fetcher(frozenset(settings.fetch_hosts), settings.fetch_networks, limits, settings.resolve)
        watched = Watched(settings.watch, limits, settings.spool)
        sources = Sources(
            spool=spool,
            uploads=uploads,
            fetcher=fetcher,
            folders=settings.media,
            readers=readers,
            limits=limits,
            metrics=metrics,
            watched=watched,
        )
        watched.start()
        engine = Engine(session, limits, metrics, threads=settings.threads)
        chat = Chat(engine=engine, sources=sources, door=door, limits=limits, metrics=metrics, models=models)
        files = Files(spool=spool, uploads=uploads, door=door, limits=limits, metrics=metrics)
        return cls(models, engine, chat, files, readers, spool, watched)

    def close(self) -> None:
        self.engine.close()
        self.chat.close()
        self.readers.close()
        self.watched.close()
        self.spool.close()


def _describe_model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "himmel"}


class _Gate:
    """Sees to keys and counts before anything else, and gives up on clients that take no answer."""

    def __init__(self, app: ASGIApp, *, door: Door, keys: Keys, limits: Limits) -> None:
        self._app, self._door, self._keys, self._limits = app, door, keys, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        begun = False

        async def send_in_time(message: Message) -> None:
            nonlocal begun
            begun = True
            try:
                async with asyncio.timeout(self._limits.send_seconds):
                    await send(message)
            except TimeoutError:
                raise _Stalled from None

        try:
            if scope["path"] in _OPEN:
                await self._app(scope, receive, send_in_time)
                return
            headers = dict(scope["headers"])
            owner = self._keys.check(headers.get(b"authorization", b"").decode("latin-1"))
            if not owner:
                check_page(headers)
            scope.setdefault("state", {})[OWNER] = owner
            with self._door.passing():
                await self._app(scope, receive, send_in_time)
        except Refusal as refusal:
            with suppress(_Stalled):
                await respond(refusal)(scope, receive, send_in_time)
        except asyncio.CancelledError:
            # The process ends at once. Who has no answer yet is told so; a stream that has begun breaks off.
            if not begun:
                with suppress(_Stalled):
                    await respond(shutting_down())(scope, receive, send_in_time)
        except _Stalled:
            _log.info("A client took no answer for %g seconds and was given up", self._limits.send_seconds)


class _Stalled(Exception):
    """A client does not take its answer."""


def respond(refusal: Refusal) -> JSONResponse:
    """A refusal as a response."""
    return JSONResponse(refusal.body, refusal.status, refusal.headers)


async def _answer_refusal(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, Refusal)
    return respond(error)


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = f"{request.method[:20]} {request.scope['path'][:100]} is not served here ({error.detail})."
    response = respond(Refusal(error.status_code, said, code="unknown_url"))
    response.headers.update(error.headers or {})
    return response


async def _answer_bug(request: Request, error: Exception) -> Response:
    del request
    return respond(Refusal(500, f"The server failed on this request ({type(error).__name__}).", code="internal_error"))
