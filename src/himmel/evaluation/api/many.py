"""Many questions to one API, several at once, within a limit on spending."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from himmel._checks import check_whole
from himmel.errors import HimmelError
from himmel.evaluation.api.client import Api, ApiAnswer, ApiRefusalError, ApiTroubleError
from himmel.evaluation.api.money import Spending, show_cost
from himmel.methods.parts import Part

MOST_AT_ONCE: Final = 256
# One that fails may be at fault itself; so many in a row are the API's fault.
_PATIENCE: Final = 5

Prepared = TypeVar("Prepared")


@dataclass(frozen=True)
class Job(Generic[Prepared]):
    """One question.

    Attributes:
        id: of the question.
        prepare: reads what the question is about, in a thread of its own; may raise `HimmelError`.
        parts: the prompt, of what was read.
        done: takes what was read and the answer, once it is there.
        failed: takes the reason why the question cannot be asked or is refused.
    """

    id: str
    prepare: Callable[[], Prepared]
    parts: Callable[[Prepared], Sequence[Part]]
    done: Callable[[Prepared, ApiAnswer], None]
    failed: Callable[[HimmelError], None]


@dataclass(frozen=True)
class Asked:
    """How it went.

    Attributes:
        unanswered: questions that the API gave no answer to, for a reason that may pass, by id.
        stopped: why not all were asked, in one sentence; None if they were.
        spent: in all, with what was spent before and what may have been billed for answers that didn't arrive.
    """

    unanswered: dict[str, str]
    stopped: str | None
    spent: float = 0.0


async def ask_many(
    jobs: Iterable[Job[Prepared]],
    api: Api,
    *,
    spending: Spending,
    at_once: int,
    system: str | None = None,
    answered: bool = False,
) -> Asked:
    """Ask all questions, `at_once` of them at the same time, in their order.

    A request that is refused is its question's fault once another was answered. Where the first five are refused and
    none was answered, the model can't be asked so, and it stops without blaming questions.

    Args:
        jobs: the questions.
        api: where they go.
        spending: what may be spent, and is.
        at_once: 1 to 256.
        system: see `Api.ask`.
        answered: whether earlier questions of the same kind were answered.

    Raises:
        UsageError: `at_once` is out of range.
        HimmelError: the API would refuse every question, or doesn't say what answers cost although there is a limit;
            answers under way were waited for.
    """
    check_whole("at_once", at_once, 1, MOST_AT_ONCE)
    asking = _Asking(api, spending, iter(jobs), system, answered=answered)
    await asyncio.gather(*(asking.work() for _ in range(at_once)))
    if asking.fatal is not None:
        raise asking.fatal
    if asking.stopped is None:
        asking.blame_refused()
    return Asked(asking.unanswered, asking.stopped, spending.spent)


class _Asking(Generic[Prepared]):
    """What the workers share."""

    def __init__(
        self, api: Api, spending: Spending, jobs: Iterator[Job[Prepared]], system: str | None, *, answered: bool
    ) -> None:
        self._api, self._spending, self._jobs, self._system = api, spending, jobs, system
        self._in_a_row = 0
        self._answered = answered
        self._refused: list[tuple[Job[Prepared], ApiRefusalError]] = []
        self.unanswered: dict[str, str] = {}
        self.stopped: str | None = None
        self.fatal: HimmelError | None = None

    async def work(self) -> None:
        """Ask one question after the other until there are none, or something stopped it all."""
        while self.stopped is None and self.fatal is None and (job := next(self._jobs, None)) is not None:
            try:
                prepared = await asyncio.to_thread(job.prepare)
            except HimmelError as error:
                job.failed(error)
                continue
            await self._ask(job, prepared)

    async def _ask(self, job: Job[Prepared], prepared: Prepared) -> None:
        parts = job.parts(prepared)
        most = self._api.most_cost([*parts, self._system or ""])
        if not await self._spending.set_aside(most):
            self.stopped = (
                f"{show_cost(self._spending.spent)} of {show_cost(self._spending.limit)} is spent, and the next "
                f"question may cost {show_cost(most)}: run it again with a higher --most-cost to go on."
            )
            return
        cost = 0.0
        try:
            answer = await self._api.ask(parts, system=self._system)
            cost = answer.cost or 0.0
        except ApiTroubleError as error:
            # What was not seen may have been billed all the same.
            cost = most if error.may_cost else 0.0
            self._note_trouble(job, error)
        except ApiRefusalError as error:
            self._note_refusal(job, error)
        except HimmelError as error:
            self.fatal = error
        else:
            self._in_a_row = 0
            self._answered = True
            self.blame_refused()
            job.done(prepared, answer)
            if self._spending.limit is not None and answer.cost is None:
                self.fatal = HimmelError(
                    f"{self._api.settings.url} does not say how many tokens an answer took, so that --most-cost cannot "
                    "be kept; leave it out."
                )
        finally:
            await self._spending.settle(most, cost=cost)

    def blame_refused(self) -> None:
        """Count refused requests as their questions' own fault."""
        for job, error in self._refused:
            job.failed(error)
        self._refused.clear()

    def _note_refusal(self, job: Job[Prepared], error: ApiRefusalError) -> None:
        self._refused.append((job, error))
        if self._answered:
            self.blame_refused()
        elif len(self._refused) >= _PATIENCE:
            self.unanswered |= {refused.id: str(why) for refused, why in self._refused}
            self.stopped = (
                f"The first {len(self._refused)} questions are refused, the last one because {error} Choose a model "
                "that can be asked so, or another method."
            )

    def _note_trouble(self, job: Job[Prepared], error: ApiTroubleError) -> None:
        self.unanswered[job.id] = str(error)
        self._in_a_row += 1
        if self._in_a_row >= _PATIENCE:
            self.stopped = f"{_PATIENCE} questions in a row got no answer, the last one because {error}"
