import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from himmel.adapter.ssm import BidirectionalLayer, reverse_valid_prefix
from himmel.adapter.steps import TokenQueries, step_positions


@settings(max_examples=50, deadline=None)
@given(lengths=st.lists(st.integers(0, 7), min_size=1, max_size=5))
def test_reversal_touches_the_valid_prefix_alone(lengths):
    sequence = torch.arange(len(lengths) * 7 * 2, dtype=torch.float32).reshape(len(lengths), 7, 2)
    turned = reverse_valid_prefix(sequence, torch.tensor(lengths))
    for row, n in enumerate(lengths):
        expected = torch.cat((sequence[row, :n].flip(0), sequence[row, n:]))
        assert torch.equal(turned[row], expected)
    assert torch.equal(reverse_valid_prefix(turned, torch.tensor(lengths)), sequence)


def _by_hand(layer: BidirectionalLayer, row: torch.Tensor) -> torch.Tensor:
    """One interval [n, d] without any padding."""
    normed = layer.norm(row)[None]
    back = layer.backward_mixer(normed.flip(1)).flip(1)
    return row + (layer.forward_mixer(normed) + back)[0]


def test_a_layer_is_a_mixer_in_each_direction(tiny):
    torch.manual_seed(0)
    layer = BidirectionalLayer(tiny()).train()
    sequence = torch.randn(4, 6, 32)
    lengths = [6, 3, 1, 0]
    mask = torch.arange(6) < torch.tensor(lengths)[:, None]
    for mode in (True, False):
        read = layer.train(mode)(sequence, mask)
        for row, n in enumerate(lengths):
            if n:
                torch.testing.assert_close(read[row, :n], _by_hand(layer, sequence[row, :n]), rtol=1e-5, atol=1e-6)
            assert (read[row, n:] == 0).all()


def test_every_step_sees_both_directions(tiny):
    torch.manual_seed(0)
    layer = BidirectionalLayer(tiny())
    sequence = torch.randn(1, 6, 32, requires_grad=True)
    read = layer(sequence, torch.ones(1, 6, dtype=torch.bool))
    for step in range(6):
        (gradient,) = torch.autograd.grad(read[0, step].square().sum(), sequence, retain_graph=True)
        assert (gradient[0].abs().amax(dim=-1) > 0).all()


def test_chunk_size_changes_nothing(tiny):
    sequence, mask = torch.randn(2, 11, 32), torch.ones(2, 11, dtype=torch.bool)
    torch.manual_seed(1)
    small = BidirectionalLayer(tiny(ssm_chunk_size=2))
    large = BidirectionalLayer(tiny(ssm_chunk_size=16))
    large.load_state_dict(small.state_dict())
    torch.testing.assert_close(small(sequence, mask), large(sequence, mask), rtol=1e-4, atol=1e-5)


def test_positions_tell_steps_apart_and_do_not_depend_on_the_number_of_steps():
    long = step_positions(512, 33, device=torch.device("cpu"), dtype=torch.float32)
    short = step_positions(3, 33, device=torch.device("cpu"), dtype=torch.float32)
    assert torch.equal(long[:3], short)
    assert torch.pdist(long).min() > 0.5


def test_queries_see_the_order_of_steps_and_nothing_behind_the_mask(tiny):
    torch.manual_seed(0)
    read = TokenQueries(tiny())
    torch.nn.init.normal_(read.queries)
    torch.nn.init.normal_(read.null_entry)
    sequence = torch.randn(1, 5, 32)
    mask = torch.tensor([[True, True, True, False, False]])
    tokens = read(sequence, mask)
    swapped = sequence[:, [1, 0, 2, 3, 4]]
    assert not torch.allclose(tokens, read(swapped, mask), atol=1e-3)
    garbage = sequence.clone()
    garbage[:, 3:] = 1e4
    assert torch.equal(tokens, read(garbage, mask))
