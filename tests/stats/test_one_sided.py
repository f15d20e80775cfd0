import numpy as np
import pytest
from scipy.stats import binomtest, t

from interp_emerge.stats.intervals import mean_interval
from interp_emerge.stats.one_sided import CAUTION, mean_over_runs, one_sided


@pytest.mark.parametrize("right", [0, 5, 11, 20])
def test_values_that_are_0_or_1_have_the_binomial_test(right: int):
    above, below = one_sided([(np.arange(20) < right).astype(float)], 0.4)
    assert above == pytest.approx(binomtest(right, 20, 0.4, alternative="greater").pvalue)
    assert below == pytest.approx(binomtest(right, 20, 0.4, alternative="less").pvalue)


def test_without_skewness_the_test_is_that_of_student_with_caution():
    values = np.array([1.0, 2, 3, 4, 5, 6])
    above, below = one_sided([values], 1.5)
    statistic = (values.mean() - 1.5) / (values.std(ddof=1) / 6**0.5)
    assert above == pytest.approx(CAUTION * t.sf(statistic, 5))
    assert below == 1


@pytest.mark.parametrize("spread", [0.5, 1.0])
def test_values_with_a_long_lower_tail_are_rarely_called_above_their_mean(spread: float):
    rng = np.random.default_rng(0)
    called = [
        one_sided([-rng.lognormal(0, spread, 16)], -float(np.exp(spread**2 / 2)))[0] <= 0.025 for _ in range(1500)
    ]
    # Student's test calls 8% and 13% of them so.
    assert np.mean(called) <= 0.05


def test_few_values_and_equal_ones():
    assert one_sided([np.array([5.0, 6.0, 5.5, 5.1])], 0.0) == (1.0, 1.0)
    assert one_sided([np.full(8, 0.3)], 0.0) == (0.0, 1.0)


def test_runs_that_differ_widen_the_interval_and_three_that_agree_do_not():
    rng = np.random.default_rng(1)
    alike = [0.5 + rng.normal(0, 0.1, 64) for _ in range(3)]
    apart = [level + rng.normal(0, 0.1, 64) for level in (0.1, 0.5, 0.9)]
    narrow, wide = mean_over_runs(alike), mean_over_runs(apart)
    assert narrow.high - narrow.low < 0.15 < 0.9 < wide.high - wide.low
    assert mean_over_runs(alike[:1]) == mean_interval(alike[0])


def test_the_interval_over_runs_contains_their_expected_mean_as_often_as_it_says():
    rng = np.random.default_rng(2)
    for n_runs in (2, 3, 5):
        held = 0
        for _ in range(1000):
            found = mean_over_runs([rng.normal(0, 1) + rng.normal(0, 1, 16) for _ in range(n_runs)])
            held += found.low <= 0 <= found.high
        assert held >= 925


def test_the_interval_of_a_share_over_runs_lies_between_0_and_1():
    runs = [np.ones(20), np.zeros(20)]
    found = mean_over_runs(runs, share=True)
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)


def test_runs_that_are_all_right_are_tested_as_one_of_them():
    assert one_sided([np.ones(16)] * 3, 0.9) == one_sided([np.ones(16)], 0.9)
    assert mean_over_runs([np.ones(16)] * 3, share=True) == mean_interval(np.ones(16), share=True)


def test_runs_of_other_numbers_of_prompts_keep_the_noise_of_prompts():
    runs = [np.array([0.0, 1.0] * 4), np.array([0.0, 1.0] * 6)]
    found = mean_over_runs(runs)
    assert found.low < 0.3 < 0.7 < found.high
    assert min(one_sided(runs, 0.4)) > 0.05


def test_several_runs_of_a_few_prompts_decide_nothing():
    assert one_sided([np.array([1.0])] * 3, 0.5)[0] == pytest.approx(0.5)
    assert one_sided([np.array([0.2, 0.3, 0.4])] * 3, 0.0) == (1.0, 1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_shares_of_any_type_are_tested_without_a_warning(dtype: type, recwarn: pytest.WarningsRecorder):
    assert one_sided([(np.arange(20) < 5).astype(dtype)], 0.4) == one_sided([(np.arange(20) < 5).astype(float)], 0.4)
    assert not recwarn
