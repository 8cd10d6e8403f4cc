"""How many tokens a budget allows, and how they are shared out."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from himmel.errors import UsageError
from himmel.methods.reduction.budget import check_keep, count_kept, share_out


@pytest.mark.parametrize(
    ("total", "keep", "kept"), [(100, 0.29, 29), (100, 0.58, 58), (7, 0.5, 3), (3, 0.25, 1), (10, 1.0, 10), (10, 1, 10)]
)
def test_a_budget_is_rounded_down_as_it_is_written(total: int, keep: float, kept: int) -> None:
    assert count_kept(total, keep) == kept


def test_the_least_wins_over_the_share_and_the_total_over_both() -> None:
    assert count_kept(100, 0.01, least=8) == 8
    assert count_kept(5, 0.01, least=8) == 5


@pytest.mark.parametrize("keep", [0, -0.1, 1.5, float("nan"), True, "0.5", None])
def test_what_is_no_share_is_refused(keep: object) -> None:
    with pytest.raises(UsageError, match="keep="):
        check_keep(keep)  # type: ignore[arg-type]


def test_shares_follow_weights() -> None:
    assert share_out(10, [1, 3, 1], [100, 100, 100]) == [2, 6, 2]


def test_what_is_above_a_limit_goes_to_the_others() -> None:
    assert share_out(12, [8, 1, 1], [4, 100, 100]) == [4, 4, 4]


def test_nobody_gets_less_than_the_least() -> None:
    assert share_out(10, [0, 1, 0], [5, 8, 5], least=1) == [1, 8, 1]


def test_weights_of_nothing_count_alike_and_the_earlier_gets_the_rest() -> None:
    assert share_out(5, [0, 0, 0], [9, 9, 9]) == [2, 2, 1]


def test_a_budget_beyond_the_limits_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="cannot be shared out"):
        share_out(10, [1, 1], [4, 5])


weights = st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 40)), min_size=1, max_size=12)


@given(weights, st.integers(0, 1), st.floats(0, 1))
def test_shares_meet_the_budget_within_their_bounds(parts: list[tuple[float, int]], least: int, part: float) -> None:
    limits = [limit for _, limit in parts]
    lowest = least * len(parts)
    budget = lowest + round(part * (sum(limits) - lowest))
    shares = share_out(budget, [weight for weight, _ in parts], limits, least=least)
    assert sum(shares) == budget
    assert all(least <= share <= limit for share, limit in zip(shares, limits, strict=True))


@given(weights, st.floats(0, 1))
def test_free_shares_keep_their_proportion(parts: list[tuple[float, int]], part: float) -> None:
    limits = [limit for _, limit in parts]
    shares = share_out(round(part * sum(limits)), [weight for weight, _ in parts], limits)
    free = [
        (share, Fraction(weight))
        for share, (weight, limit) in zip(shares, parts, strict=True)
        if 0 < share < limit and weight > 0
    ]
    # Per unit of weight, rounding alone tells them apart.
    for share, weight in free:
        for other, its in free:
            assert (share - 1) * its < (other + 1) * weight
