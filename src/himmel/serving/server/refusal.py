"""Refusals in the shape in which OpenAI's API gives errors, so that its clients raise what they raise there."""

import logging
from typing import Any, Final

from himmel.errors import HimmelError, PromptTooLongError, UsageError, VideoError
from himmel.methods.removed import NothingRemovedError

_KINDS: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


# What a client sent may be repeated in a sentence; its end says what to do.
_MOST_SAID: Final = 1_000
_MOST_END: Final = 200

_log = logging.getLogger("himmel.serve")


class Refusal(Exception):
    """A request that is not answered.

    Attributes:
        status: of HTTP.
        said: one sentence with what is wrong and what to do; nothing secret is in it. Of a long one, the middle is left
            out.
        code: a word for programs.
        param: the field of the request that is at fault, such as "messages[0].content[1]"; None for none.
        retry_after: seconds after which the same request may be answered; None where it never will.
    """

    def __init__(
        self, status: int, said: str, *, code: str, param: str | None = None, retry_after: int | None = None
    ) -> None:
        if len(said) > _MOST_SAID:
            said = f"{said[: _MOST_SAID - _MOST_END]} ... {said[-_MOST_END:]}"
        super().__init__(said)
        self.status, self.said, self.code, self.param, self.retry_after = status, said, code, param, retry_after

    @property
    def body(self) -> dict[str, Any]:
        """As OpenAI's API writes it."""
        kind = _KINDS.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.said, "type": kind, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """Further headers of the response."""
        headers = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        return headers | {"www-authenticate": "Bearer"} if self.status == 401 else headers


def refuse(error: Exception) -> Refusal:
    """The refusal for an error of himmel; any other goes into the log, and the client is told that there was one."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, PromptTooLongError):
        return Refusal(400, str(error), code="context_length_exceeded", param="messages")
    if isinstance(error, NothingRemovedError):
        return Refusal(400, str(error), code="nothing_removed", param="himmel.options")
    if isinstance(error, VideoError):
        return Refusal(400, str(error), code="unreadable_source", param="messages")
    if isinstance(error, UsageError):
        return Refusal(400, str(error), code="invalid_value")
    if isinstance(error, HimmelError):
        return Refusal(500, str(error), code="model_error")
    _log.error("A request failed", exc_info=error)
    said = f"The server failed on this request ({type(error).__name__}); its log has more."
    return Refusal(500, said, code="internal_error")


def too_many(said: str) -> Refusal:
    """A refusal that the client may try again soon; OpenAI's clients do so by themselves."""
    return Refusal(429, said, code="rate_limit_exceeded", retry_after=1)


def shutting_down() -> Refusal:
    """For what comes after SIGTERM."""
    return Refusal(503, "The server is shutting down; ask another one.", code="shutting_down", retry_after=5)
