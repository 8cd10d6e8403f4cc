"""How many tokens a budget allows, and how they are shared out; one rounding rule for every method."""

import math
from collections.abc import Sequence
from fractions import Fraction

from himmel.errors import UsageError

KEEP = 0.25
"""Share of the tokens that every method keeps unless another is asked for, so that methods can be compared."""


def check_keep(keep: float) -> float:
    """The share again.

    Raises:
        UsageError: it is no share above 0 and up to 1.
    """
    if isinstance(keep, bool) or not isinstance(keep, int | float) or not 0 < keep <= 1:
        raise UsageError(f"keep={keep!r} is no share of the tokens; give a number above 0 and up to 1, such as {KEEP}.")
    return float(keep)


def count_kept(total: int, keep: float, *, least: int = 1) -> int:
    """How many of `total` tokens are kept: `keep * total` rounded down, as the released code of EVS and VidCom2 does.

    Args:
        keep: read as the decimal number that it is written as, so that 0.29 of 100 is 29.
        least: never fewer than so many, or all if there are fewer.
    """
    return min(total, max(least, math.floor(Fraction(str(check_keep(keep))) * total)))


def share_out(budget: int, weights: Sequence[float], limits: Sequence[int], *, least: int = 0) -> list[int]:
    """Share `budget` out in proportion to weights: whole numbers, from `least` up to each one's limit.

    What a share has above its limit goes to the others, in the same proportion. Rounded down first; what is left over
    goes to the largest remainders, the earlier one in a tie. Where all weights are 0, all count alike.

    Raises:
        ValueError: the budget is less than all the least shares, or more than all the limits, together.
    """
    floors = [min(least, limit) for limit in limits]
    if not sum(floors) <= budget <= sum(limits):
        raise ValueError(f"{budget} cannot be shared out between {sum(floors)} and {sum(limits)}")
    exact = [Fraction(weight) for weight in weights]
    if not any(exact):
        exact = [Fraction(1)] * len(limits)
    shares = _clipped(budget, exact, floors, limits)
    whole = [math.floor(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda k: (whole[k] - shares[k], k))
    for k in by_remainder[: budget - sum(whole)]:
        whole[k] += 1
    return whole


def _clipped(budget: int, weights: Sequence[Fraction], floors: Sequence[int], limits: Sequence[int]) -> list[Fraction]:
    """Shares in proportion to weights within their bounds, which add up to the budget.

    Whichever bound is broken by more in all is applied first: those shares are final, the rest is shared out anew.
    """
    shares: list[Fraction] = [Fraction(0)] * len(weights)
    open_ones = list(range(len(weights)))
    left = Fraction(budget)
    while open_ones:
        total = sum((weights[k] for k in open_ones), Fraction(0))
        for k in open_ones:
            shares[k] = left * weights[k] / total if total else left / len(open_ones)
        under = [k for k in open_ones if shares[k] < floors[k]]
        over = [k for k in open_ones if shares[k] > limits[k]]
        lacking = sum((floors[k] - shares[k] for k in under), Fraction(0))
        surplus = sum((shares[k] - limits[k] for k in over), Fraction(0))
        bound, fixed = (floors, under) if lacking > surplus else (limits, over)
        if not fixed:
            return shares
        for k in fixed:
            shares[k] = Fraction(bound[k])
        left -= sum(bound[k] for k in fixed)
        open_ones = [k for k in open_ones if k not in fixed]
    return shares
