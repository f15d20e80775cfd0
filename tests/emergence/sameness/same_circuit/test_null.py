"""The null hypothesis that two models have the same mean scores: noise subtracted, as many strong edges as before."""

import numpy as np
import pytest
from scipy.stats import kstest

from interp_emerge.emergence.sameness.same_circuit.halves import Classes, Edges, draw_halves, of_halves, similarities
from interp_emerge.emergence.sameness.same_circuit.null import (
    _drawn,
    _pooled,
    _SameMeans,
    _SameOrder,
    _SameShares,
    same_scores,
)


def noisy(mean: np.ndarray, noise: float, seed: int, n: int = 64) -> np.ndarray:
    return mean + noise * np.random.default_rng(seed).normal(size=(n, len(mean)))


def test_equal_means_in_other_units_stay_what_they_are(rng: np.random.Generator):
    mean = rng.standard_t(3, 60)
    images = rng.permutation(60)
    theirs = np.empty(60)
    theirs[images] = 100 * mean
    found, spread = _pooled(Edges((5, 5), images), [np.tile(mean, (4, 1)), np.tile(theirs, (4, 1))])
    assert spread == pytest.approx((0, 0), abs=1e-12)
    np.testing.assert_allclose(found[0], mean)
    np.testing.assert_allclose(found[1], theirs)


def test_the_mean_of_a_noisy_edge_comes_from_the_model_with_less_noise():
    mean = np.array([3.0, 2.0, 1.0, 0.5])
    loud = np.array([3.0, 2.0, 1.0, 9.0]) + np.outer(np.tile([-1.0, 1.0], 8), [0, 0, 0, 30.0])
    found, spread = _pooled(Edges((2, 2), np.arange(4)), [np.tile(mean, (16, 1)), loud])
    # Only the scale of the noisy model is uncertain. The scores of the other model are known.
    assert spread[0] == pytest.approx(0) and spread[1] >= 0
    assert np.argsort(-found[1])[:2].tolist() == [0, 1]


def test_magnitudes_of_edges_without_an_image_go_to_matched_ones():
    mine, theirs = np.array([4.0, 1.0, 0.5, 0.1]), np.array([1.0, 0.5, 0.1])
    found, _ = _pooled(Edges((2, 2), np.array([-1, 0, 1, 2])), [np.tile(mine, (4, 1)), np.tile(theirs, (4, 1))])
    np.testing.assert_allclose(found[0], [0.1, 4, 1, 0.5])
    np.testing.assert_allclose(found[1], theirs)


def test_magnitudes_of_edges_without_an_image_change_no_shares_of_classes():
    mine, theirs = np.array([4.0, 3.0, 1.0, 0.1]), np.array([4.0, 3.0, 1.0, 0.1, 3.5, 2.0])
    codes = np.array([0, 1, 2, 3]), np.array([0, 1, 2, 3, 0, 1])
    space = Classes(Edges((4, 4), np.arange(4)), codes)
    null = _SameMeans(space, [np.tile(mine, (4, 1)), np.tile(theirs, (4, 1))])
    shares = [null.space.of(side, mean[None])[1] for side, mean in enumerate(null.pooled)]
    np.testing.assert_allclose(shares[0], shares[1])
    np.testing.assert_allclose(null.pooled[0], mine)
    np.testing.assert_allclose(null.pooled[1], [*mine * theirs.sum() / mine.sum(), 0, 0])


def test_shares_are_moved_until_both_models_have_the_same():
    a, b = np.array([3.0, 1.0, 0.0, 0.0]), np.array([0.0, 1.0, 2.0, 0.1])
    space = Classes(Edges((2, 2), np.arange(4)), (np.array([0, 1, 2, 2]), np.array([0, 1, 2, 2])))
    null = _SameShares(space, [np.tile(a, (4, 1)), np.tile(b, (4, 1))])
    moved = [null.moved(space.of(side, mean[None]))[1] for side, mean in enumerate((a, b))]
    np.testing.assert_allclose(moved[0], moved[1])
    assert moved[0].sum() == pytest.approx(1)


def test_a_difference_without_noise_never_occurs_under_the_null(rng: np.random.Generator):
    mean, other = rng.standard_t(3, 60), rng.standard_t(3, 60)
    space = Edges((10, 10), np.arange(60))
    found = same_scores(space, [noisy(mean, 0.0, 1), noisy(other, 0.0, 2)], 9, 0)
    assert found.p_value == pytest.approx(1 / 10) and found.indices == pytest.approx(1) and found.ratio == 1
    same = same_scores(space, [noisy(mean, 0.0, 1), noisy(mean, 0.0, 2)], 9, 0)
    assert same.p_value == 1


@pytest.mark.calibration
@pytest.mark.slow
def test_p_values_of_the_same_means_are_uniform_if_each_edge_has_its_own_noise():
    once, found = np.random.default_rng(0), []
    mean, images = once.standard_t(3, 110), once.permutation(110)
    theirs = np.empty(110)
    theirs[images] = 5 * mean
    space = Edges((20, 20), images)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        loud = 2 * np.exp(rng.normal(size=(2, 1, 110)))
        values = [mean + loud[0] * rng.normal(size=(64, 110)), theirs + 5 * loud[1] * rng.normal(size=(64, 110))]
        first = draw_halves(values, 10, rng)
        observed, *_ = similarities(space, *(of_halves(space, side, values[side], first[side]) for side in (0, 1)))
        found.append(_drawn(_SameMeans(space, values), values, first, observed, 39, rng).p_value)
    assert kstest(found, "uniform").pvalue > 0.01


def test_the_same_order_keeps_the_magnitudes_of_each_model(rng: np.random.Generator):
    a, b = np.array([4.0, -3.0, 1.0, 0.0]), np.array([0.3, -0.4, 0.1, 0.0])
    values = [np.tile(a, (4, 1)), np.tile(b, (4, 1))]
    null = _SameOrder(_SameMeans(Edges((2, 2), np.arange(4)), values), values)
    orders = [np.argsort(-np.abs(mean)).tolist() for mean in null.means(rng)]
    assert orders[0] == orders[1]
    np.testing.assert_allclose(np.sort(np.abs(null.own[1])), [0, 0.1, 0.3, 0.4])
