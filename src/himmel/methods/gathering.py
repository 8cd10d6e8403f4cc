"""Questions that come one after another and are answered together, and the record of each answer."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from himmel._memory import peak_memory
from himmel._versions import versions
from himmel.methods.answer import Answer, share_out
from himmel.methods.asking import Asking, scoring_of
from himmel.methods.choice import option_values
from himmel.methods.decoding import Decoding
from himmel.methods.memory import VideoMemory
from himmel.methods.models import Models
from himmel.methods.prepared import Prepared
from himmel.methods.protocol import Method, Reply
from himmel.methods.question import Question
from himmel.methods.request import Request
from himmel.model.threads import torch_threads


@dataclass(eq=False)
class _Asked:
    """A question on its way; `seconds` are by stage, so far."""

    prepared: Prepared
    question: Question
    decoding: Decoding
    begin: float
    seconds: dict[str, float] = field(default_factory=dict)


class Gathering:
    """Questions of one method that are answered together: more may join at any time, and each ends by itself.

    For one thread. `Session.gather` makes it.

    Args:
        models, memory: of the session.
        request: method and threads.
        asking: of the method.
    """

    def __init__(self, models: Models, memory: VideoMemory, request: Request, asking: Asking) -> None:
        self._models, self._memory, self._request, self._asking = models, memory, request, asking
        self._threads = request.threads or models.few_threads(request.method)
        self._asked: dict[int, _Asked] = {}

    @classmethod
    def begin(cls, models: Models, memory: VideoMemory, request: Request) -> "Gathering | None":
        """One without questions; None where the method takes none meanwhile.

        Raises:
            HostError: as `Session.model`.
        """
        model = models.get(request.method)
        asking = request.method.asking(model, request.method.processor(model))
        return None if asking is None else cls(models, memory, request, asking)

    @property
    def method(self) -> Method:
        """By which all of them are asked."""
        return self._request.method

    @property
    def count(self) -> int:
        """Questions that have no answer yet."""
        return self._asking.count

    def join(self, prepared: Prepared, question: Question, decoding: Decoding) -> int:
        """Ask one more question; returns the number by which `step` names it.

        Args:
            prepared, question, decoding: see `Session.answer`.

        Raises:
            UsageError, HostError: as `Session.answer`.
        """
        asked = _Asked(prepared, question, decoding, time.perf_counter(), dict(prepared.seconds))
        with torch_threads(self._threads):
            shown, looked = self._memory.see(self._models.get(self.method), self.method, prepared)
        if looked:
            asked.seconds["see"] = time.perf_counter() - asked.begin
        number = self._asking.join(shown, question, decoding)
        self._asked[number] = asked
        return number

    def step(self) -> dict[int, Answer | Exception]:
        """Go on by one token of each answer.

        Returns:
            Answers, and errors that concern one question alone, by number; of those that ended with this step.

        Raises:
            Exception: no answer that is being written can go on.
        """
        start, among = time.perf_counter(), len(self._asked)
        with torch_threads(self._threads):
            outcomes = self._asking.step()
        share = (time.perf_counter() - start) / max(among, 1)
        for asked in self._asked.values():
            asked.seconds["answer"] = asked.seconds.get("answer", 0.0) + share
        return {number: self._tell(self._asked.pop(number), outcome) for number, outcome in outcomes.items()}

    def drop(self, number: int) -> bool:
        """Give a question up, if nothing was done for it yet; returns whether that was so."""
        dropped = self._asking.drop(number)
        if dropped:
            del self._asked[number]
        return dropped

    def _tell(self, asked: _Asked, outcome: Reply | Exception) -> Answer | Exception:
        if isinstance(outcome, Exception):
            return outcome
        try:
            return record(
                self._models,
                self.method,
                asked.question,
                asked.prepared,
                asked.decoding,
                outcome,
                asked.seconds,
                begin=asked.begin,
            )
        except Exception as error:
            return error


def record(
    models: Models,
    method: Method,
    question: Question,
    prepared: Prepared,
    decoding: Decoding,
    reply: Reply,
    seconds: Mapping[str, float],
    *,
    begin: float,
) -> Answer:
    """The answer that a reply is, with everything that was read to give it.

    Args:
        models: of the session.
        method, question, prepared, decoding: what was asked.
        reply: to it.
        seconds: see `Answer`.
        begin: when it was asked, on the clock `time.perf_counter`.

    Raises:
        HostError: a likelihood is not a number.
    """
    choices = share_out(question.choices, reply.likelihoods, reply.scores) if question.choices else ()
    return Answer(
        text=max(choices, key=lambda one: one.score).text if choices else reply.text,
        question=question.text,
        choices=choices,
        method=method.name,
        options=option_values(method),
        video=prepared.video,
        host=models.get(method).host.folder,
        adapter=models.adapter_of(method),
        tokens={str(kind): count for kind, count in reply.tokens.items()},
        removed=reply.removed,
        prompt_sha256=reply.prompt_sha256,
        scoring=scoring_of(question, models.get(method)),
        listing=question.listing,
        answer_form=question.answer_form,
        max_new_tokens=decoding.max_new_tokens,
        seed=decoding.seed,
        seconds=dict(seconds),
        first_token=reply.first_token - begin,
        peak_memory=peak_memory(),
        notes=prepared.notes,
        versions=versions(),
        cached_tokens=reply.cached,
    )
