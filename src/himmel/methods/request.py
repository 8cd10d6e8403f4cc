"""What a call brings with it, checked before any work is done for it."""

from dataclasses import dataclass
from typing import Any

from himmel._checks import MOST_SEED, check_whole
from himmel.errors import UsageError
from himmel.methods.choice import build
from himmel.methods.protocol import Method

MOST_THREADS = 256
MOST_NEW_TOKENS = 2**20


@dataclass(frozen=True, kw_only=True)
class Request:
    """How questions are to be answered; the fields are arguments of `Session.ask`.

    Raises:
        UsageError: an option is of a wrong type or out of range.
    """

    method: Method
    max_new_tokens: int = 64
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        check_whole("max_new_tokens", self.max_new_tokens, 1, MOST_NEW_TOKENS)
        check_whole("seed", self.seed, 0, MOST_SEED)
        if self.threads is not None:
            check_whole("threads", self.threads, 1, MOST_THREADS)


def choose_method(method: Method | str, options: dict[str, Any]) -> Method:
    """A method by name with its options, or as it was given.

    Raises:
        UsageError: see `build`; or options came beside a method that has its own.
    """
    if isinstance(method, str):
        return build(method, **options)
    if options:
        raise UsageError(
            f"The option {next(iter(options))!r} came beside a method that has its options already; set it there."
        )
    return method
