"""DyCoke's first stage against its definition, written as loops."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from himmel.errors import HostError, UsageError
from himmel.methods.reduction.dycoke import dycoke
from himmel.methods.reduction.tokens import FrameTokens
from vision_tokens import cosine, kept_lists, random_tokens, rows


def literal(tokens: FrameTokens, rate: float) -> list[list[int]]:
    """The paper's windows, with a merging rate that leaves whole numbers."""
    frames = rows(tokens)
    kept = [list(range(len(frame))) for frame in frames]

    def reduce(number: int, other: int) -> None:
        if number < len(frames):
            likeness = [cosine(a, b) for a, b in zip(frames[number], frames[other], strict=True)]
            order = sorted(range(len(likeness)), key=lambda place: (likeness[place], place))
            kept[number] = sorted(order[: round((1 - rate) * len(order))])

    for first in range(0, len(frames), 4):
        reduce(first + 1, first)
        reduce(first + 3, first + 2)
        reduce(first + 2, first)
    return kept


@given(st.integers(1, 11), st.sampled_from([0.1, 0.5, 0.7, 1.0]), st.integers(0, 2**32 - 1))
def test_as_the_paper_says(count: int, rate: float, seed: int) -> None:
    tokens = random_tokens(*[(2, 5)] * count, seed=seed)
    expected = literal(tokens, rate)
    keep = sum(map(len, expected)) / tokens.total + 1e-7
    assert kept_lists(dycoke(tokens, keep=min(keep, 1.0))) == expected


def test_the_default_leaves_thirty_per_cent_of_three_frames_in_four() -> None:
    assert [len(part) for part in dycoke(random_tokens(*[(4, 5)] * 8)).kept] == [20, 6, 6, 6, 20, 6, 6, 6]


def test_the_released_code_agrees_where_it_reduces() -> None:
    # With six frames it treats the first window as the paper says, and of the second its two frames.
    tokens = random_tokens(*[(2, 5)] * 6)
    frames = tokens.features.view(6, 10, -1)
    kept = dycoke(tokens, keep=(20 + 4 * 3) / 60 + 1e-7).kept
    for number, other in ((1, 0), (3, 2), (5, 4), (2, 0)):
        likeness = torch.nn.functional.cosine_similarity(frames[number], frames[other], dim=1)
        released = likeness.topk(int(0.3 * 10 + 1e-9), largest=False).indices
        assert kept[number].tolist() == sorted(released.tolist())


def test_the_exact_budget_is_met_where_it_does_not_divide() -> None:
    sizes = [len(part) for part in dycoke(random_tokens(*[(3, 3)] * 4), keep=0.5).kept]
    assert sizes == [9, 3, 3, 3]
    assert [len(part) for part in dycoke(random_tokens(*[(3, 3)] * 4), keep=0.53).kept] == [9, 4, 3, 3]


def test_a_budget_below_the_frames_that_are_never_reduced_is_refused() -> None:
    with pytest.raises(UsageError, match=r"keep=0\.2 of 32 tokens is 6.* whole, here 8 tokens; give keep=0\.25"):
        dycoke(random_tokens(*[(2, 4)] * 4), keep=0.2)


def test_frames_of_different_grids_have_no_common_places() -> None:
    with pytest.raises(HostError, match="dycoke compares the same place"):
        dycoke(random_tokens((2, 2), (1, 4)))
