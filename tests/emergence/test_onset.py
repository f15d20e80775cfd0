"""The onset of a quantity: where it first appears, how surely, and in which words."""

import numpy as np
import pytest

from interp_emerge.emergence.onset import Scale, find_onset

PROMPTS = 128
ACCURACY = Scale(0.1, 1.0)


def curve(rates: list[float], *, seed: int = 0, runs: int = 1) -> dict[int, list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    return {i: [(rng.random(PROMPTS) < rate).astype(float) for _ in range(runs)] for i, rate in enumerate(rates)}


@pytest.mark.parametrize(
    ("rates", "first", "verdict"),
    [
        ([0.1, 0.1, 0.9, 1.0], 2, "emergent"),
        ([0.9, 0.95, 1.0], 0, "from the start"),
        ([0.1, 0.1, 0.2], None, "not reached"),
        ([0.1, 0.9, 0.9, 0.1], 1, "lost again"),
        ([0.35, 0.45, 0.7, 0.9], 2, "gradual"),
        ([0.4, 0.05, 0.1, 0.95], 3, "emergent"),
    ],
    ids=["step", "always there", "never there", "comes and goes", "ramp", "dips first"],
)
def test_a_curve_gets_its_onset_and_verdict(rates: list[float], first: int | None, verdict: str) -> None:
    onset = find_onset(curve(rates), ACCURACY)

    assert onset.first_with == first
    assert onset.verdict == verdict
    assert onset.last_without == (len(rates) - 1 if first is None else first - 1 if first else None)


def test_a_curve_that_ends_at_the_threshold_is_undecided() -> None:
    exactly = [np.tile([0.0, 1.0], PROMPTS // 2)]
    onset = find_onset({0: curve([0.1])[0], 1: exactly}, Scale(0.0, 1.0 - 1e-6))

    assert onset.verdict == "undecided"


def test_the_interval_covers_the_true_onset_about_as_often_as_it_says() -> None:
    rates = [0.1, 0.4, 0.52, 0.62, 0.95]
    truth = next(i for i, rate in enumerate(rates) if rate > ACCURACY.threshold)
    covered = 0
    for seed in range(200):
        onset = find_onset(curve(rates, seed=seed), ACCURACY, seed=seed, resamples=200)
        high = len(rates) if onset.ci_high is None else onset.ci_high
        covered += onset.ci_low is not None and onset.ci_low <= truth <= high

    assert covered >= 0.93 * 200


def test_seeds_that_disagree_widen_the_interval() -> None:
    have, lack = np.ones(PROMPTS), np.zeros(PROMPTS)
    split = {0: [lack] * 3, 1: [have, have, lack], 2: [have] * 3}
    onset = find_onset(split, ACCURACY)

    assert (onset.ci_low, onset.ci_high) == (1, 2)


def test_the_same_values_give_the_same_onset() -> None:
    assert find_onset(curve([0.1, 0.5, 0.6]), ACCURACY) == find_onset(curve([0.1, 0.5, 0.6]), ACCURACY)
