"""The control: chance alone decides."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from himmel.methods.reduction.uniform_drop import uniform_drop
from vision_tokens import kept_lists, random_tokens


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=6),
    st.floats(0.01, 1),
    st.integers(0, 2**32 - 1),
)
def test_every_frame_keeps_its_share(grids: list[tuple[int, int]], keep: float, seed: int) -> None:
    tokens = random_tokens(*grids)
    sizes = [len(part) for part in uniform_drop(tokens, keep=keep, seed=seed).kept]
    assert sum(sizes) == min(tokens.total, max(len(grids), int(tokens.total * keep + 1e-9)))
    # What frames get beyond their share, as each keeps a token, the others go without.
    shares = [keep * count for count in tokens.counts]
    beyond = sum(max(0.0, 1 - share) for share in shares)
    assert all(abs(size - share) <= 1 + beyond or size == 1 for size, share in zip(sizes, shares, strict=True))


def test_every_place_is_as_likely_as_any_other() -> None:
    tokens = random_tokens((4, 4), (4, 4))
    counts = sum(uniform_drop(tokens, seed=seed).mask.int() for seed in range(800))
    # 200 of 800 with a standard deviation of 12.
    assert isinstance(counts, torch.Tensor)
    assert counts.min() > 140
    assert counts.max() < 260


def test_the_seed_decides_alone() -> None:
    tokens, others = random_tokens((4, 4), (4, 4)), random_tokens((4, 4), (4, 4), seed=1)
    assert kept_lists(uniform_drop(tokens)) == kept_lists(uniform_drop(others))
    assert kept_lists(uniform_drop(tokens)) != kept_lists(uniform_drop(tokens, seed=1))
