"""Bootstrap samples as rows and as weights."""

import numpy as np
import pytest

from interp_emerge.stats.resampling import draw_weights, draw_weights_of_few, resample_rows, resample_weights


def test_weights_give_the_means_of_the_rows():
    values = np.random.default_rng(0).normal(size=(17, 3))
    rows = resample_rows(17, resamples=50, seed=4)
    assert resample_weights(17, resamples=50, seed=4) @ values == pytest.approx(values[rows].mean(1))


def test_the_observed_mean_comes_first_and_leaves_the_samples_unchanged():
    values = np.random.default_rng(1).normal(size=9)
    weights = resample_weights(9, resamples=20, seed=2, observed_first=True)
    assert weights.shape == (21, 9)
    assert weights[0] @ values == pytest.approx(values.mean())
    assert (weights[1:] == resample_weights(9, resamples=20, seed=2)).all()


def test_weights_of_every_sample_sum_to_one_and_count_whole_draws():
    for weights in (resample_weights(7, resamples=30), draw_weights(np.random.default_rng(3), 7, resamples=30)):
        assert weights.sum(1) == pytest.approx(np.ones(30))
        assert weights * 7 == pytest.approx((weights * 7).round())


def test_a_generator_draws_new_samples_each_time_and_its_seed_repeats_them():
    rng = np.random.default_rng(5)
    first, second = draw_weights(rng, 6, resamples=4), draw_weights(rng, 6, resamples=4)
    assert (first != second).any()
    assert (first == draw_weights(np.random.default_rng(5), 6, resamples=4)).all()


@pytest.mark.parametrize("n", [2, 3, 5])
def test_samples_of_a_few_runs_vary_as_their_mean_does(n: int):
    values = np.random.default_rng(n).normal(size=n)
    weights = draw_weights_of_few(np.random.default_rng(8), n, resamples=20_000)
    assert weights.sum(1) == pytest.approx(np.ones(20_000))
    assert (weights @ values).var() == pytest.approx(values.var(ddof=1) / n, rel=0.05)
    # Bootstrap samples of two items vary half as much.
    plain = draw_weights(np.random.default_rng(8), n, resamples=20_000) @ values
    assert plain.var() == pytest.approx((n - 1) / n * values.var(ddof=1) / n, rel=0.05)


def test_one_run_has_one_sample():
    assert (draw_weights_of_few(np.random.default_rng(9), 1, resamples=4) == 1).all()


def test_means_of_samples_spread_as_the_mean_of_independent_values_does():
    values = np.random.default_rng(6).normal(size=100)
    expected = values.std() / 10
    for weights in (resample_weights(100), draw_weights(np.random.default_rng(7), 100)):
        # The standard deviation of 1000 samples is known to 2%.
        assert (weights @ values).std() == pytest.approx(expected, rel=0.08)
