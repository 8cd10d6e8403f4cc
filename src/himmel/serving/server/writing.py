"""One answer while it is written: the model's thread adds tokens, the request's coroutine reads the text."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal

import torch
from torch import Tensor

from himmel.methods.decoding import Token

Finish = Literal["stop", "length"]
_HALF: Final = "\ufffd"


class Writing:
    """The tokens and the text of an answer so far.

    Args:
        decode: text of token ids, with its outer blanks.
        stops: texts before which the answer ends.
        most: tokens after which it is cut.
        deadline: when its time is up, on the clock `time.monotonic`.

    Attributes:
        tokens: so far, what ends the turn among them.
        first: when the first was there, on the clock `time.perf_counter`; 0 before.
        late: whether it was ended by its deadline.
    """

    def __init__(
        self, decode: Callable[[Tensor], str], *, stops: Sequence[str] = (), most: int, deadline: float
    ) -> None:
        self._decode, self._stops, self._most, self._deadline = decode, tuple(stops), most, deadline
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._lock = threading.Lock()
        self._gone = False
        self._cut: int | None = None
        self.tokens: list[Token] = []
        self.first = 0.0
        self.late = False

    def hear(self, token: Token) -> bool:
        """Take a token, in the model's thread; returns whether the answer goes on."""
        cut = self._cut
        if self._stops and cut is None:
            cut = _find_first(self._text_of([*self.tokens, token]), self._stops)
        # At once with where it is cut: else a stop might be read as part of the text.
        with self._lock:
            self.tokens.append(token)
            self._cut = cut
            self.first = self.first or time.perf_counter()
            self.late = time.monotonic() >= self._deadline
        self._wake()
        return not (self._gone or self.late or self._cut is not None)

    def give_up(self) -> None:
        """Have it end at the next token: nobody reads it any more."""
        self._gone = True

    def end(self) -> None:
        """Tell that no token will follow; from any thread."""
        self._wake()

    async def news(self) -> None:
        """Wait until there is more than when this was last called, or the end."""
        await self._news.wait()
        self._news.clear()

    @property
    def finish(self) -> Finish:
        """Why it ended."""
        ended = self._cut is not None or (self.tokens and self.tokens[-1].ends)
        return "stop" if ended or len(self.tokens) < self._most else "length"

    @property
    def text(self) -> str:
        """The whole text, without outer blanks."""
        text, cut = self._read()
        return text[:cut].strip()

    @property
    def certain(self) -> str:
        """How the text begins, whatever follows: without half characters, blanks, or a stop's beginning at its end."""
        whole, cut = self._read()
        text = whole[:cut].lstrip()
        if cut is None:
            text = text.rstrip(_HALF)
            held = max((_overlap(text, stop) for stop in self._stops), default=0)
            text = text[: len(text) - held]
        return text.rstrip()

    def words(self, start: int = 0) -> list[tuple[str, Token]]:
        """The tokens of the text from one on, each with its own piece of it."""
        with self._lock:
            tokens = [one for one in self.tokens[start:] if not one.ends]
        return [(self.word(one.id), one) for one in tokens]

    def word(self, number: int) -> str:
        """The text of one token."""
        return self._decode(torch.tensor([number]))

    def _read(self) -> tuple[str, int | None]:
        """The text of all tokens, and where it is cut."""
        with self._lock:
            tokens, cut = list(self.tokens), self._cut
        return self._text_of(tokens), cut

    def _text_of(self, tokens: Sequence[Token]) -> str:
        return self._decode(torch.tensor([one.id for one in tokens], dtype=torch.long)) if tokens else ""

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:
            # The server has ended.
            self._gone = True


def _find_first(text: str, stops: Sequence[str]) -> int | None:
    places = [place for place in (text.find(stop) for stop in stops) if place >= 0]
    return min(places, default=None)


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of a text may be the beginning of a stop."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
