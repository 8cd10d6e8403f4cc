"""Frames' tokens and what becomes of them."""

import pytest
import torch

from himmel.errors import HostError
from himmel.methods.reduction.tokens import FrameTokens, Reduction
from vision_tokens import random_tokens


def test_kept_tokens_keep_their_order_and_values() -> None:
    tokens = random_tokens((2, 2), (1, 3))
    reduction = Reduction.keeping(torch.tensor([1, 0, 0, 1, 0, 1, 0]).bool(), tokens.counts)
    assert [part.tolist() for part in reduction.kept] == [[0, 3], [1]]
    assert torch.equal(reduction.apply(tokens.features), tokens.features[[0, 3, 5]])
    assert (reduction.num_kept, reduction.num_merged) == (3, 0)


def test_merged_tokens_become_the_weighted_mean() -> None:
    reduction = Reduction(into=torch.tensor([1, 1, -1, 1]), counts=(4,), weights=torch.tensor([1.0, 2.0, 9.0, 5.0]))
    features = torch.tensor([[8.0], [4.0], [100.0], [16.0]])
    assert reduction.apply(features).tolist() == [[(8 + 2 * 4 + 5 * 16) / 8]]
    assert (reduction.num_kept, reduction.num_merged) == (1, 2)


def test_means_are_taken_in_float32_and_given_in_the_type_that_came() -> None:
    reduction = Reduction(into=torch.tensor([0, 0, 0]), counts=(3,))
    features = torch.tensor([[1.0], [1.0], [1.0078125]]).bfloat16()
    merged = reduction.apply(features)
    assert merged.dtype == torch.bfloat16
    assert merged.item() == pytest.approx(torch.tensor(3.0078125 / 3).bfloat16().item())


def test_features_of_any_shape_follow_their_tokens() -> None:
    reduction = Reduction(into=torch.tensor([0, 0, 2]), counts=(3,))
    features = torch.arange(12.0).reshape(3, 2, 2)
    assert torch.equal(reduction.apply(features), torch.stack([features[:2].mean(0), features[2]]))


def test_grids_and_features_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(HostError, match=r"\[4\] tokens and their grids \[6\]"):
        FrameTokens.of([torch.zeros(4, 2)], [(2, 3)])
    with pytest.raises(HostError):
        FrameTokens.of([], [])
