"""The rules that compare a checkpoint with its run: what they find, and how often they are wrong."""

import numpy as np
import pytest

from interp_emerge.families._checking.rules import (
    DESCENT_LIMIT,
    FARTHER_LIMIT,
    LEAST,
    LOSS_LIMIT,
    descent,
    excess_loss,
    farther_than_neighbours,
)


@pytest.mark.parametrize("n", [LEAST, 12, 40])
def test_a_false_alarm_on_losses_is_as_rare_as_said(rng: np.random.Generator, n: int):
    alarms = [np.nanmax(excess_loss(rng.normal(size=n))) > LOSS_LIMIT for _ in range(2000)]
    assert np.mean(alarms) <= 0.005


def test_a_falling_curve_with_noise_and_one_outlier_gives_the_outlier(rng: np.random.Generator):
    found = []
    for _ in range(50):
        losses = 8 - 2 * np.log10(np.arange(1, 13)) + rng.normal(scale=0.02, size=12)
        place = int(rng.integers(1, 11))
        losses[place] += 3 * rng.choice([-1, 1])
        found.append(np.flatnonzero(excess_loss(losses) > LOSS_LIMIT).tolist() == [place])
    assert np.mean(found) == 1


def test_losses_without_a_verdict_are_undefined():
    assert np.isnan(excess_loss([1.0] * (LEAST - 1))).all()
    assert np.isnan(excess_loss([*np.arange(LEAST, dtype=float), np.nan])).all()
    several = excess_loss([3.0, 2.0, 1.0] * 4)
    assert np.isnan(several[[0, -1]]).all() and np.isfinite(several[1:-1]).all()


def test_equal_losses_are_in_line_and_a_jump_out_of_them_is_not():
    assert np.nanmax(excess_loss([2.0] * 12)) == 0
    assert excess_loss([2.0] * 5 + [3.0] + [2.0] * 6)[5] > LOSS_LIMIT


def test_no_step_of_a_straight_line_or_a_random_walk_is_far_from_both_neighbours(rng: np.random.Generator):
    line = [{"w": np.full(100, float(t))} for t in (0, 1, 10)]
    assert farther_than_neighbours(*line) == {"w": pytest.approx(0.1)}
    walk = np.cumsum(rng.normal(size=(200, 4096)), axis=0)
    ratios = [farther_than_neighbours(*({"w": x} for x in walk[t : t + 3]))["w"] for t in range(198)]
    assert max(ratios) < 0.75


def test_weights_from_elsewhere_are_far_from_both_neighbours(rng: np.random.Generator):
    start, drift = rng.normal(size=4096), rng.normal(size=4096)
    run = [{"w": start + 0.3 * t * drift, "v": start} for t in range(3)]
    foreign = {**run[1], "w": rng.normal(size=4096)}
    assert farther_than_neighbours(*run)["w"] == pytest.approx(0.5)
    ratios = farther_than_neighbours(run[0], foreign, run[2])
    assert ratios["w"] > FARTHER_LIMIT
    assert ratios["v"] == 0


def test_an_unrelated_start_gives_a_standard_normal_score(rng: np.random.Generator):
    later = {name: rng.standard_t(3, size=500) + 1 for name in "abcd"}
    scores = np.array([descent({name: rng.normal(size=500) for name in "abcd"}, later) for _ in range(2000)])
    assert abs(scores.mean()) < 0.1
    assert abs(scores.std() - 1) < 0.05
    assert scores.max() < DESCENT_LIMIT


def test_a_start_that_was_trained_on_is_recognised_though_little_of_it_is_left(rng: np.random.Generator):
    start = {"w": rng.normal(size=4096)}
    later = {"w": 0.15 * start["w"] + rng.normal(size=4096)}
    assert descent(start, later) > DESCENT_LIMIT
    assert np.isnan(descent({}, later))
