"""What answers cost: prices as stated by the user, tokens as counted by the API, and a limit that is kept."""

import asyncio
import math
from dataclasses import dataclass

from himmel.errors import UsageError


@dataclass(frozen=True)
class Prices:
    """Prices per million tokens, in whatever currency they are stated in.

    Attributes:
        input: of tokens in the prompt, pictures included. A discount for cached ones is not known here.
        output: of tokens in the answer, hidden reasoning included.

    Raises:
        UsageError: a price is negative or no number.
    """

    input: float
    output: float

    def __post_init__(self) -> None:
        for name, price in (("input", self.input), ("output", self.output)):
            if not math.isfinite(price) or price < 0:
                raise UsageError(f"The price of {name} is {price!r}; give what a million tokens cost.")

    def cost(self, prompt_tokens: int, answer_tokens: int) -> float:
        """What so many tokens cost."""
        return (self.input * prompt_tokens + self.output * answer_tokens) / 1e6


class Spending:
    """Money that is spent or may be, for the requests of one event loop.

    Before a request is sent, the most that it may cost is set aside. If that would pass the limit, the request waits
    for others under way, most of which turn out cheaper; without any, it isn't sent.

    Args:
        limit: the most to spend; None for no limit.
        spent: what earlier runs spent already.

    Attributes:
        spent: so far, as counted by the API.
    """

    def __init__(self, *, limit: float | None = None, spent: float = 0.0) -> None:
        if limit is not None and (not math.isfinite(limit) or limit <= 0):
            raise UsageError(f"most_cost={limit!r} is no amount to spend; give one above 0.")
        self.limit = limit
        self.spent = spent
        self._aside = 0.0
        self._under_way = 0
        self._settled = asyncio.Condition()

    async def set_aside(self, most: float) -> bool:
        """Set aside the most that a request may cost; False where that would pass the limit."""
        async with self._settled:
            while self.limit is not None and self.spent + self._aside + most > self.limit:
                if not self._under_way:
                    return False
                await self._settled.wait()
            self._aside += most
            self._under_way += 1
            return True

    async def settle(self, most: float, *, cost: float) -> None:
        """A request for which `most` was set aside is over, and cost `cost`."""
        async with self._settled:
            self._aside -= most
            self._under_way -= 1
            self.spent += cost
            self._settled.notify_all()

    def __repr__(self) -> str:
        return f"Spending(limit={self.limit}, spent={self.spent:.6g})"


def show_cost(cost: float | None) -> str:
    """A cost with as many digits as tell something."""
    if cost is None:
        return "unknown"
    return f"{cost:.4f}" if cost < 1 else f"{cost:.2f}"
