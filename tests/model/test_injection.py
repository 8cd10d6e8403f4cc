from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from himmel.errors import HostError
from himmel.model.injection import check_placeholders, inject
from tiny_hosts import Setup, with_motion

ASK = [("What moves?", None)]


@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=3))
def test_the_scatter_is_the_dense_one_hot_product(places: list[list[bool]]) -> None:
    mask = torch.tensor(places)
    embeddings = torch.randn(*mask.shape, 5, dtype=torch.float64, requires_grad=True)
    tokens = torch.randn(int(mask.sum()), 5, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(*mask.shape, 5, dtype=torch.float64)
    # P is [M, L] over all prompts' positions in a row: E' = (1 - P^T 1) * sg(E) + P^T T.
    p = torch.nn.functional.one_hot(mask.flatten().nonzero().flatten(), mask.numel()).double()
    flat = embeddings.detach().flatten(0, 1)
    dense = (1 - p.T @ torch.ones(len(p), 1, dtype=torch.float64)) * flat + p.T @ tokens
    sparse = inject(embeddings, mask, tokens)
    assert torch.equal(sparse.flatten(0, 1), dense)
    wanted = torch.autograd.grad((dense * weights.flatten(0, 1)).sum(), tokens)[0]
    given_ = torch.autograd.grad((sparse * weights).sum(), [tokens, embeddings], allow_unused=True)
    assert torch.equal(given_[0], wanted)
    assert given_[1] is None


def test_the_embeddings_are_left_as_they_were() -> None:
    embeddings = torch.randn(1, 3, 4)
    before = embeddings.clone()
    result = inject(embeddings, torch.tensor([[False, True, False]]), torch.zeros(1, 4, dtype=torch.float64))
    assert torch.equal(embeddings, before)
    assert result.dtype == embeddings.dtype


def test_a_wrong_number_of_placeholders_is_one_error() -> None:
    with pytest.raises(HostError, match=r"hold \[2, 1\] motion placeholders and the videos give \[2, 2\] motion"):
        check_placeholders(torch.tensor([[9, 9, 1], [9, 1, 1]]), 9, [2, 2])


def test_the_model_checks_placeholders(setup: Setup) -> None:
    inputs = setup.processor.encode([setup.samples[0]], [ASK])
    place = int((inputs.input_ids[0] == setup.model.host.motion_token_id).nonzero()[0])
    inputs.input_ids[0, place] = 30
    with pytest.raises(HostError, match=r"hold \[7\] motion placeholders and the videos give \[8\] motion tokens"):
        setup.model(inputs)
    with pytest.raises(HostError, match="placeholders"):
        setup.model.generate(inputs, max_new_tokens=1)


def test_pads_without_streams_and_streams_without_pads(setup: Setup) -> None:
    inputs = setup.processor.encode([setup.samples[0]], [ASK])
    plain = setup.processor.encode([setup.samples[0]], [ASK], motion=False)
    with pytest.raises(HostError, match="placeholders"):
        setup.model(replace(inputs, motion=None))
    with pytest.raises(HostError, match="placeholders"):
        setup.model(replace(inputs, input_ids=plain.input_ids))


def test_streams_of_more_intervals_than_counted(qwen: Setup) -> None:
    inputs = qwen.processor.encode(qwen.samples, [ASK, ASK])
    first = qwen.processor.encode([qwen.samples[0]], [ASK])
    more = {name: getattr(inputs.motion, name) for name in ("motion", "residual", "step_mask", "context")}
    with pytest.raises(HostError, match="hold 5 intervals and intervals_per_sample adds up to 2"):
        qwen.model(with_motion(first, **more))


def test_an_index_beyond_the_adapters_tokens(qwen: Setup) -> None:
    inputs = qwen.processor.encode([qwen.samples[0]], [ASK])
    inputs = with_motion(inputs, index=inputs.motion.index + 1)
    with pytest.raises(HostError, match="motion_index names token 8 and the adapter makes 8"):
        qwen.model(inputs)


def test_beams_repeat_each_prompts_own_tokens(setup: Setup) -> None:
    inputs = setup.processor.encode(setup.samples, [ASK, ASK])
    options = {"max_new_tokens": 3, "do_sample": False, "num_beams": 2, "num_return_sequences": 2}
    both = setup.model.generate(inputs, **options)
    for index, sample in enumerate(setup.samples):
        alone = setup.model.generate(setup.processor.encode([sample], [ASK]), **options)
        length = alone.shape[1]
        assert torch.equal(both[2 * index : 2 * index + 2, -length:][:, : length - 3], alone[:, : length - 3])
        assert torch.equal(both[2 * index : 2 * index + 2, -3:], alone[:, -3:])
