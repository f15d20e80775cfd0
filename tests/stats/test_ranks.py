"""Ranks among draws of a null: rates of false rejection, ties, NaN, and rank correlations."""

from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from scipy.stats import ConstantInputWarning, permutation_test, spearmanr

from interp_emerge.core.errors import InputError
from interp_emerge.stats.ranks import (
    TIE,
    beyond_and_tied,
    least_p,
    null_quantile,
    rank_p,
    spearman,
    tolerance,
)


@pytest.mark.parametrize("side", ["greater", "less"])
@pytest.mark.parametrize("numbers", [(0.0, 1.0, 2.0, 3.0, 4.0), (0.0, 0.0, 1.0, 1.0, 2.0), (1.0, 1.0, 1.0, 1.0, 1.0)])
def test_over_all_orders_the_null_is_rejected_at_most_as_often_as_the_level_says(numbers, side):
    p_values = np.array([rank_p(order[0], np.array(order[1:]), side=side) for order in permutations(numbers)])
    levels = np.arange(1, 6) / 5
    rejected = (p_values[:, None] <= levels + 1e-12).mean(0)
    assert (rejected <= levels + 1e-12).all()
    if len(set(numbers)) == 5:
        assert rejected == pytest.approx(levels)


def test_the_p_value_of_draws_without_replacement_is_that_of_scipys_permutation_test():
    a, b = np.array([1.3, 2.7, 4.1, 5.9]), np.array([0.2, 0.9, 3.3])

    def difference(x, y, axis=-1):
        return x.mean(axis) - y.mean(axis)

    # There are 35 splits. With more resamples than that SciPy takes each of them once.
    found: Any = permutation_test((a, b), difference, alternative="greater", n_resamples=99)
    null = found.null_distribution
    # The 35 splits include the observed one, which SciPy counts once and `rank_p` adds to the draws.
    others = np.delete(null, np.abs(null - found.statistic).argmin())
    assert rank_p(found.statistic, others) == pytest.approx(found.pvalue)


def test_a_rank_by_hand():
    null = np.array([0.0, 1.0, 2.0, 3.0])
    assert rank_p(2.5, null) == 2 / 5
    assert rank_p(2.5, null, side="less") == 4 / 5
    assert rank_p(9.0, null) == least_p(4) == 1 / 5
    assert least_p(19, n_tests=3) == 3 / 20


def test_ties_count_against_the_claim_on_both_sides():
    null = np.array([1.0, 2.0, 2.0, 3.0])
    assert rank_p(2.0, null) == rank_p(2.0, null, side="less") == 4 / 5


@pytest.mark.parametrize("factor", [1.0, 1e-30, 1e30])
def test_a_draw_ties_within_the_tolerance_and_not_beyond_it_in_any_unit(factor):
    null = factor * np.array([1 - 0.9 * TIE, 1 - 1.1 * TIE, 0.0])
    beyond, tied = beyond_and_tied(factor, null)
    assert tied.tolist() == [True, False, False] and not beyond.any()
    assert rank_p(factor, null) == 2 / 4
    beyond, tied = beyond_and_tied(factor, null, side="less")
    assert beyond.tolist() == [False, True, True]


def test_rounding_in_float32_is_a_tie_also_near_zero():
    """The tolerance is a fraction of the largest magnitude: a difference of large metrics contains their rounding."""
    rng = np.random.default_rng(0)
    metrics = rng.normal(5, 1, 50).astype(np.float32)
    noisy = (metrics + rng.normal(0, 3e-6, 50)).mean() - metrics.mean()
    assert abs(noisy) > 1e-9
    assert rank_p(max(noisy, -noisy), np.array([0.0, -2.0, -5.0])) == 2 / 4


def test_a_second_value_decides_between_ties_of_the_first_and_nothing_else():
    null, second = np.array([1.0, 1.0, 1.0, 2.0, 0.0]), np.array([1.0, 2.0, 3.0, 0.0, 9.0])
    assert rank_p(1.0, null) == 5 / 6
    assert rank_p(1.0, null, then=(2.5, second)) == 3 / 6
    assert rank_p(1.0, null, then=(2.0, second)) == 4 / 6
    assert rank_p(1.0, null, side="less", then=(2.0, second)) == 4 / 6


def test_nan_has_no_rank_and_draws_that_are_nan_are_left_out():
    null = np.array([1.0, np.nan, 3.0])
    assert rank_p(2.0, null) == 2 / 3
    assert np.isnan([rank_p(np.nan, null), rank_p(2.0, np.array([])), rank_p(2.0, np.array([np.nan]))]).all()


def test_infinite_values_are_ranked_and_leave_the_tolerance_alone(recwarn):
    null = np.array([-np.inf, 1.0, 2.0, np.inf])
    assert rank_p(1.5, null) == 3 / 5
    assert rank_p(np.inf, null) == 2 / 5
    assert rank_p(-np.inf, null, side="less") == 2 / 5
    assert tolerance(null) == 2 * TIE
    assert not recwarn


def test_the_magnitude_of_the_terms_of_a_difference_counts_for_the_tolerance():
    """Shares of a gap that are about zero contain the rounding error of the whole gap."""
    null = np.array([-2e-8, 1e-8, -0.01])
    assert rank_p(0.0, null) == 3 / 4
    assert rank_p(0.0, np.array([-2e-8, -1e-8])) == 1 / 3
    assert rank_p(0.0, np.array([-2e-8, -1e-8]), magnitude=1.0) == 1
    assert rank_p(0.0, np.array([-2e-8, -1e-8]), magnitude=1e-4) == 1 / 3


def test_draws_that_cannot_be_ranked_are_refused():
    with pytest.raises(InputError, match=r"shape \[2, 2\] cannot be ranked; give one number"):
        rank_p(1.0, np.zeros((2, 2)))
    with pytest.raises(InputError, match=r"shape \[2\] cannot be ranked"):
        rank_p(1.0, np.zeros(3), then=(1.0, np.zeros(2)))


def test_a_value_above_the_quantile_of_a_null_has_p_of_at_most_a_twentieth():
    null = np.random.default_rng(2).random((39, 3))
    bound = null_quantile(null)
    assert np.isin(bound, null).all()
    assert [rank_p(value + 1e-3, null[:, column]) <= 0.05 for column, value in enumerate(bound)] == [True] * 3
    # The largest draw of 39 exceeds it, and so does the next.
    assert ((null > bound).sum(0) == 1).all()


def of_scipy(x: np.ndarray, y: np.ndarray) -> float:
    found: Any = spearmanr(x, y)
    return found.statistic


def test_spearmans_correlation_is_that_of_scipy_with_and_without_ties():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(6, 20))
    y = rng.integers(0, 4, (6, 20)).astype(float)
    assert spearman(x, y) == pytest.approx([of_scipy(*rows) for rows in zip(x, y, strict=True)], abs=1e-14)
    assert spearman(x[0], y) == pytest.approx([of_scipy(x[0], row) for row in y], abs=1e-14)


def test_spearmans_correlation_by_hand():
    x = np.arange(4.0)
    # 1 − 6 Σ d² / (n (n² − 1)), with d = 1, 1, 0, 0; a perfect order is exactly one.
    assert spearman(x, np.array([10.0, 5.0, 20.0, 30.0])) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert [float(spearman(x, np.exp(x))), float(spearman(x, -x))] == [1.0, -1.0]


def test_the_mean_of_spearmans_correlation_over_all_orders_is_zero():
    orders = np.array([*permutations(range(5))], dtype=float)
    assert spearman(np.arange(5.0), orders).mean() == pytest.approx(0, abs=1e-15)


def test_a_constant_side_a_single_value_and_nan_have_no_rank_correlation(recwarn):
    x = np.arange(3.0)
    assert np.isnan(spearman(x, np.array([np.ones(3), [1.0, np.nan, 2.0]]))).all()
    assert np.isnan(spearman(np.ones(1), np.ones(1)))
    assert not recwarn
    with pytest.warns(ConstantInputWarning):
        assert np.isnan(of_scipy(x, np.ones(3)))


def test_all_ways_to_tie_two_values_keep_p_within_its_bounds():
    for value, *null in product([0.0, 1.0], repeat=5):
        assert least_p(4) <= rank_p(value, np.array(null)) <= 1
