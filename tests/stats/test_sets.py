"""Overlap of sets and of weights, compared with that of random ones."""

from itertools import combinations

import numpy as np
import pytest

from interp_emerge.stats.sets import SetOverlap, jaccard, jaccard_of_weights, random_jaccards_of_weights


def test_the_null_of_a_pair_of_sets_is_that_of_all_pairs_of_their_sizes():
    """All 10 · 10 pairs of a set of 3 and a set of 2 out of 5 items."""
    threes, twos = ([{*some} for some in combinations(range(5), n)] for n in (3, 2))
    indices = np.sort([len(a & b) / len(a | b) for a in threes for b in twos])
    null = SetOverlap(n_possible=5, n_a=3, n_b=2, shared=0).random
    assert null.value == pytest.approx(indices.mean())
    assert (null.low, null.high) == (indices[2], indices[97])
    for shared in range(3):
        expected = np.mean([len(a & b) >= shared for a in threes for b in twos])
        assert SetOverlap(n_possible=5, n_a=3, n_b=2, shared=shared).p_value == pytest.approx(expected)


def test_the_overlap_of_two_sets_by_hand():
    a, b = np.array([1, 1, 1, 0, 0], dtype=bool), np.array([0, 1, 1, 1, 0], dtype=bool)
    found = SetOverlap.of(a, b, 5)
    assert (found.n_a, found.n_b, found.shared, found.jaccard) == (3, 3, 2, 0.5)


def test_two_empty_sets_have_no_index():
    empty = SetOverlap(n_possible=5, n_a=0, n_b=0, shared=0)
    assert np.isnan([empty.jaccard, empty.random.value]).all()
    assert np.isnan(jaccard_of_weights(np.zeros(3), np.zeros(3)))
    assert jaccard_of_weights(np.zeros(3), np.zeros(3), empty=0.0) == 0
    assert jaccard(np.array([0, 1]), np.array([0, 1]), 1) == pytest.approx([0, 1])


def test_the_index_of_weights_of_one_is_that_of_sets():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 20, 9)) < 0.4
    found = jaccard_of_weights(a.astype(float), b.astype(float))
    assert found == pytest.approx(jaccard((a & b).sum(1), a.sum(1), b.sum(1)))
    assert jaccard_of_weights(np.array([1.0, 2.0, 0.0]), np.array([2.0, 1.0, 1.0])) == 2 / 5


def test_random_indices_of_weights_have_the_mean_of_all_placements():
    a, b = np.array([1.0, 3.0]), np.array([2.0])
    # b's weight falls on each item of a with probability 1/4, on neither with 1/2: 1 of 5 shared, 2 of 4, or none.
    drawn = random_jaccards_of_weights(a, b, 4, count=4000, rng=np.random.default_rng(1))
    assert sorted({*drawn.round(6)}) == pytest.approx([0, 1 / 5, 1 / 2], abs=1e-5)
    # Standard error: 0.003.
    assert drawn.mean() == pytest.approx((1 / 5 + 1 / 2) / 4, abs=0.012)
