"""Means less what noise adds to them."""

import numpy as np
import pytest

from interp_emerge.stats.shrinkage import shrunk


@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_shrunk_means_have_the_squares_of_the_means_less_what_noise_adds(scale: float, rng: np.random.Generator):
    variance = np.exp(rng.normal(size=200)) * scale
    mean = rng.standard_t(3, 200) * 2 + np.sqrt(variance) * rng.normal(size=200)
    found = shrunk(mean, variance)
    assert (found**2).sum() == pytest.approx((mean**2 - variance).sum())
    assert (np.abs(found) <= np.abs(mean)).all() and (found * mean >= 0).all() and (found == 0).any()


def test_means_without_noise_stay_and_means_of_noise_alone_vanish(rng: np.random.Generator):
    mean = rng.normal(size=50)
    np.testing.assert_array_equal(shrunk(mean, np.zeros(50)), mean)
    np.testing.assert_array_equal(shrunk(mean, np.full(50, 10.0)), np.zeros(50))
