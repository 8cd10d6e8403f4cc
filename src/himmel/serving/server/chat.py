"""`/v1/chat/completions`: from a request to its reply, whichever way it ends."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from himmel.methods.answer import Answer
from himmel.serving.server.door import Door, gone, owner_of
from himmel.serving.server.engine import Engine, Job
from himmel.serving.server.limits import Limits
from himmel.serving.server.messages import Asked, parse
from himmel.serving.server.metrics import Metrics
from himmel.serving.server.reading import Medium
from himmel.serving.server.refusal import Refusal, refuse
from himmel.serving.server.replies import Reply, event
from himmel.serving.server.sources import Sources, is_remote
from himmel.serving.server.writing import Writing
from himmel.video.live import LiveSpan

_BRINGING = 8


class Chat:
    """Answers chat requests.

    Args:
        engine: what answers questions.
        sources: what brings videos and pictures.
        door: counts who is inside.
        limits: see `Limits`.
        metrics: told what happens.
        models: names of methods that can be asked.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        sources: Sources,
        door: Door,
        limits: Limits,
        metrics: Metrics,
        models: tuple[str, ...],
    ) -> None:
        self._engine, self._sources, self._door = engine, sources, door
        self._limits, self._metrics, self._models = limits, metrics, models
        self._pool = ThreadPoolExecutor(_BRINGING, thread_name_prefix="himmel-sources")
        self._fetching = ThreadPoolExecutor(_BRINGING, thread_name_prefix="himmel-fetch")

    def close(self) -> None:
        """Bring nothing more."""
        for pool in (self._pool, self._fetching):
            pool.shutdown(wait=False, cancel_futures=True)

    async def respond(self, request: Request) -> Response:
        """The response to a request.

        Raises:
            Refusal: there is none.
        """
        begin = time.perf_counter()
        deadline = time.monotonic() + self._limits.request_seconds
        model = ""
        async with AsyncExitStack() as stack:
            try:
                with self._door.carrying(request) as most:
                    self._engine.check()
                    asked = parse(await self._door.receive(request, most), self._limits, models=self._models)
                    model = asked.model
                    job = await self._job(asked, stack, deadline, owner_of(request))
                    # The bytes of data: URLs are counted no longer, so they must not be kept.
                    asked = asked.without_urls()
                task = await stack.enter_async_context(_working(self._engine, job))
                watch = await stack.enter_async_context(_watching(request))
                if asked.stream:
                    await _first(task, job.writing, watch)
                else:
                    await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
                if watch.done() and not task.done():
                    raise gone()
                if task.done():
                    task.result()
            except Refusal as refusal:
                # As the cause of itself, it would be kept with all that the request brought until garbage is collected.
                self._count(model, refusal)
                raise
            except Exception as error:
                raise self._count(model, refuse(error)) from error
            streaming = _Streaming(self, asked, job, task, watch, begin, stack.pop_all())
        if asked.stream:
            return _EventStream(streaming)
        async with streaming.stack:
            answer = task.result()
            self.count(asked, job, answer, begin)
            return JSONResponse(Reply(asked, job.writing, _window_of(job)).whole(answer))

    async def _job(self, asked: Asked, stack: AsyncExitStack, deadline: float, owner: str) -> Job:
        held = stack.enter_context(ExitStack())
        loop = asyncio.get_running_loop()
        # Hosts that are slow don't keep those waiting who bring their videos themselves.
        pool = self._fetching if any(is_remote(source) for source in asked.sources) else self._pool
        bring = partial(self._sources.bring, asked.sources, held, owner=owner, deadline=deadline)
        medium = await loop.run_in_executor(pool, bring)
        host = self._engine.session.host_of(asked.method)
        writing = Writing(host.decode_text, stops=asked.stops, most=asked.decoding.max_new_tokens, deadline=deadline)
        return Job(asked.method, medium, asked.question, asked.decoding, writing, deadline)

    def count(self, asked: Asked, job: Job, answer: Answer, begin: float) -> None:
        """Count a request that was answered."""
        now = time.perf_counter()
        self._metrics.requests.labels(asked.model, "answered").inc()
        self._metrics.answer.labels(asked.model).observe(now - begin)
        self._metrics.first_token.labels(asked.model).observe((job.writing.first or now) - begin)
        self._metrics.add_tokens({**answer.tokens, "cached": answer.cached_tokens, "answer": len(job.writing.tokens)})

    def _count(self, model: str, refusal: Refusal) -> Refusal:
        outcome = "gone" if refusal.status == 499 else "refused" if refusal.status < 500 else "failed"
        self._metrics.requests.labels(model, outcome).inc()
        return refusal

    async def pieces(self, streaming: "_Streaming") -> AsyncGenerator[bytes, None]:
        """A stream's events; an error that comes late is the last of them."""
        try:
            async for piece in self._pieces(streaming):
                yield piece
        except GeneratorExit:
            # The client takes no more.
            self._count(streaming.asked.model, gone())
            raise

    async def _pieces(self, streaming: "_Streaming") -> AsyncGenerator[bytes, None]:
        asked, job, task = streaming.asked, streaming.job, streaming.task
        reply = Reply(asked, job.writing, _window_of(job))
        yield reply.opening()
        while not task.done():
            if piece := reply.piece():
                yield piece
            await _first(task, job.writing, streaming.watch)
            if streaming.watch.done() and not task.done():
                self._count(asked.model, gone())
                return
        try:
            answer = task.result()
        except Exception as error:
            yield event(self._count(asked.model, refuse(error)).body)
            return
        yield reply.closing(answer)
        self.count(asked, job, answer, streaming.begin)


def _window_of(job: Job) -> LiveSpan | None:
    return job.medium.window if isinstance(job.medium, Medium) else None


class _Streaming:
    """A stream that has begun, and all that ends with it."""

    def __init__(
        self,
        chat: Chat,
        asked: Asked,
        job: Job,
        task: "asyncio.Task[Answer]",
        watch: "asyncio.Task[None]",
        begin: float,
        stack: AsyncExitStack,
    ) -> None:
        self.chat, self.asked, self.job, self.task, self.watch = chat, asked, job, task, watch
        self.begin, self.stack = begin, stack


class _EventStream(Response):
    """Server-sent events; nothing goes on once the client has gone."""

    media_type = "text/event-stream"

    def __init__(self, streaming: _Streaming) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        # Its length is not known.
        del self.headers["content-length"]
        self._streaming = streaming

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what comes as it comes."""
        del scope, receive
        async with self._streaming.stack:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async with aclosing(self._streaming.chat.pieces(self._streaming)) as pieces:
                async for piece in pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _first(task: "asyncio.Task[Answer]", writing: Writing, watch: "asyncio.Task[None]") -> None:
    """Wait until there is more of an answer, or its end, or nobody who reads it."""
    news = asyncio.create_task(writing.news())
    try:
        await asyncio.wait({task, news, watch}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        news.cancel()


@asynccontextmanager
async def _working(engine: Engine, job: Job) -> AsyncIterator["asyncio.Task[Answer]"]:
    """A job under way; given up where the block ends before it."""
    task = asyncio.create_task(engine.answer(job))
    async with _ended(task):
        yield task


@asynccontextmanager
async def _watching(request: Request) -> AsyncIterator["asyncio.Task[None]"]:
    """What is done once the client has gone."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task = asyncio.create_task(watch())
    async with _ended(task):
        yield task


@asynccontextmanager
async def _ended(task: "asyncio.Task[Any]") -> AsyncIterator[None]:
    try:
        yield
    finally:
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError, Refusal):
                await task
