"""Watching attention: the same answers, and what eager attention would have said."""

import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cached_reference import ask, eager
from himmel.methods.cached import observe
from himmel.methods.cached.observe import Received, attention_received
from tiny_hosts import Setup


def by_hand(attentions: tuple[Tensor, ...], groups: int, last: int | None = None) -> list[Tensor]:
    """For each layer [G, n], from weights [1, H, q, n]: added up query by query, averaged head by head."""
    found = []
    for weights in attentions:
        heads, queries = weights.shape[1:3]
        share = heads // groups
        rows = torch.zeros(groups, weights.shape[3])
        for head in range(heads):
            for query in range(0 if last is None else queries - last, queries):
                rows[head // share] += weights[0, head, query] / share
        found.append(rows)
    return found


@pytest.mark.parametrize("last", [None, 3])
def test_a_prompts_attention_is_that_of_eager_attention(host_setup: Setup, last: int | None) -> None:
    asked = ask(host_setup)
    received = Received(last=last)
    with received.watching():
        _, prediction = asked.read()
    with torch.no_grad():
        known = eager(host_setup)(**asked.arguments, use_cache=False, output_attentions=True)
    expected = by_hand(known.attentions, received.by_layer[0].shape[0], last)
    torch.testing.assert_close(received.by_layer, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(prediction, known.logits[0, -1], rtol=1e-4, atol=1e-5)


def test_attention_from_behind_a_memory_counts_what_is_in_it(host_setup: Setup) -> None:
    asked = ask(host_setup)
    memory, _ = asked.read()
    more = asked.segment(asked.parts.tail, memory.next)
    received = Received()
    with received.watching():
        asked.reader.read(memory, more)
    network = eager(host_setup)
    with torch.no_grad():
        output = network(**asked.arguments, use_cache=True)
        known = network(
            input_ids=more.ids[None],
            position_ids=asked.reader.position_ids(more.positions[:, None], memory.seen),
            past_key_values=output.past_key_values,
            output_attentions=True,
        )
    expected = by_hand(known.attentions, received.by_layer[0].shape[0])
    torch.testing.assert_close(received.by_layer, expected, rtol=1e-4, atol=1e-5)


def test_a_view_that_is_watched_answers_as_the_host(host_setup: Setup) -> None:
    asked = ask(host_setup)
    _, unwatched = asked.read()
    with Received().watching():
        _, watched = asked.read()
    assert torch.equal(unwatched, watched)
    assert host_setup.model.network.config.get_text_config()._attn_implementation == "sdpa"


def test_little_is_held_at_a_time(nano: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ask(nano)
    whole, piecewise = Received(), Received()
    with whole.watching():
        asked.read()
    monkeypatch.setattr(observe, "_MOST_SCORES", 1000)
    with piecewise.watching():
        asked.read()
    torch.testing.assert_close(piecewise.by_layer, whole.by_layer, rtol=1e-5, atol=1e-6)


def test_other_threads_are_not_watched(nano: Setup) -> None:
    asked = ask(nano)
    received = Received()
    with received.watching():
        other = threading.Thread(target=asked.read)
        other.start()
        other.join()
    assert received.by_layer == []


@given(
    groups=st.integers(1, 2),
    share=st.integers(1, 3),
    queries=st.integers(1, 6),
    past=st.integers(0, 4),
    kind=st.sampled_from(["none", "bool", "added"]),
    data=st.data(),
)
def test_what_is_received_sums_softmax_over_queries(
    groups: int, share: int, queries: int, past: int, kind: str, data: st.DataObject
) -> None:
    torch.manual_seed(data.draw(st.integers(0, 1000)))
    last = data.draw(st.none() | st.integers(1, queries))
    keys, heads = past + queries, groups * share
    query, key = torch.randn(1, heads, queries, 4), torch.randn(1, groups, keys, 4)
    causal = torch.ones(queries, keys, dtype=torch.bool).tril(past)
    seen = causal if kind == "none" else causal & (torch.rand(queries, keys) < 0.7) | torch.eye(queries, keys).bool()
    mask = {"none": None, "bool": seen[None, None], "added": torch.where(seen, 0.5, -1e9)[None, None]}[kind]
    expected = torch.zeros(groups, keys)
    for head in range(heads):
        for row in range(0 if last is None else queries - last, queries):
            scores = [0.3 * float(query[0, head, row] @ key[0, head // share, column]) for column in range(keys)]
            weights = torch.tensor([s if seen[row, column] else -torch.inf for column, s in enumerate(scores)])
            expected[head // share] += weights.softmax(0) / share
    found = attention_received(query, key, mask, scaling=0.3, last=last)
    torch.testing.assert_close(found[0], expected, rtol=1e-4, atol=1e-5)
