import numpy as np
import pytest
from scipy.stats import binom, skew, t

from interp_emerge.stats.intervals import Interval, mean_interval, mean_intervals, ratio_interval, success_interval

DRAWS = {
    "normal": (lambda rng, shape: rng.normal(2, 3, shape), 2.0),
    "exponential": (lambda rng, shape: rng.exponential(1, shape), 1.0),
    "bounded": (lambda rng, shape: rng.beta(0.5, 2, shape), 0.2),
    "0 or 1": (lambda rng, shape: (rng.random(shape) < 0.3).astype(float), 0.3),
}


@pytest.mark.parametrize("n", [8, 16, 64])
@pytest.mark.parametrize("kind", DRAWS)
def test_the_interval_of_a_mean_contains_the_true_mean_as_often_as_it_says(kind, n):
    draw, mean = DRAWS[kind]
    _, low, high = mean_intervals(draw(np.random.default_rng(0), (n, 2000)))
    # 2000 draws: one standard error is 0.005. The percentile bootstrap of 8 values contains it in 0.83 to 0.90.
    assert ((low <= mean) & (mean <= high)).mean() >= 0.925


def test_without_skewness_the_interval_of_a_mean_is_that_of_student():
    values = np.array([1.0, 2, 3, 4, 5])
    interval = mean_interval(values)
    reach = t.ppf(0.975, 4) * values.std(ddof=1) / 5**0.5
    assert (interval.value, interval.low, interval.high) == pytest.approx((3, 3 - reach, 3 + reach))


def test_a_long_tail_moves_the_interval_of_a_mean_towards_it():
    values = np.random.default_rng(1).exponential(1, 20)
    interval, mirrored = mean_interval(values), mean_interval(-values)
    assert interval.high - interval.value > 1.2 * (interval.value - interval.low)
    assert (mirrored.low, mirrored.high) == pytest.approx((-interval.high, -interval.low))


def test_the_ends_of_an_interval_are_where_the_corrected_test_just_rejects():
    values = np.random.default_rng(2).exponential(1, 15)
    interval = mean_interval(values)
    reach, lean = t.ppf(0.975, 14), skew(values) / 15**0.5
    for end, expected in ((interval.low, reach), (interval.high, -reach)):
        statistic = (values.mean() - end) / (values.std(ddof=1) / 15**0.5)
        assert statistic + lean * statistic**2 / 3 + lean**2 * statistic**3 / 27 + lean / 6 == pytest.approx(expected)


@pytest.mark.parametrize("values", [np.array([3.0]), np.array([1.0, 2.0, 4.0, 8.0])])
def test_a_few_values_have_no_interval(values):
    interval = mean_interval(values)
    assert interval.value == values.mean() and np.isnan([interval.low, interval.high]).all()


@pytest.mark.parametrize("right", [0, 3, 7])
def test_values_that_are_0_or_1_have_the_exact_interval_of_a_share(right):
    interval, exact = mean_interval(np.arange(7) < right, share=True), success_interval(right, 7)
    assert (interval.value, interval.low, interval.high) == pytest.approx((exact.value, exact.low, exact.high))


def test_the_intervals_of_columns_are_those_of_each_column():
    values = np.random.default_rng(3).random((40, 3))
    mean, low, high = mean_intervals(values)
    for column in range(3):
        alone = mean_interval(values[:, column])
        assert (mean[column], low[column], high[column]) == pytest.approx((alone.value, alone.low, alone.high))


def test_quantities_in_proportion_have_a_ratio_without_error():
    below = np.random.default_rng(4).uniform(1, 5, 30)
    proportional = ratio_interval(0.3 * below, below)
    assert (proportional.value, proportional.low, proportional.high) == pytest.approx((0.3, 0.3, 0.3))


@pytest.mark.parametrize("n", [8, 16, 64])
def test_the_interval_of_a_ratio_contains_the_true_ratio_as_often_as_it_says(n):
    rng, hits = np.random.default_rng(0), []
    for _ in range(400):
        below = rng.exponential(1, n) + 0.5
        found = ratio_interval(0.8 * below + rng.normal(0, 0.4, n), below)
        hits.append(found.low <= 0.8 <= found.high)
    assert np.mean(hits) >= 0.92


def test_the_ends_of_a_ratio_are_those_at_which_the_difference_may_be_zero():
    rng = np.random.default_rng(1)
    below = rng.exponential(1, 12) + 0.5
    above = 0.8 * below + rng.normal(0, 0.4, 12)
    found = ratio_interval(above, below)
    assert mean_interval(above - found.low * below).low == pytest.approx(0, abs=1e-9)
    assert mean_interval(above - found.high * below).high == pytest.approx(0, abs=1e-9)


def test_a_ratio_is_that_of_the_means_and_not_the_mean_of_ratios():
    assert ratio_interval(np.array([1.0, 9.0]), np.array([2.0, 10.0])).value == pytest.approx(10 / 12)


def test_a_ratio_whose_denominator_may_be_zero_has_no_interval_and_no_warning(recwarn):
    rng = np.random.default_rng(5)
    below = rng.normal(0.1, 1, 20)
    found = ratio_interval(below / 2 + rng.normal(0, 1, 20), below)
    assert np.isfinite(found.value) and np.isnan([found.low, found.high]).all()
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


def test_equal_values_that_are_not_shares_have_an_interval_without_width():
    assert mean_interval(np.full(9, 0.5)) == Interval(0.5, 0.5, 0.5)
    assert mean_interval(np.zeros(9)) == Interval(0.0, 0.0, 0.0)
