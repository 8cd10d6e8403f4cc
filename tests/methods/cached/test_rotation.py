"""Keys moved to other positions are those that the network would have made there."""

import torch
from torch import Tensor

from cached_reference import ask
from himmel.methods.cached.memory import Memory, Reader, Segment
from himmel.methods.cached.rotation import move_keys
from tiny_hosts import Setup


def first_keys(reader: Reader, ids: Tensor, positions: Tensor) -> Tensor:
    """Of the first layer, which depend on a token and its position alone."""
    memory, _ = reader.read(Memory(), Segment(ids, positions))
    return memory.keys[0]


def test_moved_keys_are_those_made_elsewhere(host_setup: Setup) -> None:
    reader = ask(host_setup).reader
    ids = torch.arange(5, 15)
    axes = len(reader.text_positions(0, 1))
    torch.manual_seed(0)
    here, there = torch.randint(0, 500, (2, axes, len(ids)))
    moved = move_keys(reader.network, first_keys(reader, ids, here), there - here)
    torch.testing.assert_close(moved, first_keys(reader, ids, there), rtol=1e-3, atol=1e-5)


def test_keys_of_scaled_rotations_keep_their_length(nano: Setup) -> None:
    """Some kinds of rotary positions scale what they turn, which must not happen twice."""
    reader = ask(nano).reader
    rotary = reader.network.get_decoder().rotary_emb
    rotary.attention_scaling = 1.3
    ids, axes = torch.arange(5, 15), torch.arange(10)[None]
    moved = move_keys(reader.network, first_keys(reader, ids, axes), torch.full((1, 10), 37))
    torch.testing.assert_close(moved, first_keys(reader, ids, axes + 37), rtol=1e-3, atol=1e-5)


def test_keys_that_stay_are_not_touched(nano: Setup) -> None:
    reader = ask(nano).reader
    keys = first_keys(reader, torch.arange(5, 9), torch.arange(4)[None])
    assert move_keys(reader.network, keys, torch.zeros(1, 4, dtype=torch.long)) is keys
