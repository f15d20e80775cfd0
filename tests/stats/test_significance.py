from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest, kstest

from interp_emerge.core.errors import InputError
from interp_emerge.stats.significance import false_discovery, holm, sign_flip_p_values


def enumerated(values: np.ndarray) -> np.ndarray:
    """P-values from all choices of signs. One sign is fixed, since flipping all signs keeps the distance from zero."""
    signs = (np.arange(2 ** (len(values) - 1))[:, None] >> np.arange(len(values)) & 1) * 2.0 - 1
    as_far = [np.abs(part @ values) >= np.abs(values.sum(0)) - 1e-9 for part in np.array_split(signs, 64)]
    return np.concatenate(as_far).mean(0)


def counted_by_halves(values: np.ndarray) -> float:
    """The p-value of one column from every pair of totals of its two halves."""
    halves = [np.array(list(product(*((x, -x) for x in half)))).sum(1) for half in np.array_split(values, 2)]
    observed, second = abs(values.sum()) * (1 - 1e-12), np.sort(halves[1])
    above = len(second) - np.searchsorted(second, observed - halves[0], side="left")
    below = np.searchsorted(second, -observed - halves[0], side="right")
    return float(np.minimum(above + below, len(second)).mean() / len(second))


def drawn(law: str, n: int, columns: int, *, shift: float = 0) -> np.ndarray:
    """Values symmetric about the shift, shape [pair, column]."""
    rng = np.random.default_rng(n)
    match law:
        case "normal":
            return rng.normal(shift, 1, (n, columns))
        case "heavy tails":
            return shift + rng.standard_cauchy((n, columns))
        case "right or wrong":
            return np.clip(np.round(rng.normal(shift, 1, (n, columns))), -1, 1)
        case _:
            return np.round(8 * rng.normal(shift, 1, (n, columns))) / 8


LAWS = ["normal", "heavy tails", "right or wrong", "half precision"]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("shift", [0, 0.5, 2])
@pytest.mark.parametrize("n", [1, 2, 10, 12])
def test_few_pairs_have_the_p_value_of_all_choices_of_signs(n: int, shift: float, law: str):
    values = drawn(law, n, 30, shift=shift)
    np.testing.assert_allclose(sign_flip_p_values(values), enumerated(values), rtol=1e-12)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("shift", [0, 0.5])
@pytest.mark.parametrize("n", [13, 16, 18])
def test_up_to_24_pairs_have_the_p_value_of_all_choices_of_signs(n: int, shift: float, law: str):
    values = drawn(law, n, 40, shift=shift)
    np.testing.assert_allclose(sign_flip_p_values(values), enumerated(values), rtol=1e-12)


@pytest.mark.parametrize("law", [*LAWS, "nearly equal", "equal", "nearly equal, two sizes"])
@pytest.mark.parametrize("share", [0.5, 0.7])
@pytest.mark.parametrize("n", [24, 26])
def test_more_pairs_have_nearly_the_p_value_of_all_choices_of_signs(n: int, share: float, law: str):
    rng, shape = np.random.default_rng(n), (n, 20)
    match law:
        case "nearly equal":
            sizes = 1 + 0.01 * rng.normal(size=shape)
        case "equal":
            sizes = np.ones(shape)
        case "nearly equal, two sizes":
            sizes = rng.choice([0.1, 1], size=shape) * (1 + 0.001 * rng.normal(size=shape))
        case _:
            sizes = np.abs(drawn(law, *shape))
    values = sizes * np.where(rng.random(shape) < share, 1, -1)
    expected = np.array([counted_by_halves(column) for column in values.T])
    ratio = sign_flip_p_values(values) / expected
    # Largest relative error: 0.05 over 120 columns of each law. The saddlepoint formula alone is wrong by 0.6 for equal
    # magnitudes and by 1.4 for nearly equal ones. Without the separate treatment of dominant values it is wrong by 0.5
    # for heavy tails.
    assert np.abs(ratio - 1).max() < (1e-9 if n <= 24 else 0.07)
    assert np.median(ratio) == pytest.approx(1, abs=0.02)


@pytest.mark.calibration
@pytest.mark.parametrize("n", [16, 64])
def test_nearly_equal_magnitudes_reject_no_more_often_than_the_level(n: int):
    rng = np.random.default_rng(n)
    sizes = rng.choice([0.1, 1], size=(n, 4000)) * (1 + 0.01 * rng.normal(size=(n, 4000)))
    p = sign_flip_p_values(sizes * rng.choice([-1, 1], size=sizes.shape))
    # One standard error is 0.0034.
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.011)


@pytest.mark.calibration
@pytest.mark.parametrize("law", ["normal", "heavy tails"])
@pytest.mark.parametrize("n", [11, 40])
def test_without_an_effect_p_values_are_uniform(n: int, law: str):
    p = sign_flip_p_values(drawn(law, n, 8000))
    # One standard error is 0.0024.
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.008)
    # The p-values of 11 pairs are multiples of 1/1024.
    assert kstest(p, "uniform").statistic < 0.02


def test_an_effect_has_a_p_value_far_below_those_of_sampling():
    p = sign_flip_p_values(drawn("normal", 64, 200, shift=2))
    assert p.max() < 1e-9
    assert p.min() >= 2 / 2**64


@pytest.mark.parametrize("n", [10, 30])
@pytest.mark.parametrize("law", LAWS)
def test_unit_sign_and_order_of_the_pairs_are_irrelevant(law: str, n: int):
    values = drawn(law, n, 50, shift=0.3)
    p = sign_flip_p_values(values)
    assert len(set(p)) > 5
    for same in (0.1 * values, 1e-12 * values, -values, values[::-1]):
        np.testing.assert_allclose(sign_flip_p_values(same), p, rtol=1e-6)


@pytest.mark.parametrize("n", [8, 15, 64])
def test_values_of_one_sign_leave_only_themselves_and_their_mirror_image(n: int):
    one_sign = [np.ones(n), np.full(n, -0.3), np.random.default_rng(0).random(n)]
    assert sign_flip_p_values(np.stack(one_sign, 1)) == pytest.approx(2 / 2**n)


@pytest.mark.parametrize("n", [8, 15, 64])
def test_one_value_against_all_others_can_only_be_turned_with_smaller_ones(n: int):
    # The others are 1, 2, 4 …: the third is 4, so the subsets of {1, 2, 4} with a total of at most 4 count.
    values = np.minimum(2.0 ** np.arange(n), 1e6)
    values[2] *= -1
    assert sign_flip_p_values(values[:, None]) == pytest.approx(2 * 5 / 2**n)


@pytest.mark.parametrize("n", [8, 15, 64])
def test_a_column_of_zeros_or_of_balanced_values_shows_nothing(n: int):
    balanced = np.zeros(n)
    balanced[: n // 2 * 2] = np.repeat([1.5, -1.5], n // 2)
    assert (sign_flip_p_values(np.stack([np.zeros(n), balanced], 1)) == 1).all()


def test_pairs_without_a_change_are_not_evidence():
    values = drawn("normal", 20, 40, shift=0.5)
    with_zeros = np.concatenate([values, np.zeros((30, 40))])
    np.testing.assert_allclose(sign_flip_p_values(with_zeros), sign_flip_p_values(values), rtol=1e-12)


def test_a_value_larger_than_all_others_together_decides_alone():
    values = drawn("normal", 30, 20)
    values[0] = 1000
    others = values[1:] * np.sign(values[1:].sum(0))
    agreeing, opposing = (np.concatenate([sign * values[:1], others]) for sign in (1, -1))
    np.testing.assert_allclose(sign_flip_p_values(agreeing), sign_flip_p_values(others) / 2, rtol=1e-9)
    assert (sign_flip_p_values(opposing) > 0.5).all()


def test_equal_magnitudes_have_the_p_value_of_the_sign_test():
    for positive in range(33, 65, 3):
        values = np.where(np.arange(64) < positive, 0.1, -0.1)[:, None]
        # Largest relative error 0.025.
        assert sign_flip_p_values(values)[0] == pytest.approx(binomtest(positive, 64).pvalue, rel=0.1)


def test_columns_do_not_influence_each_other():
    values = drawn("heavy tails", 30, 2500)
    together = sign_flip_p_values(values)
    for column in (0, 1023, 1024, 2499):
        assert sign_flip_p_values(values[:, [column]])[0] == pytest.approx(together[column], rel=1e-6)


def test_a_table_without_columns_has_no_p_value():
    assert sign_flip_p_values(np.ones((4, 0))).shape == (0,)


@pytest.mark.parametrize("shape", [(0, 3), (4,), (4, 2, 2)])
def test_values_that_are_not_a_table_of_pairs_are_refused(shape: tuple[int, ...]):
    with pytest.raises(InputError, match=r"needs values of shape \[pair, column\] .* not \("):
        sign_flip_p_values(np.ones(shape))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_undefined_values_are_refused(bad: float):
    values = np.ones((4, 3))
    values[1, 2] = bad
    with pytest.raises(InputError, match="needs finite values; leave out"):
        sign_flip_p_values(values)


def test_false_discovery_rates_are_those_of_benjamini_and_hochberg():
    # Sorted: 0.005 · 4 / 1, 0.02 · 4 / 2, 0.03 · 4 / 3, 0.9 · 4 / 4; none above the next.
    assert false_discovery(np.array([0.03, 0.005, 0.9, 0.02])) == pytest.approx([0.04, 0.02, 0.9, 0.04])


def test_a_test_that_is_undefined_stays_so_and_counts_for_nothing():
    rates = false_discovery(np.array([0.03, np.nan, 0.005, 0.9, 0.02]))
    assert rates == pytest.approx([0.04, np.nan, 0.02, 0.9, 0.04], nan_ok=True)
    assert np.isnan(false_discovery(np.array([np.nan]))).all()


def test_among_many_edges_the_few_real_ones_are_found_and_hardly_any_other():
    values = drawn("normal", 40, 5000)
    values[:, :100] += 1.5
    found = np.flatnonzero(false_discovery(sign_flip_p_values(values)) <= 0.05)
    assert {*range(100)} <= {*found}
    assert len(found) <= 100 * 1.15


def test_family_wise_rates_by_hand_leave_out_what_was_not_tested():
    p = np.array([0.04, np.nan, 0.01, 0.03, 0.02])
    # In order: 4 · 0.01, 3 · 0.02, 2 · 0.03, then 0.04, which may not fall below the one before it.
    np.testing.assert_allclose(holm(p), [0.06, np.nan, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm(np.array([0.9, 0.8])), [1, 1])
    assert holm(np.array([])).size == 0
    assert np.isnan(holm(np.array([np.nan]))).all()


@pytest.mark.calibration
def test_among_many_tests_without_an_effect_one_is_rejected_no_more_often_than_the_rate():
    families = np.random.default_rng(0).random((4000, 20))
    rejecting = [bool((holm(family) <= 0.05).any()) for family in families]
    # With independent tests the share is 1 - 0.9975^20 = 0.049; one standard error is 0.0034.
    assert np.mean(rejecting) == pytest.approx(0.049, abs=0.011)
    assert np.mean((families <= 0.05).any(1)) > 0.6
