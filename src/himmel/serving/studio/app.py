"""The page's server as an ASGI application: files of the page, videos of each browser, and what is read of them."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, get_args
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from himmel._install import missing_package
from himmel.choices import AnchorMode, Backend, SampleClip
from himmel.errors import HimmelError
from himmel.methods.cache import BoundedCache
from himmel.nano.assets import get_sample_clip
from himmel.serving.server.limits import MEBIBYTE, Limits
from himmel.serving.server.refusal import Refusal, refuse, too_many
from himmel.serving.server.spool import Spool
from himmel.serving.studio.asked import Asked, Costs, Streams, check
from himmel.serving.studio.guard import Guard
from himmel.serving.studio.looking import WINDOW, BitsTask, CutsTask, LineTask, Lookers, PicturesTask, Task
from himmel.serving.studio.visitors import Shown, Visitor, Visitors

if TYPE_CHECKING:
    from himmel.methods.session import Session
    from himmel.serving.server.reading import Readers
    from himmel.serving.studio.asking import Asking

STUDIO_LIMITS: Final = Limits(
    source_bytes=512 * MEBIBYTE, duration=3600.0, read_seconds=120.0, receive_seconds=900.0, requests=64
)
"""What one video, and all of them together, may take."""
_MOST_BODY: Final = 64 * 1024
_UNDER_WAY: Final = 2
"""Long tasks of one browser at once: a time line and a question. Uploads are counted apart, and so are looks."""
_KINDS: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_MOST_LOOKS: Final = 6
"""Windows of pictures that one browser waits for at once."""
_WINDOWS_BYTES: Final = 128 * MEBIBYTE
"""Windows of pictures that are kept for all browsers together; one has about a megabyte."""
# Seconds after which a browser is looked for that is told nothing: older releases of Starlette notice only what fails.
_LOOK: Final = 0.5
Tell = Callable[[dict[str, Any]], None]
Work = Callable[[Tell, threading.Event], None]


@dataclass(frozen=True, kw_only=True)
class StudioSettings:
    """How the page is set up.

    Attributes:
        limits: see `STUDIO_LIMITS`.
        names: host names by which the server may be called, see `Guard`.
        threads: of one answer; None leaves torch's number.
        patience: seconds after which a browser that is not heard of is forgotten.
    """

    limits: Limits = STUDIO_LIMITS
    names: tuple[str, ...] = ()
    threads: int | None = None
    patience: float = 1800.0


class Studio:
    """The page's server. The page is there at once; the model is loaded meanwhile.

    Args:
        make_session: makes the session whose model is asked, in a thread of its own.
        settings: see `StudioSettings`.

    Attributes:
        app: what an ASGI server runs.
    """

    def __init__(self, make_session: "Callable[[], Session]", settings: StudioSettings) -> None:
        self._make_session, self._settings, self._limits = make_session, settings, settings.limits
        self._asking: Asking | None = None
        self._readers: Readers | None = None
        self._trouble = ""
        self._spool = Spool(self._limits)
        self._visitors = Visitors(self._spool, patience=settings.patience)
        self._lookers = Lookers(self._limits)
        self._windows: BoundedCache[bytes | memoryview] = BoundedCache(_WINDOWS_BYTES)
        # Apart from each other, so that nobody who only looks waits for the model.
        self._looking = ThreadPoolExecutor(2 * self._limits.workers, thread_name_prefix="himmel-look")
        self._questions = ThreadPoolExecutor(2, thread_name_prefix="himmel-ask")
        self._receiving = 0
        routes = [
            Route("/", self._page),
            Route("/page/{name}", self._file),
            Route("/api/state", self._state),
            Route("/api/videos", self._answering(self._upload), methods=["POST"]),
            Route("/api/samples/{name}", self._answering(self._sample), methods=["POST"]),
            Route("/api/videos/{id}", self._answering(self._remove), methods=["DELETE"]),
            Route("/api/videos/{id}/line", self._answering(self._line), methods=["POST"]),
            Route("/api/videos/{id}/pictures", self._answering(self._pictures)),
            Route("/api/videos/{id}/ask", self._answering(self._ask), methods=["POST"]),
            Route("/api/budget", self._answering(self._budget), methods=["POST"]),
        ]
        guard = Middleware(Guard, names=settings.names)
        self.app = Starlette(routes=routes, middleware=[guard], lifespan=self._live)

    @asynccontextmanager
    async def _live(self, app: Starlette) -> AsyncIterator[None]:
        del app
        tasks = [asyncio.create_task(asyncio.to_thread(self._load)), asyncio.create_task(self._tidy())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for pool in (self._looking, self._questions):
                pool.shutdown(wait=False, cancel_futures=True)
            self._lookers.close()
            if self._readers is not None:
                self._readers.close()
            self._spool.close()

    def _load(self) -> None:
        """Load what takes seconds, beside the page that shows already."""
        try:
            from himmel.serving.server.reading import Readers
            from himmel.serving.studio.asking import Asking

            readers = Readers(replace(self._limits, workers=1))
            self._asking = Asking(self._make_session(), threads=self._settings.threads)
            self._readers = readers
        except HimmelError as error:
            self._trouble = str(error)
        except ModuleNotFoundError as error:
            self._trouble = str(missing_package(error) or error)
        except Exception as error:
            self._trouble = f"The model cannot be loaded ({type(error).__name__}: {error})."

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(min(30.0, self._settings.patience))
            self._visitors.forget()

    def _answering(self, answer: Callable[[Request, Visitor], Any]) -> Callable[[Request], Any]:
        async def respond(request: Request) -> Response:
            try:
                answered: Response = await answer(request, self._visitors.find(request.cookies.get(_cookie(request))))
                return answered
            except (Refusal, HimmelError) as error:
                refusal = refuse(error)
                return JSONResponse({"error": refusal.said}, refusal.status, refusal.headers)
            except ClientDisconnect:
                return Response(status_code=499)

        return respond

    async def _page(self, request: Request) -> Response:
        try:
            visitor = self._visitors.welcome(request.cookies.get(_cookie(request)))
        except Refusal as refusal:
            return Response(refusal.said, refusal.status, refusal.headers, "text/plain")
        response = _read_page("index.html")
        # Also sent where a link of another site leads here, which would begin anew otherwise; `Guard` refuses the rest.
        response.set_cookie(_cookie(request), visitor.token, httponly=True, samesite="lax")
        return response

    async def _file(self, request: Request) -> Response:
        name = str(request.path_params["name"])
        names = {one.name for one in files("himmel.serving.studio").joinpath("page").iterdir()}
        return _read_page(name) if name in names else Response("There is no such file.", 404)

    async def _state(self, request: Request) -> Response:
        del request
        told: dict[str, Any] = {
            "samples": get_args(SampleClip),
            "anchor_modes": get_args(AnchorMode),
            "backends": get_args(Backend),
            "window": WINDOW,
            "upload_bytes": self._limits.source_bytes,
            "trouble": self._trouble,
        }
        ready = self._asking is not None and self._readers is not None
        return JSONResponse(told | {"ready": ready, **(self._asking.about() if ready and self._asking else {})})

    async def _upload(self, request: Request, visitor: Visitor) -> Response:
        if self._receiving >= self._limits.workers + 2:
            raise too_many("Other videos are being sent just now; try again in a moment.")
        name = unquote(request.headers.get("x-file-name", "video"))[:200]
        visitor.begin("upload", _UNDER_WAY)
        self._receiving += 1
        try:
            with self._spool.writing(self._limits.source_bytes) as writer:
                async with asyncio.timeout(self._limits.receive_seconds):
                    async for piece in request.stream():
                        await asyncio.to_thread(writer.write, piece)
                held = ExitStack()
                stored = held.enter_context(writer.kept())
        except TimeoutError:
            said = f"Sending the video took more than {self._limits.receive_seconds:g} seconds; choose a smaller one."
            raise Refusal(408, said, code="timeout") from None
        finally:
            self._receiving -= 1
            visitor.end("upload")
        return _describe(self._visitors.add(visitor, name, stored, held))

    async def _sample(self, request: Request, visitor: Visitor) -> Response:
        name = str(request.path_params["name"])
        path = await asyncio.to_thread(get_sample_clip, name)  # type: ignore[arg-type]
        stored = await asyncio.to_thread(self._spool.hash_of, path.resolve(), self._limits.source_bytes)
        return _describe(self._visitors.add(visitor, path.name, stored, ExitStack()))

    async def _remove(self, request: Request, visitor: Visitor) -> Response:
        self._visitors.drop(visitor, request.path_params["id"])
        return JSONResponse({})

    async def _line(self, request: Request, visitor: Visitor) -> Response:
        shown = self._visitors.video(visitor, request.path_params["id"])
        asked = check(Streams, await _body(request))

        def work(tell: Tell, given_up: threading.Event) -> None:
            line = LineTask(shown.path, self._limits, **asked.model_dump())
            stages: list[tuple[str, str, Task]] = [
                ("line", "Reading motion and anchors", line),
                ("cuts", "Looking for cuts", CutsTask(shown.path, asked.backend)),
                ("bits", "Counting bits", BitsTask(shown.path)),
            ]
            for place, (name, stage, task) in enumerate(stages):
                if given_up.is_set():
                    return
                tell({"stage": stage, "done": place, "of": len(stages)})
                found = self._lookers.look(task)
                if name == "line":
                    shown.scale = found["scale"]
                    found = {**found, "scale": asdict(found["scale"])}
                tell({name: found})

        return self._stream(request, visitor, work, self._looking)

    async def _pictures(self, request: Request, visitor: Visitor) -> Response:
        shown = self._visitors.video(visitor, request.path_params["id"])
        first, backend = request.query_params.get("first", ""), request.query_params.get("backend", "auto")
        if not first.isdecimal() or len(first) > 9 or int(first) % WINDOW or backend not in get_args(Backend):
            raise Refusal(400, "There are no such pictures.", code="invalid_value")
        if shown.scale is None:
            raise Refusal(409, "The time line is not read yet; wait for it.", code="too_early")
        # Pictures of another time line have other colours.
        key = shown.stored.sha256, shown.scale, int(first), backend
        body = self._windows.get(key)
        if body is None:
            task = PicturesTask(shown.path, int(first), backend, shown.scale)  # type: ignore[arg-type]
            visitor.begin("look", _MOST_LOOKS)
            try:
                found = await asyncio.get_running_loop().run_in_executor(self._looking, self._lookers.look, task)
            finally:
                visitor.end("look")
            body = JSONResponse(found).body
            self._windows.put(key, body, len(body))
        return Response(body, media_type="application/json")

    async def _ask(self, request: Request, visitor: Visitor) -> Response:
        from himmel.serving.server.reading import Medium

        shown = self._visitors.video(visitor, request.path_params["id"])
        asked = check(Asked, await _body(request))
        asking, readers = self._ready()
        medium = Medium("video", (shown.stored.sha256,), paths=(shown.path,), readers=readers)

        def work(tell: Tell, given_up: threading.Event) -> None:
            asking.ask(asked, medium, tell, given_up)

        return self._stream(request, visitor, work, self._questions)

    async def _budget(self, request: Request, visitor: Visitor) -> Response:
        del visitor
        costs = check(Costs, await _body(request))
        asking, _ = self._ready()
        return JSONResponse(await asyncio.get_running_loop().run_in_executor(self._questions, asking.budget, costs))

    def _ready(self) -> "tuple[Asking, Readers]":
        if self._asking is None or self._readers is None:
            said = self._trouble or "The model is still being loaded; try again in some seconds."
            raise Refusal(503, said, code="loading", retry_after=5)
        return self._asking, self._readers

    def _stream(self, request: Request, visitor: Visitor, work: Work, pool: ThreadPoolExecutor) -> Response:
        """What is told while work is done in a thread, a line of JSON each; a browser that goes away ends it."""
        visitor.begin("task", _UNDER_WAY)
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        given_up = threading.Event()

        def tell(told: dict[str, Any] | None) -> None:
            # The loop may have ended with the server.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(queue.put_nowait, told)

        def run() -> None:
            try:
                work(tell, given_up)
            except Exception as error:
                tell({"error": refuse(error).said})
            finally:
                visitor.end("task")
                tell(None)

        async def lines() -> AsyncIterator[bytes]:
            try:
                while not await request.is_disconnected():
                    try:
                        told = await asyncio.wait_for(queue.get(), _LOOK)
                    except TimeoutError:
                        continue
                    if told is None:
                        return
                    yield json.dumps(told).encode() + b"\n"
            finally:
                given_up.set()

        pool.submit(run)
        return StreamingResponse(lines(), media_type="application/x-ndjson")


def _cookie(request: Request) -> str:
    """Its name: browsers give cookies of one host to all its ports, where other pages of this kind may be."""
    return f"himmel_studio_{request.url.port or request.url.scheme}"


async def _body(request: Request) -> bytes:
    pieces = b""
    async for piece in request.stream():
        pieces += piece
        if len(pieces) > _MOST_BODY:
            raise Refusal(
                413, f"The request is larger than {_MOST_BODY:,} bytes; ask a shorter question.", code="large"
            )
    return pieces


def _describe(shown: Shown) -> Response:
    return JSONResponse({"id": shown.id, "name": shown.name, "bytes": shown.stored.size})


def _read_page(name: str) -> Response:
    path = files("himmel.serving.studio").joinpath("page").joinpath(name)
    kind = _KINDS.get("." + name.rpartition(".")[2], "application/octet-stream")
    return Response(path.read_bytes(), media_type=kind)
