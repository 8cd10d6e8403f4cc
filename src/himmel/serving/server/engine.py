"""One model, the requests that wait for it, and the thread that answers them together.

A request's video is read and prepared by threads of their own, which wait for the workers; requests about the same
video by the same method share that. Those that are ready are answered together, a token each at every step: what comes
meanwhile joins between two steps, and each answer ends by itself. Methods that keep a cache of their own for each
question answer whole batches.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from traceback import clear_frames

from himmel.errors import HimmelError
from himmel.methods.answer import Answer
from himmel.methods.decoding import Decoding
from himmel.methods.gathering import Gathering
from himmel.methods.prepared import Prepared
from himmel.methods.protocol import Method
from himmel.methods.question import Question
from himmel.methods.session import Session
from himmel.methods.source import Readable
from himmel.serving.server.limits import Limits
from himmel.serving.server.metrics import Metrics
from himmel.serving.server.refusal import Refusal, refuse, too_many
from himmel.serving.server.writing import Writing

_log = logging.getLogger("himmel.serve")


@dataclass(eq=False)
class Job:
    """One question on its way.

    Attributes:
        method: how its video becomes a prompt.
        medium: what it is about.
        question: what is asked.
        decoding: how the answer is made.
        writing: where it is written.
        deadline: when its time is up, on the clock `time.monotonic`.
    """

    method: Method
    medium: Readable
    question: Question
    decoding: Decoding
    writing: Writing
    deadline: float
    prepared: Prepared | None = None
    done: "asyncio.Future[Answer]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def heard(self) -> Decoding:
        """How the answer is made, told to `writing` token by token."""
        return replace(self.decoding, hear=self.writing.hear)


class _Group:
    """Jobs of one method that are being answered together, by their number in `gathering`."""

    def __init__(self, gathering: Gathering) -> None:
        self.gathering = gathering
        self.jobs: dict[int, Job] = {}

    def add(self, job: Job) -> None:
        """Answer one more.

        Raises:
            UsageError, HostError: it cannot be asked.
        """
        assert job.prepared is not None
        self.jobs[self.gathering.join(job.prepared, job.question, job.heard)] = job

    def drop(self, number: int) -> None:
        """Leave out one, if nothing was done for it yet."""
        if self.gathering.drop(number):
            del self.jobs[number]


class Engine:
    """Answers questions of any number of coroutines with one session.

    Args:
        session: whose model is asked; nothing else should ask it meanwhile.
        limits: see `Limits`.
        metrics: told what happens.
        threads: of torch and of one answer; None leaves torch's number.
    """

    def __init__(self, session: Session, limits: Limits, metrics: Metrics, *, threads: int | None = None) -> None:
        self.session = session
        self._limits, self._metrics, self._threads = limits, metrics, threads
        self._preparing: dict[Hashable, asyncio.Task[Prepared]] = {}
        self._ready: deque[Job] = deque()
        self._changed = threading.Condition()
        self._waiting = 0
        self._stopped = False
        self._pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="himmel-prepare")
        self._thread = threading.Thread(target=self._work, name="himmel-answer", daemon=True)
        self._thread.start()
        metrics.watch("himmel_queue", "Requests that wait for their video or the model.", lambda: self._waiting)

    def close(self) -> None:
        """Answer nothing more."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def check(self) -> None:
        """See that one more request can be taken in.

        Raises:
            Refusal: the queue is full.
        """
        if self._waiting >= self._limits.queue:
            raise too_many(f"{self._waiting} requests wait already; try again later.")

    async def answer(self, job: Job) -> Answer:
        """Answer a question; cancelling gives it up.

        Raises:
            Refusal: it cannot be answered.
        """
        self.check()
        self._waiting += 1
        try:
            try:
                job.prepared = await self._prepare(job)
            except BaseException:
                self._waiting -= 1
                raise
            with self._changed:
                self._ready.append(job)
                self._changed.notify()
            return await job.done
        except asyncio.CancelledError:
            job.writing.give_up()
            raise
        except Refusal:
            raise
        except Exception as error:
            raise refuse(error) from error

    async def _prepare(self, job: Job) -> Prepared:
        """What the model needs of a job's video; jobs that need the same at once wait for one reading."""
        key = job.medium, job.method
        task = self._preparing.get(key)
        shared = task is not None
        if task is None:
            task = asyncio.create_task(self._prepare_now(job.medium, job.method))
            self._preparing[key] = task
            task.add_done_callback(lambda _: self._preparing.pop(key, None))
        try:
            # Who else waits for it must not lose it when this one gives up.
            async with asyncio.timeout(max(job.deadline - time.monotonic(), 0.0)):
                found = await asyncio.shield(task)
        except TimeoutError:
            raise _late() from None
        hit = shared or not found.seconds
        self._metrics.cache.labels("hit" if hit else "miss").inc()
        return replace(found, seconds={}) if shared else found

    async def _prepare_now(self, medium: Readable, method: Method) -> Prepared:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._pool, lambda: self.session.prepare(medium, method=method))
        self._metrics.add_seconds(found.seconds)
        return found

    def _work(self) -> None:
        """What the answering thread does: let requests in, and go on by one token of every answer, again and again."""
        groups: dict[Method, _Group] = {}
        while True:
            with self._changed:
                while not (self._ready or groups or self._stopped):
                    self._changed.wait()
                if self._stopped:
                    return
                room = self._limits.batch - sum(len(group.jobs) for group in groups.values())
                jobs = [self._ready.popleft() for _ in range(min(room, len(self._ready)))]
            self._let_in([job for job in jobs if self._is_wanted(job)], groups)
            if groups:
                self._metrics.batch.observe(sum(len(group.jobs) for group in groups.values()))
            for method, group in list(groups.items()):
                self._step(group)
                if not group.jobs:
                    del groups[method]

    def _let_in(self, jobs: list[Job], groups: dict[Method, "_Group"]) -> None:
        """Add jobs to the group of their method; where that takes none, answer them now."""
        whole: dict[Method, list[Job]] = {}
        for job in jobs:
            try:
                group = groups.get(job.method)
                if group is None:
                    gathering = self.session.gather(method=job.method, threads=self._threads)
                    if gathering is None:
                        whole.setdefault(job.method, []).append(job)
                        continue
                    group = groups[job.method] = _Group(gathering)
                group.add(job)
            except Exception as error:
                self._finish(job, error)
        for together in whole.values():
            self._answer(together)

    def _step(self, group: "_Group") -> None:
        for number, job in list(group.jobs.items()):
            if not (job.writing.tokens or self._is_wanted(job)):
                group.drop(number)
        try:
            outcomes = group.gathering.step()
        except Exception as error:
            _log.exception("%d answers failed while they were written", len(group.jobs))
            _let_go(error)
            outcomes = dict.fromkeys(group.jobs, error)
        for number, outcome in outcomes.items():
            job = group.jobs.pop(number)
            self._finish(job, _late() if job.writing.late else outcome)

    def _answer(self, jobs: list[Job]) -> None:
        """Answer jobs of one method in one batch; where that fails, one by one, so that each fails for itself alone."""
        self._metrics.batch.observe(len(jobs))
        try:
            answers = self._ask(jobs)
        except Exception as error:
            if not isinstance(error, HimmelError):
                _log.exception("A batch of %d requests failed", len(jobs))
            _let_go(error)
            for job in jobs:
                # What was told in part can't be told again.
                if len(jobs) > 1 and not job.writing.tokens:
                    self._answer([job])
                else:
                    self._finish(job, error)
            return
        for job, answer in zip(jobs, answers, strict=True):
            self._finish(job, _late() if job.writing.late else answer)

    def _ask(self, jobs: list[Job]) -> list[Answer]:
        return self.session.answer(
            [job.prepared for job in jobs if job.prepared is not None],
            [job.question for job in jobs],
            [job.heard for job in jobs],
            method=jobs[0].method,
            threads=self._threads,
        )

    def _is_wanted(self, job: Job) -> bool:
        """Whether somebody still waits for a job's answer, and there is time for it."""
        if job.done.cancelled():
            self._finish(job, None)
            return False
        if time.monotonic() >= job.deadline:
            self._finish(job, _late())
            return False
        return True

    def _finish(self, job: Job, outcome: Answer | Exception | None) -> None:
        """Hand a job's outcome to its coroutine; None where that has gone."""

        def hand_over() -> None:
            self._waiting -= 1
            job.writing.end()
            if job.done.done():
                return
            if isinstance(outcome, Answer):
                self._metrics.add_seconds({"answer": outcome.seconds["answer"]})
                job.done.set_result(outcome)
            elif outcome is not None:
                job.done.set_exception(outcome)

        try:
            job.done.get_loop().call_soon_threadsafe(hand_over)
        except RuntimeError:
            # The server has ended.
            return


def _let_go(error: Exception) -> None:
    """Have an error hold no memory of a device any more, which others need before it is told."""
    clear_frames(error.__traceback__)


def _late() -> Refusal:
    return Refusal(
        504,
        "The request took more time than this server allows; ask for fewer tokens, or later.",
        code="timeout",
        retry_after=5,
    )
