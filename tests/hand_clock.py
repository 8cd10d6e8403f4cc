"""A clock that tests turn by hand: what takes time takes exactly as long as they say, on a busy machine too."""

import threading
import time
from dataclasses import dataclass

import pytest


@dataclass
class HandClock:
    """In place of one of the clocks of the module `time`.

    Attributes:
        now: what it shows, in seconds.
    """

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def turn(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.now += seconds


def clock_by_hand(monkeypatch: pytest.MonkeyPatch, name: str) -> HandClock:
    """Replace a clock of `time` for the thread that asks for it; those of other threads go on.

    Args:
        name: "monotonic" or "perf_counter".
    """
    mine, clock, real = threading.get_ident(), HandClock(), getattr(time, name)
    monkeypatch.setattr(time, name, lambda: clock() if threading.get_ident() == mine else real())
    return clock
