"""Reading a prompt in pieces."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from cached_reference import Asked, ask
from himmel.methods.cached.memory import Memory
from tiny_hosts import Setup


def in_pieces(asked: Asked, pictures: int) -> tuple[Memory, torch.Tensor]:
    """The head, so many pictures at a time, and the question."""
    host, memory = asked.setup.model.host, Memory()
    memory, _ = asked.reader.read(memory, asked.segment(asked.parts.head, 0))
    for first in range(0, len(asked.parts.pictures), pictures):
        part = slice(first, first + pictures)
        runs = [run for picture in asked.parts.pictures[part] for run in picture]
        vision = host.exchange_features(asked.vision, partial(_part, place=part))
        memory, _ = asked.reader.read(memory, asked.segment(runs, memory.next), vision=vision)
    return asked.reader.read(memory, asked.segment(asked.parts.tail, memory.next))


def test_pieces_give_what_the_whole_gives(host_setup: Setup) -> None:
    asked = ask(host_setup)
    whole, expected = asked.read()
    for pictures in (1, 2):
        memory, prediction = in_pieces(asked, pictures)
        torch.testing.assert_close(prediction, expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(memory.keys, whole.keys, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(memory.values, whole.values, rtol=1e-4, atol=1e-5)
        assert (memory.seen, memory.next) == (whole.seen, whole.next)


def test_a_prompt_is_the_processors(host_setup: Setup) -> None:
    asked = ask(host_setup)
    assert torch.equal(asked.whole.ids[None], asked.arguments["input_ids"])
    positions = asked.reader.position_ids(asked.whole.positions[:, None], 0)
    assert torch.equal(positions, asked.arguments["position_ids"])


def test_reading_on_leaves_a_memory_as_it_was(nano: Setup) -> None:
    asked = ask(nano)
    memory, _ = asked.read()
    before = [keys.clone() for keys in memory.keys]
    longer, _ = asked.reader.read(memory, asked.segment(asked.parts.tail, memory.next))
    assert longer.length > memory.length == memory.seen == len(asked.whole.ids)
    assert all(torch.equal(keys, old) for keys, old in zip(memory.keys, before, strict=True))


def test_entries_are_counted_in_all_layers_and_heads(nano: Setup) -> None:
    memory, _ = ask(nano).read()
    # The tiny host has 2 layers with 2 heads of keys.
    assert memory.entries == 4 * memory.length


def _part(features: Sequence[Tensor], *, place: slice) -> list[Tensor]:
    return list(features)[place]
