"""LOOK-M against its paper, one entry at a time."""

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cached_reference import Asked, ask, eager, entries
from himmel.methods.cached.merging import Merge, choose, merge_entries, shares
from himmel.methods.cached.observe import Received
from tiny_hosts import Setup


def literal_choice(received: list[float], text: list[bool], important: int, recent: int) -> list[int]:
    """Of one head: pictures behind all text, the best first, then the last ones and text that did not fit."""
    early = list(range(len(received) - recent))
    ranked = sorted(early, key=lambda place: (text[place], received[place]), reverse=True)
    last = range(len(received) - recent, len(received))
    return sorted({*ranked[:important], *(place for place in early if text[place]), *last})


def literal_merge(keys: Tensor, values: Tensor, kept: list[int], how: Merge) -> tuple[Tensor, Tensor, int]:
    """Of one head [n, d]."""
    nearest: dict[int, tuple[int, float]] = {}
    for place in range(len(keys)):
        if place not in kept:
            cosines = [float(torch.cosine_similarity(keys[place], keys[one], dim=0)) for one in kept]
            nearest[place] = (kept[cosines.index(max(cosines))], max(cosines))
    mean = sum(cosine for _, cosine in nearest.values()) / max(len(nearest), 1)
    if how == "weighted":
        nearest = {place: found for place, found in nearest.items() if found[1] >= mean}
    merged = []
    for whole in (keys, values):
        rows = []
        for one in kept:
            parts = [whole[one]]
            for place, (pivot, cosine) in nearest.items():
                if pivot == one:
                    pivoted = (whole[place] + whole[one]) / 2
                    parts.append({"average": whole[place], "pivot": pivoted, "weighted": cosine * whole[place]}[how])
            rows.append(sum(parts) / len(parts))
        merged.append(torch.stack(rows))
    return merged[0], merged[1], len(nearest)


@pytest.mark.parametrize("how", get_args(Merge))
def test_every_layer_and_head_is_that_of_the_paper(host_setup: Setup, how: Merge) -> None:
    asked = ask(host_setup)
    received = Received()
    with received.watching():
        memory, _ = asked.read()
    important, recent = shares(memory.length, important_ratio=0.5, recent_ratio=0.2)
    with torch.no_grad():
        known = eager(host_setup)(**asked.arguments, use_cache=True, output_attentions=True)
    text = asked.is_text.tolist()
    dropped = 0
    for layer, (keys, values) in enumerate(entries(known.past_key_values)):
        kept = choose(received.by_layer[layer], asked.is_text, important=important, recent=recent)
        found = merge_entries(memory.keys[layer][0], memory.values[layer][0], kept, how)
        weights = known.attentions[layer][0].sum(1).unflatten(0, (len(keys), -1)).mean(1)
        count = 0
        for head in range(len(keys)):
            expected = literal_choice(weights[head].tolist(), text, important, recent)
            assert kept[head].tolist() == expected
            own_keys, own_values, merged = literal_merge(keys[head], values[head], expected, how)
            torch.testing.assert_close(found.keys[head], own_keys, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(found.values[head], own_values, rtol=1e-4, atol=1e-5)
            count += merged
            dropped += memory.length - len(expected)
        assert found.merged == count
    assert dropped > 0


@settings(max_examples=60)
@given(data=st.data(), groups=st.integers(1, 3), length=st.integers(2, 12))
def test_a_choice_keeps_text_and_the_last(data: st.DataObject, groups: int, length: int) -> None:
    recent = data.draw(st.integers(0, length))
    important = data.draw(st.integers(0, length - recent))
    text = data.draw(st.lists(st.booleans(), min_size=length, max_size=length))
    # Different numbers: of equals the first is kept, and the last in the loop above.
    scores = [data.draw(st.permutations(range(length))) for _ in range(groups)]
    kept = choose(torch.tensor(scores, dtype=torch.float), torch.tensor(text), important=important, recent=recent)
    for row, own in zip(kept.tolist(), scores, strict=True):
        assert row == literal_choice([float(score) for score in own], text, important, recent)


def test_of_equal_entries_the_first_is_kept() -> None:
    kept = choose(torch.ones(1, 6), torch.zeros(6, dtype=torch.bool), important=2, recent=1)
    assert kept.tolist() == [[0, 1, 5]]


@pytest.mark.parametrize("how", get_args(Merge))
def test_an_entry_that_takes_none_stays(how: Merge) -> None:
    keys = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]]])
    found = merge_entries(keys, keys * 3, torch.tensor([[0, 1]]), how)
    assert torch.equal(found.keys[0, 1], keys[0, 1])
    assert not torch.equal(found.keys[0, 0], keys[0, 0])


def test_values_follow_their_keys() -> None:
    """The dropped key is like the first kept one, its value like the second's."""
    keys = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.9, 0.1]]])
    values = torch.tensor([[[2.0, 0.0], [0.0, 4.0], [0.0, 4.0]]])
    found = merge_entries(keys, values, torch.tensor([[0, 1]]), "average")
    torch.testing.assert_close(found.values, torch.tensor([[[1.0, 2.0], [0.0, 4.0]]]))


def test_shares_are_whole_and_rounded_down() -> None:
    assert shares(99, important_ratio=0.1, recent_ratio=0.15) == (9, 14)


def test_asked_has_both_kinds_of_tokens(host_setup: Setup) -> None:
    asked: Asked = ask(host_setup)
    assert 0 < int(asked.is_text.sum()) < len(asked.is_text)
