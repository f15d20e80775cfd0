"""Overlap of sets and of weights."""

import numpy as np
import pytest

from interp_emerge.stats.sets import jaccard, jaccard_of_weights


def test_two_empty_sets_have_no_index():
    assert np.isnan(jaccard(0, 0, 0))
    assert np.isnan(jaccard_of_weights(np.zeros(3), np.zeros(3)))
    assert jaccard_of_weights(np.zeros(3), np.zeros(3), empty=0.0) == 0
    assert jaccard(np.array([0, 1]), np.array([0, 1]), 1) == pytest.approx([0, 1])


def test_the_index_of_weights_of_one_is_that_of_sets():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 20, 9)) < 0.4
    found = jaccard_of_weights(a.astype(float), b.astype(float))
    assert found == pytest.approx(jaccard((a & b).sum(1), a.sum(1), b.sum(1)))
    assert jaccard_of_weights(np.array([1.0, 2.0, 0.0]), np.array([2.0, 1.0, 1.0])) == 2 / 5
