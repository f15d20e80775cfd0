"""Intervals of CPR and CMD."""

import numpy as np
import pytest

from interp_emerge.circuits.running.areas import cmd_interval, cpr_interval, trapezoid_weights
from interp_emerge.circuits.running.runs import GRID
from interp_emerge.stats.intervals import ratio_interval

SHARES = np.array(GRID)


def draw(rng: np.random.Generator, faithfulness: np.ndarray, n: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """What noisy circuits keep, shape [share, pair], and the gap, shape [pair], of mean 1."""
    gap = 1 + noise * rng.normal(size=n)
    kept = faithfulness[:, None] * gap + noise * rng.normal(size=(len(SHARES), n))
    kept[-1] = gap
    return kept, gap


def test_weights_are_those_of_the_trapezoidal_rule(rng: np.random.Generator):
    values = rng.normal(size=(3, len(SHARES)))
    np.testing.assert_allclose(values @ trapezoid_weights(SHARES), np.trapezoid(values, SHARES, axis=1))


def test_where_the_curve_is_surely_below_one_cmd_has_the_interval_of_the_area_above_it(rng: np.random.Generator):
    kept, gap = draw(rng, np.append(np.full(9, 0.3), 1), 64, 0.1)
    cpr, cmd = cpr_interval(kept, gap, SHARES), cmd_interval(kept, gap, SHARES)
    width = SHARES[-1] - SHARES[0]
    assert (cmd.value, cmd.low, cmd.high) == pytest.approx((width - cpr.value, width - cpr.high, width - cpr.low))


def test_distances_above_and_below_one_add_up(rng: np.random.Generator):
    truth = np.array([0.5] * 7 + [1.5, 1.5, 1])
    cmd = cmd_interval(*draw(rng, truth, 256, 0.05), SHARES)
    assert cmd.low < trapezoid_weights(SHARES) @ np.abs(1 - truth) < cmd.high
    assert cmd.high - cmd.low < 0.02


def test_a_curve_at_one_has_a_lower_end_of_zero_although_its_value_is_above(rng: np.random.Generator):
    kept, gap = draw(rng, np.ones(10), 16, 1 / 3)
    cmd = cmd_interval(kept, gap, SHARES)
    assert cmd.low == 0 < cmd.value < cmd.high


def test_what_is_kept_by_every_pair_alike_has_no_width(rng: np.random.Generator):
    gap = rng.uniform(1, 2, 20)
    kept = np.outer(np.linspace(0, 1, 10), gap)
    cmd = cmd_interval(kept, gap, SHARES)
    assert cmd.low == pytest.approx(cmd.value) == pytest.approx(cmd.high)


def test_an_area_whose_ratio_is_not_bounded_has_undefined_ends(rng: np.random.Generator):
    gap = rng.normal(0.1, 1, 12)
    kept = np.linspace(0.2, 1, 10)[:, None] * gap + rng.normal(size=(10, 12))
    assert np.isnan(ratio_interval(kept[3], gap).low)
    cmd = cmd_interval(kept, gap, SHARES)
    assert np.isfinite(cmd.value) and np.isnan([cmd.low, cmd.high]).any()


@pytest.mark.parametrize("truth", [np.ones(10), np.array([0.9] * 5 + [1.05] * 4 + [1]), np.linspace(0.2, 1, 10)])
def test_the_interval_contains_the_true_area_and_its_own_value(truth: np.ndarray, rng: np.random.Generator):
    area, inside = trapezoid_weights(SHARES) @ np.abs(1 - truth), 0
    for _ in range(60):
        cmd = cmd_interval(*draw(rng, truth, 16, 1 / 3), SHARES)
        assert cmd.low <= cmd.value <= cmd.high
        inside += cmd.low <= area + 1e-12 and cmd.high >= area - 1e-12
    # At 95% fewer than 52 of 60 come three times in 1000. A bootstrap of the area has 0, 47 and 58, here 60 each.
    assert inside >= 52
