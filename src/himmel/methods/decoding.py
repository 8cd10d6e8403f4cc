"""How an answer in the model's own words is made: greedily or drawn, cut, stopped, and followed token by token.

Each row of a batch has its own settings: what one draws, and where it ends, changes nothing for the others.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from transformers import PreTrainedModel

from himmel._checks import MOST_SEED, check_number, check_whole
from himmel.errors import UsageError

MOST_NEW_TOKENS: Final = 2**20
MOST_TEMPERATURE: Final = 2.0
MOST_ALTERNATIVES: Final = 20
# Below it the likeliest token is as good as certain, and single precision ends.
_LEAST_TEMPERATURE: Final = 1e-6


@dataclass(frozen=True)
class Token:
    """One token of an answer.

    Attributes:
        id: in the host's vocabulary.
        ends: whether it ends the turn, so that it is no part of the text.
        log_probability: natural logarithm of its probability before temperature; None unless `Decoding.alternatives`
            asks for it.
        alternatives: ids and log-probabilities of the likeliest tokens at this place, the likeliest first.
    """

    id: int
    ends: bool
    log_probability: float | None = None
    alternatives: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How one answer in the model's own words is made.

    Args:
        max_new_tokens: where it is cut, 1 to 2**20.
        temperature: 0 takes the likeliest token at each place; above it, up to 2, tokens are drawn, their logits
            divided by it.
        top_p: draw among the likeliest tokens alone that together have this much probability, above 0 and up to 1
            (Holtzman et al. 2020).
        seed: of what is drawn, 0 to 2**63 - 1; the same seed draws the same, whatever else is in the batch.
        alternatives: report log-probabilities, and of so many likeliest tokens at each place, 0 to 20; None reports
            none.
        hear: called with each token as soon as it is known; it says whether to go on. It may come from any thread and
            must not raise.

    Raises:
        UsageError: a value is of a wrong type or out of range.
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    alternatives: int | None = None
    hear: Callable[[Token], bool] | None = None

    def __post_init__(self) -> None:
        check_whole("max_new_tokens", self.max_new_tokens, 1, MOST_NEW_TOKENS)
        check_number("temperature", self.temperature, 0, MOST_TEMPERATURE)
        check_number("top_p", self.top_p, 0, 1)
        if not self.top_p:
            raise UsageError("top_p=0 leaves no token to draw; give a number above 0, or temperature=0.")
        check_whole("seed", self.seed, 0, MOST_SEED)
        if self.alternatives is not None:
            check_whole("alternatives", self.alternatives, 0, MOST_ALTERNATIVES)

    @property
    def reads_scores(self) -> bool:
        """Whether it needs more than the likeliest token."""
        return self.temperature > 0 or self.alternatives is not None


class Steps:
    """Follows a batch of B answers while they are generated.

    Args:
        decodings: of each row.
        ends: ids that end a turn.

    Attributes:
        ids: of each row's answer so far, what ends the turn among them.
        first_token: when the first token was there, on the clock of `time.perf_counter`; 0 before.
    """

    def __init__(self, decodings: Sequence[Decoding], ends: Sequence[int]) -> None:
        self._decodings = tuple(decodings)
        self._ends = frozenset(ends)
        self._draws = [torch.Generator().manual_seed(one.seed) for one in decodings]
        self._scored: list[tuple[Tensor, Tensor] | None] = [None] * len(decodings)
        self._done = [False] * len(decodings)
        self.ids: list[list[int]] = [[] for _ in decodings]
        self.first_token = 0.0

    @property
    def most(self) -> int:
        """Most tokens of any row."""
        return max(one.max_new_tokens for one in self._decodings)

    @property
    def reads_scores(self) -> bool:
        """Whether `choose` does anything."""
        return any(one.reads_scores for one in self._decodings)

    def choose(self, scores: Tensor) -> Tensor:
        """Scores [B, V] whose highest is what each row takes next."""
        chosen = scores
        for row, one in enumerate(self._decodings):
            if self._done[row] or not one.reads_scores:
                continue
            if one.alternatives is not None:
                logs = scores[row].float().log_softmax(-1)
                self._scored[row] = logs, logs.topk(one.alternatives).indices
            if one.temperature > 0:
                token = _draw(_heat(scores[row].float(), one.temperature), one.top_p, self._draws[row])
                chosen = chosen.clone() if chosen is scores else chosen
                chosen[row] = -torch.inf
                chosen[row, token] = 0.0
        return chosen

    def stop(self, tokens: Tensor) -> list[bool]:
        """Take the newest token of each row, int64 [B]; returns which rows have ended."""
        # A GPU works on while Python is ahead of it: copying the tokens waits until they are there.
        taken = tokens.cpu().tolist()
        if not self.first_token:
            self.first_token = time.perf_counter()
        for row, (number, one) in enumerate(zip(taken, self._decodings, strict=True)):
            if self._done[row]:
                continue
            self.ids[row].append(number)
            ends = number in self._ends
            goes_on = one.hear is None or one.hear(self._describe(row, number, ends))
            self._done[row] = ends or not goes_on or len(self.ids[row]) >= one.max_new_tokens
        return list(self._done)

    def _describe(self, row: int, number: int, ends: bool) -> Token:
        scored = self._scored[row]
        if scored is None:
            return Token(number, ends)
        logs, best = scored
        others = tuple(zip(best.tolist(), logs[best].tolist(), strict=True))
        return Token(number, ends, float(logs[number]), others)


def end_ids(network: PreTrainedModel) -> tuple[int, ...]:
    """Ids that end a turn, as the host's generation settings name them."""
    ends = network.generation_config.eos_token_id
    return () if ends is None else (ends,) if isinstance(ends, int) else tuple(ends)


def _heat(logits: Tensor, temperature: float) -> Tensor:
    """Logits [V] divided by a temperature; a small one leaves numbers, of which the highest is 0."""
    return (logits - logits.max()) / max(temperature, _LEAST_TEMPERATURE)


def _draw(logits: Tensor, top_p: float, generator: torch.Generator) -> int:
    """A token by its probability among those [V] that `top_p` leaves; the likeliest is always among them."""
    shares, order = logits.softmax(-1).cpu().sort(descending=True)
    reached = shares.cumsum(0)
    left = int((reached - shares < top_p).sum())
    place = torch.rand((), generator=generator) * reached[left - 1]
    return int(order[min(int(torch.searchsorted(reached[:left], place, right=True)), left - 1)])
