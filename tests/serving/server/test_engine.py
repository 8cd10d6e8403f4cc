"""Jobs that are given up on their way."""

import asyncio
import time
from typing import Any, cast

import pytest

from himmel.methods.decoding import Decoding
from himmel.methods.frames import Dense
from himmel.methods.prepared import Prepared
from himmel.methods.question import Question
from himmel.methods.session import Session
from himmel.serving.server.engine import Engine, Job
from himmel.serving.server.limits import Limits
from himmel.serving.server.metrics import Metrics
from himmel.serving.server.sources import Nothing
from himmel.serving.server.writing import Writing


@pytest.mark.parametrize("turns", range(7))
def test_a_job_given_up_as_its_video_is_ready_is_given_up(turns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many turns of the event loop lie between the two."""
    monkeypatch.setattr(Engine, "_work", lambda engine: None)

    async def give_up() -> bool:
        engine = Engine(cast(Session, None), Limits(), Metrics())
        ready = asyncio.Event()

        async def prepare(*_: Any) -> Prepared:
            await ready.wait()
            return Prepared(cast(Any, None), cast(Any, None), ())

        monkeypatch.setattr(engine, "_prepare_now", prepare)
        deadline = time.monotonic() + 60
        writing = Writing(str, most=1, deadline=deadline)
        job = Job(Dense(), Nothing(), Question("What moves?"), Decoding(), writing, deadline)
        task = asyncio.create_task(engine.answer(job))
        await asyncio.sleep(0.01)
        ready.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=60)
        engine.close()
        return task.cancelled()

    assert asyncio.run(give_up())
