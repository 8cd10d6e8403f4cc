"""HERMES against its paper, with positions of its own for each layer."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from cached_literal import Literal
from cached_reference import Asked, ask, eager
from himmel.errors import UsageError
from himmel.methods.cached.hierarchy import Compression, Hierarchy
from himmel.methods.cached.memory import Memory, Segment
from himmel.methods.cached.sections import PLAIN, PROMPTS, THREE_PART, Depths, LayerRule, layer_rules
from himmel.methods.cached.watching import Watching
from tiny_hosts import Setup, make_decomposition

# Tiny hosts have two layers: the middle and the deep section, and the shallow and the middle one.
TWO = {
    "deep": layer_rules(2, Depths(shallow=0.0, deep=0.5, middle=PLAIN.middle)),
    "shallow": layer_rules(2, Depths(shallow=0.5, deep=0.0, middle=THREE_PART.middle)),
}
PICTURES, CHUNK = 6, 2


def longer(setup: Setup) -> Setup:
    """With a video of more pictures."""
    sample = setup.model.keep_features(setup.processor.prepare(make_decomposition((1,) * PICTURES, seed=4)))
    return replace(setup, samples=(sample, sample))


def watching(asked: Asked, rules: list[LayerRule], budget: int, reindex: Any, *, released: bool = False) -> Watching:
    return Watching(
        compression=Compression(rules=tuple(rules), budget=budget, as_released=released),
        chunk_frames=CHUNK,
        reindex=reindex,
        scheme=asked.setup.processor.position_scheme,
    )


def literally(asked: Asked, rules: list[LayerRule], budget: int, *, reindex: bool, unlayered: bool) -> Literal:
    """The head and all pictures, by the loops."""
    host = asked.setup.model.host
    literal = Literal(eager(asked.setup), len(asked.whole.positions))
    head = asked.segment(asked.parts.head, 0)
    literal.read(head)
    prompts = {name: at_start(asked, host.encode_text(text)) for name, text in PROMPTS.items()}
    used = {rule.prompt for rule in rules}
    for first in range(0, PICTURES, CHUNK):
        part = slice(first, first + CHUNK)
        runs = [run for picture in asked.parts.pictures[part] for run in picture]
        images = torch.cat(list(asked.vision.pooler_output)[part])
        deep: list[Tensor] = []
        if host.name.startswith("qwen3"):
            deep = [torch.cat(list(layer)[part]) for layer in asked.vision.deepstack_features]
        literal.read(asked.segment(runs, 0), images=images, deep=deep)
        layer = literal.layers[0]
        assert layer is not None
        if layer.raw.shape[1] - len(head.ids) > budget:
            own = {name: prompts[name] for name in prompts if name in used}
            literal.compress(rules, own, len(head.ids), budget, reindex=reindex, unlayered=unlayered)
    return literal


def at_start(asked: Asked, ids: list[int]) -> Segment:
    return Segment(torch.tensor(ids), asked.reader.text_positions(0, len(ids)))


def check_same(asked: Asked, state: Hierarchy, literal: Literal) -> None:
    """The same entries at the same distances from what comes next, and the same prediction."""
    for number, layer in enumerate(literal.layers):
        assert layer is not None
        moved = state.positions[number] - state.memory.next
        assert torch.equal(moved, layer.positions - layer.next)
        turned = literal.rotate(layer.raw, state.positions[number])
        torch.testing.assert_close(state.memory.keys[number][0], turned, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(state.memory.values[number][0], layer.values, rtol=1e-3, atol=1e-4)
    tail = asked.segment(asked.parts.tail, state.memory.next)
    _, prediction = asked.reader.read(state.memory, tail)
    torch.testing.assert_close(prediction, literal.read(tail)[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("depth", TWO)
@pytest.mark.parametrize("reindex", ["streaming", "offline"])
def test_every_layer_is_that_of_the_paper(host_setup: Setup, depth: str, reindex: str) -> None:
    asked = ask(longer(host_setup))
    state = watching(asked, TWO[depth], 11, reindex).watch(asked.reader, asked.parts, asked.vision)
    literal = literally(asked, TWO[depth], 11, reindex=reindex == "offline", unlayered=False)
    assert state.memory.length == state.prefix + 11 < state.memory.seen
    check_same(asked, state, literal)


def test_scores_as_released_are_those_of_embeddings(host_setup: Setup) -> None:
    asked = ask(longer(host_setup))
    state = watching(asked, TWO["deep"], 11, "streaming", released=True).watch(asked.reader, asked.parts, asked.vision)
    check_same(asked, state, literally(asked, TWO["deep"], 11, reindex=False, unlayered=True))


def test_a_video_within_the_budget_is_read_as_a_whole(host_setup: Setup) -> None:
    asked = ask(longer(host_setup))
    state = watching(asked, TWO["deep"], 1000, "offline").watch(asked.reader, asked.parts, asked.vision)
    tail = asked.segment(asked.parts.tail, state.memory.next)
    _, prediction = asked.reader.read(state.memory, tail)
    torch.testing.assert_close(prediction, asked.read()[1], rtol=1e-4, atol=1e-5)
    assert state.memory.length == state.memory.seen


def test_positions_are_taken_again_where_they_run_out(host_setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ask(longer(host_setup))
    host = asked.setup.model.host
    # So few that each compression finds too little room for the next chunk and a question.
    monkeypatch.setattr(host, "context_length", 1024 + longest_chunk(asked) + 1)
    state = watching(asked, TWO["deep"], 11, "streaming").watch(asked.reader, asked.parts, asked.vision)
    check_same(asked, state, literally(asked, TWO["deep"], 11, reindex=True, unlayered=False))


def test_a_budget_that_the_hosts_positions_cannot_hold_is_refused(
    host_setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ask(longer(host_setup))
    monkeypatch.setattr(asked.setup.model.host, "context_length", longest_chunk(asked) + 20)
    with pytest.raises(UsageError, match=r"A budget of 1,000 entries .* lower budget or chunk_frames\."):
        watching(asked, TWO["deep"], 1000, "streaming").watch(asked.reader, asked.parts, asked.vision)


def longest_chunk(asked: Asked) -> int:
    """Positions that a chunk takes."""
    chunks = [asked.parts.pictures[first : first + CHUNK] for first in range(0, PICTURES, CHUNK)]
    return max(asked.segment([run for picture in chunk for run in picture], 0).end for chunk in chunks)


def test_a_memory_is_not_changed_by_compressing_it(nano: Setup) -> None:
    asked = ask(longer(nano))
    memory, _ = asked.reader.read(Memory(), asked.segment(asked.parts.head, 0))
    state = Hierarchy.begin(memory, asked.segment(asked.parts.head, 0))
    runs = [run for picture in asked.parts.pictures for run in picture]
    segment = asked.segment(runs, memory.next)
    memory, _ = asked.reader.read(memory, segment, vision=asked.vision)
    state = state.grown(memory, segment)
    before = [keys.clone() for keys in memory.keys]
    Compression(rules=tuple(TWO["deep"]), budget=11).apply(asked.reader, state, reindex=True)
    assert all(torch.equal(keys, old) for keys, old in zip(memory.keys, before, strict=True))
