"""When the first token of an answer counts as being there."""

import time
from typing import Any

import pytest

from himmel.methods.decoding import Decoding, Steps


class _Ids:
    """Token ids on a device that has not computed them yet."""

    def __init__(self, events: list[str]) -> None:
        self._events = events

    def cpu(self) -> "_Ids":
        self._events.append("computed")
        return self

    def tolist(self) -> list[int]:
        return [5, 6]


def test_the_first_token_counts_when_the_device_has_computed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    def clock() -> float:
        events.append("noted")
        return float(len(events))

    monkeypatch.setattr(time, "perf_counter", clock)
    steps = Steps([Decoding()] * 2, ends=[1])
    ids: Any = _Ids(events)
    assert steps.stop(ids) == [False, False]
    assert steps.stop(ids) == [False, False]
    assert (events, steps.first_token) == (["computed", "noted", "computed"], 2.0)
