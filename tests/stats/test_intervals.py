import numpy as np
import pytest
from scipy.stats import binom

from interp_emerge.stats.intervals import Interval, mean_interval, mean_intervals, ratio_interval, success_interval


def test_the_interval_of_a_mean_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = [
        interval.low <= 2 <= interval.high for interval in (mean_interval(rng.normal(2, 3, 50)) for _ in range(400))
    ]
    # 400 draws: one standard error is 0.011; the percentile bootstrap of 50 values covers about 0.94.
    assert 0.91 <= np.mean(hits) <= 0.97


def test_the_interval_of_a_mean_is_that_of_the_normal_law():
    values = np.random.default_rng(1).normal(0, 1, 2000)
    interval = mean_interval(values)
    assert interval.value == values.mean()
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / 2000**0.5, rel=0.1)


def test_the_interval_of_a_constant_has_no_width():
    assert mean_interval(np.full(9, 0.5)) == Interval(0.5, 0.5, 0.5)


def test_the_same_values_give_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(2).random(30)
    assert mean_interval(values) == mean_interval(values)
    assert mean_interval(values, seed=1).low != mean_interval(values).low


def test_the_intervals_of_columns_are_those_of_each_column():
    values = np.random.default_rng(3).random((40, 3))
    mean, low, high = mean_intervals(values)
    for column in range(3):
        alone = mean_interval(values[:, column])
        assert (mean[column], low[column], high[column]) == pytest.approx((alone.value, alone.low, alone.high))


def test_the_intervals_of_many_columns_are_those_of_each_column():
    values = np.random.default_rng(5).random((12, 2500))
    _, low, high = mean_intervals(values)
    for column in (0, 1023, 1024, 2499):
        alone = mean_interval(values[:, column])
        assert (low[column], high[column]) == pytest.approx((alone.low, alone.high))


def test_a_ratio_resamples_both_quantities_together():
    below = np.random.default_rng(4).uniform(1, 5, 30)
    proportional = ratio_interval(0.3 * below, below)
    assert (proportional.value, proportional.low, proportional.high) == pytest.approx((0.3, 0.3, 0.3))


def test_a_ratio_is_that_of_the_means_and_not_the_mean_of_ratios():
    assert ratio_interval(np.array([1.0, 9.0]), np.array([2.0, 10.0])).value == pytest.approx(10 / 12)


def test_a_ratio_with_a_zero_denominator_in_some_resamples_has_no_interval_and_no_warning(recwarn):
    below = np.array([1.0] + [0.0] * 9)
    found = ratio_interval(below / 2, below)
    assert found.value == 0.5
    assert np.isnan([found.low, found.high]).all()
    assert not recwarn


def test_an_interval_reads_as_a_value_with_its_ends_and_as_undefined_without_a_value():
    interval = Interval(0.844, 0.79, 0.881)
    assert str(interval) == f"{interval}" == "0.84 [0.79, 0.88]"
    assert f"{interval:.0%}" == "84% [79%, 88%]"
    assert str(Interval.undefined()) == f"{Interval.undefined():.0%}" == "undefined"


@pytest.mark.parametrize(
    ("names", "columns"),
    [(("drop",), ["drop", "drop_low", "drop_high"]), (("value", "ci"), ["value", "ci_low", "ci_high"])],
)
def test_an_interval_comes_back_from_the_columns_that_it_was_written_to(names, columns):
    interval = Interval(0.5, 0.25, 1.0)
    row = interval.columns(*names)
    assert [*row] == columns and [*row.values()] == [0.5, 0.25, 1.0]
    assert Interval.of(row, *names) == interval


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (3, 7), (7, 7)])
def test_the_exact_interval_of_a_share_ends_where_one_tail_has_2_5_percent(successes, n):
    found = success_interval(successes, n)
    if successes:
        assert binom.sf(successes - 1, n, found.low) == pytest.approx(0.025)
    if successes < n:
        assert binom.cdf(successes, n, found.high) == pytest.approx(0.025)
    assert (found.low == 0) == (successes == 0) and (found.high == 1) == (successes == n)
