import itertools
import math

import numpy as np
import pytest

from himmel.evaluation.statistics import (
    Interval,
    accuracy,
    cluster_interval,
    cluster_p_value,
    compare_paired,
    correct_for_many,
    wider,
)


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


def _three_questions_a_video(videos: int, seed: int) -> tuple[list[float], list[int]]:
    rng = np.random.default_rng(seed)
    ability = rng.random(videos)
    return [float(rng.random() < ability[k // 3]) for k in range(3 * videos)], [k // 3 for k in range(3 * videos)]


def test_cluster_bootstrap_equals_drawing_videos_by_hand() -> None:
    values, clusters = _three_questions_a_video(60, seed=3)
    rng = np.random.default_rng(1)
    means = []
    for _ in range(4000):
        drawn = rng.integers(0, 60, 60).tolist()
        points = [value for video in drawn for value, own in zip(values, clusters, strict=True) if own == video]
        means.append(sum(points) / len(points))
    low, high = np.quantile(means, [0.025, 0.975])
    found = cluster_interval(values, clusters)
    assert found.low == pytest.approx(low, abs=0.01)
    assert found.high == pytest.approx(high, abs=0.01)
    assert cluster_interval(values, clusters) == found


def test_answers_that_go_together_widen_the_interval() -> None:
    """Copies of one answer are one observation: n copies give the width of 1 / n of the answers."""
    right = [k % 3 == 0 for k in range(150)]
    alone = cluster_interval([float(one) for one in right], range(150))
    copied = cluster_interval([float(one) for one in right for _ in range(4)], [k // 4 for k in range(600)])
    assert copied == alone
    wilson = accuracy([one for one in right for _ in range(4)])
    assert wider(wilson, copied) == "cluster"
    assert wider(accuracy(right), None) == "wilson"


def test_where_all_are_right_wilson_decides() -> None:
    assert cluster_interval([1.0] * 9, [k // 3 for k in range(9)]) == Interval(1.0, 1.0)
    assert cluster_interval([1.0, 0.0, 1.0, 0.0], ["one"] * 4) == Interval(0.5, 0.5)
    assert wider(accuracy([True] * 9), Interval(1.0, 1.0)) == "wilson"


def test_clusters_of_one_give_mcnemars_p_value() -> None:
    first = [1.0] * 9 + [0.0] * 2 + [1.0] * 4
    second = [0.0] * 9 + [1.0] * 2 + [1.0] * 4
    exact = compare_paired([bool(one) for one in first], [bool(one) for one in second]).p_value
    # 2 ** 15 exchanges are tried, all there are.
    assert cluster_p_value(first, second, range(15), resamples=2**15) == pytest.approx(exact)


def test_exchanging_videos_equals_all_exchanges_by_hand() -> None:
    first = [1, 1, 1, 0, 1, 1, 0, 0, 1, 1, 1, 0]
    second = [0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0]
    clusters = [0, 0, 0, 1, 1, 2, 2, 3, 4, 4, 5, 5]
    sums = [0] * 6
    for one, other, cluster in zip(first, second, clusters, strict=True):
        sums[cluster] += one - other
    reached = [
        abs(sum(sign * value for sign, value in zip(signs, sums, strict=True))) >= abs(sum(sums))
        for signs in itertools.product((1, -1), repeat=6)
    ]
    assert cluster_p_value(first, second, clusters) == pytest.approx(sum(reached) / 64)


def test_systems_that_agree_do_not_differ() -> None:
    assert cluster_p_value([1.0, 0.0, 1.0], [1.0, 0.0, 1.0], [0, 0, 1]) == 1.0
    assert cluster_p_value([1.0, 1.0], [0.0, 0.0], ["one", "one"]) == 1.0


def test_holm_multiplies_the_smallest_by_the_most() -> None:
    assert correct_for_many([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert correct_for_many([0.6, 0.5]) == pytest.approx([1.0, 1.0])
    assert correct_for_many([]) == []


@pytest.mark.parametrize(("values", "clusters"), [([], []), ([1.0], [1, 2])])
def test_clusters_belong_to_answers(values: list[float], clusters: list[int]) -> None:
    with pytest.raises(ValueError, match="one for each"):
        cluster_interval(values, clusters)
