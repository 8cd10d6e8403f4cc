"""What a call brings with it, checked before any work is done for it."""

from dataclasses import dataclass
from typing import Any

from himmel._checks import check_whole
from himmel.errors import UsageError
from himmel.methods.choice import build
from himmel.methods.protocol import Method

MOST_THREADS = 256


@dataclass(frozen=True, kw_only=True)
class Request:
    """How questions are to be answered; the fields are arguments of `Session.ask`.

    Raises:
        UsageError: an option is of a wrong type or out of range.
    """

    method: Method
    threads: int | None = None

    def __post_init__(self) -> None:
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
