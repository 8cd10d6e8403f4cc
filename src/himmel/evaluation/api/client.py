"""One question to an OpenAI-compatible chat completions API, by the `openai` package, which also tries again."""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import openai
from pydantic import BaseModel, ValidationError

from himmel.errors import HimmelError
from himmel.evaluation.api.messages import as_content, most_prompt_tokens
from himmel.evaluation.api.money import Prices
from himmel.evaluation.api.settings import ApiSettings, Key
from himmel.methods.parts import Part

_LONGEST_MESSAGE: Final = 300
_OPTIONAL: Final = ("max_tokens", "temperature", "seed")
_NO_MONEY: Final = 402
_MAY_PASS: Final = (408, 409, 429)
_LATER: Final = "ask again later"


class ApiTroubleError(HimmelError):
    """A question got no answer, for a reason that may pass: it can be asked again later.

    Attributes:
        may_cost: whether an answer may have been made, and billed, that didn't arrive.
    """

    def __init__(self, sentence: str, *, may_cost: bool = False) -> None:
        super().__init__(sentence)
        self.may_cost = may_cost


class ApiRefusalError(HimmelError):
    """The API refused one request for what is in it: a prompt that is too long, a picture that it won't look at."""


@dataclass(frozen=True)
class ApiAnswer:
    """What the API said.

    Attributes:
        text: the answer; None where there is none, as when reasoning took all tokens.
        finish: why it ended, in the API's words, such as "stop", "length" or "content_filter"; None if it didn't say.
        prompt_tokens, answer_tokens: as the API counted them; None where it didn't.
        cost: by the stated prices; None without prices or counts.
        model: the model's name as the API gave it; None if it didn't.
        sent: the options that were sent with the prompt.
        seconds: from the request to the answer, further attempts included.
    """

    text: str | None
    finish: str | None
    prompt_tokens: int | None
    answer_tokens: int | None
    cost: float | None
    model: str | None
    sent: dict[str, float | int]
    seconds: float


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int = 0


class _Completion(BaseModel):
    """What is read of a chat completion; anything else in it may be there or not."""

    choices: list[_Choice]
    usage: _Usage | None = None
    model: str | None = None


class Api:
    """A model behind an API, for the requests of one event loop.

    Args:
        settings: which API and how it is asked.
        key: see `find_key`.
        prices: what tokens cost; None counts tokens alone.

    Examples:
        >>> async with Api(ApiSettings(model="gpt-5.4"), find_key(DEFAULT_URL)) as api:  # doctest: +SKIP
        ...     answer = await api.ask(["What is in the picture?", picture])
    """

    def __init__(self, settings: ApiSettings, key: Key, *, prices: Prices | None = None) -> None:
        self.settings = settings
        self.prices = prices
        self._key = key
        self._refused: frozenset[str] = frozenset()
        self._client = openai.AsyncOpenAI(
            api_key=key.secret, base_url=settings.url, timeout=settings.seconds, max_retries=settings.retries
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    def __repr__(self) -> str:
        return f"Api(url={self.settings.url!r}, model={self.settings.model!r})"

    def most_cost(self, parts: Sequence[Part]) -> float:
        """The most that asking these parts may cost, see `most_prompt_tokens`; 0 without prices."""
        if self.prices is None:
            return 0.0
        return self.prices.cost(most_prompt_tokens(parts), self.settings.max_new_tokens)

    async def ask(self, parts: Sequence[Part], *, system: str | None = None) -> ApiAnswer:
        """Ask one question.

        An option that the API refuses by name (some models take no temperature or seed, or call the limit of tokens
        otherwise) is left out or renamed, from then on.

        Args:
            parts: texts and pictures, in the order in which the model sees them.
            system: a system message; None sends none.

        Raises:
            ApiTroubleError: no answer, or none that can be read, after all attempts.
            ApiRefusalError: the API refuses this request.
            HimmelError: it will refuse every request: the key, the model's name, the address or the account is not
                good for it.
        """
        messages: list[dict[str, Any]] = [] if system is None else [{"role": "system", "content": system}]
        messages.append({"role": "user", "content": as_content(parts)})
        begun = time.perf_counter()
        refused = self._refused
        while True:
            sent = _options(self.settings, refused)
            try:
                completion = await self._complete(messages, sent)
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                # One after the other: a server may name one that it refuses and one that it takes in its place.
                named = [name for name in _OPTIONAL if name in sent and re.search(rf"\b{name}\b", error.message)]
                if not named:
                    raise self._explain(error) from None
                refused = refused | {named[0]}
            except openai.OpenAIError as error:
                raise self._explain(error) from None
            else:
                self._refused = refused
                return self._answer(completion, sent, time.perf_counter() - begun)

    async def _complete(self, messages: list[dict[str, Any]], sent: dict[str, float | int]) -> _Completion:
        # The package's limit is for each wait on the network, and a server that sends a byte now and then keeps it.
        whole = 2 * self.settings.seconds * (self.settings.retries + 1)
        create: Any = self._client.chat.completions.with_raw_response.create
        try:
            async with asyncio.timeout(whole):
                raw = await create(model=self.settings.model, messages=messages, **sent)
        except TimeoutError:
            raise ApiTroubleError(
                f"{self.settings.url} gave no whole answer within {whole:g} s; {_LATER}.", may_cost=True
            ) from None
        text = self._key.hide(raw.text)
        try:
            completion = _Completion.model_validate_json(text)
        except ValidationError:
            raise ApiTroubleError(
                f"{self.settings.url} sent something else than a chat completion ({_shorten(text)!r}); check the URL.",
                may_cost=True,
            ) from None
        if not completion.choices:
            raise ApiTroubleError(
                f"{self.settings.url} sent a chat completion without an answer; {_LATER}.", may_cost=True
            )
        return completion

    def _answer(self, completion: _Completion, sent: dict[str, float | int], seconds: float) -> ApiAnswer:
        choice, usage = completion.choices[0], completion.usage
        counts = None if usage is None else (usage.prompt_tokens, usage.completion_tokens)
        return ApiAnswer(
            text=choice.message.content or None,
            finish=choice.finish_reason,
            prompt_tokens=None if counts is None else counts[0],
            answer_tokens=None if counts is None else counts[1],
            cost=None if counts is None or self.prices is None else self.prices.cost(*counts),
            model=completion.model,
            sent=sent,
            seconds=seconds,
        )

    def _explain(self, error: openai.OpenAIError) -> HimmelError:
        """The error as one sentence, without the key, as one of the three kinds that `ask` raises."""
        url, model = self.settings.url, self.settings.model
        if isinstance(error, openai.APITimeoutError):
            return ApiTroubleError(f"{url} did not answer within {self.settings.seconds:g} s; {_LATER}.", may_cost=True)
        said = _shorten(self._key.hide(_words(error)))
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            return HimmelError(f"{url} refuses the key ({said}); set {self._key.variable} to a key for it.")
        if isinstance(error, openai.NotFoundError):
            return HimmelError(
                f"{url} has no model {model!r}, or is no API ({said}); check the name and the URL, which mostly ends "
                "in /v1."
            )
        if isinstance(error, openai.APIStatusError):
            if error.status_code == _NO_MONEY or error.code == "insufficient_quota":
                return HimmelError(f"The account at {url} has nothing left to spend ({said}); pay some in.")
            if error.status_code in _MAY_PASS or error.status_code >= 500:
                return ApiTroubleError(f"{url} failed with status {error.status_code} ({said}); {_LATER}.")
            return ApiRefusalError(f"{url} refuses the request with status {error.status_code} ({said}).")
        return ApiTroubleError(f"{url} cannot be reached ({said}); {_LATER}.")


def _options(settings: ApiSettings, refused: frozenset[str]) -> dict[str, float | int]:
    """The options to send; the limit of tokens has another name in newer APIs."""
    limit = "max_completion_tokens" if "max_tokens" in refused else "max_tokens"
    options = {"temperature": settings.temperature, "seed": settings.seed, limit: settings.max_new_tokens}
    return {name: value for name, value in options.items() if name not in refused}


def _words(error: openai.OpenAIError) -> str:
    """What an error says: the server's own message if there is one, else what the network said."""
    if isinstance(error, openai.APIStatusError):
        body = error.body
        message = body.get("message") if isinstance(body, dict) else None
        return message if isinstance(message, str) else error.message
    return str(error.__cause__ or error)


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}..."
