import math

import pytest

from himmel.evaluation.statistics import accuracy, compare_paired


def test_wilson_interval_of_the_reports_main_result() -> None:
    measured = accuracy([True] * 1715 + [False] * 985)
    assert (round(100 * measured.low, 2), round(100 * measured.high, 2)) == (61.68, 65.31)


@pytest.mark.parametrize(("correct", "total"), [(0, 5), (5, 5), (3, 10), (1, 1)])
def test_wilson_interval_solves_its_defining_equation(correct: int, total: int) -> None:
    measured = accuracy([True] * correct + [False] * (total - correct))
    for bound in (measured.low, measured.high):
        distance = abs(measured.share - bound)
        assert math.isclose(distance, 1.959964 * math.sqrt(bound * (1 - bound) / total), abs_tol=1e-5)


def test_accuracy_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        accuracy([])


def test_mcnemar_equals_the_two_sided_binomial_tail() -> None:
    first = [True] * 9 + [False] * 2 + [True] * 20
    second = [False] * 9 + [True] * 2 + [True] * 20
    compared = compare_paired(first, second)
    tail = sum(math.comb(11, k) for k in range(3)) / 2**11
    assert (compared.only_first, compared.only_second) == (9, 2)
    assert math.isclose(compared.p_value, 2 * tail)


def test_mcnemar_needs_the_same_questions() -> None:
    with pytest.raises(ValueError, match="3 and 2"):
        compare_paired([True] * 3, [True] * 2)
