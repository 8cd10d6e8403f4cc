"""When the first token of an answer counts as being there."""

import time
from typing import Any

import pytest
import torch

from himmel.methods.asking import _FirstToken


class _Ids:
    """Token ids on a device that has not computed them yet."""

    device = torch.device("cpu")

    def __init__(self, events: list[str]) -> None:
        self._events = events

    def __len__(self) -> int:
        return 2

    def __getitem__(self, _: Any) -> "_Ids":
        return self

    def cpu(self) -> None:
        self._events.append("computed")


def test_the_first_token_counts_when_the_device_has_computed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    def clock() -> float:
        events.append("noted")
        return float(len(events))

    monkeypatch.setattr(time, "perf_counter", clock)
    first = _FirstToken()
    ids: Any = _Ids(events)
    assert first(ids, torch.zeros(2, 1)).tolist() == [False, False]
    assert first(ids, torch.zeros(2, 1)).tolist() == [False, False]
    assert (events, first.time) == (["computed", "noted"], 2.0)
