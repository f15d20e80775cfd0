"""Success over seeds: exact intervals, and seeds that are alike, spread out or in two groups."""

import numpy as np
import pandas as pd
import pytest

import interp_emerge as ie
from interp_emerge.core.errors import InputError
from interp_emerge.emergence.scale.seeds import SeedSpread, find_modes, success_by_size
from interp_emerge.stats.intervals import success_interval

INDUCTION = ie.load_ability("induction")
PROMPTS = 128


def table(accuracies: dict[str, list[float]]) -> pd.DataFrame:
    parts = []
    for n_parameters, (size, runs) in enumerate(accuracies.items(), start=1):
        for seed, accuracy in enumerate(runs):
            right = np.arange(PROMPTS) < accuracy * PROMPTS
            about = {"size": size, "n_parameters": n_parameters, "seed": seed, "step": 9, "ability": "induction"}
            parts.append(pd.DataFrame({"pair": np.arange(PROMPTS), "value": right.astype(float)}).assign(**about))
    return pd.concat(parts, ignore_index=True).assign(metric="accuracy")


def test_at_the_threshold_size_seeds_fall_into_two_groups() -> None:
    frame = table({"small": [0.05], "middle": [0.9, 0.1, 0.9, 0.1, 0.9, 0.12], "large": [1.0, 1.0, 1.0]})
    found = success_by_size(frame, INDUCTION).set_index("size")

    assert found["n_success"].tolist() == [0, 3, 3]
    assert found["p"].tolist() == [0, 0.5, 1]
    assert found["shape"].tolist() == [SeedSpread.ONE_SEED, SeedSpread.TWO_GROUPS, SeedSpread.ALIKE]
    assert found.loc["middle", "low"] == pytest.approx(0.11, abs=0.02)
    assert found.loc["middle", "high"] == pytest.approx(0.9, abs=0.02)
    assert found["values"].tolist()[1].startswith("0.91 0.10 0.91")


def test_only_the_last_step_of_each_run_counts() -> None:
    early = table({"small": [0.0, 0.0]}).assign(step=1)
    found = success_by_size(pd.concat([early, table({"small": [1.0, 1.0]})]), INDUCTION)

    assert found["p"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(3, 3, 0.025 ** (1 / 3), 1), (0, 1, 0, 0.975), (0, 10, 0, 1 - 0.025**0.1)],
)
def test_the_interval_is_that_of_clopper_and_pearson(successes: int, n: int, low: float, high: float) -> None:
    found = success_interval(successes, n)

    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def simulated(kind: str, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    asked = np.full(n, PROMPTS)
    rates = {"alike": np.full(n, 0.4), "spread": rng.beta(4, 5, n), "groups": np.where(np.arange(n) % 3, 0.1, 0.9)}
    return rng.binomial(asked, rates[kind]), asked


@pytest.mark.calibration
@pytest.mark.parametrize(
    ("kind", "verdict"),
    [("alike", SeedSpread.ALIKE), ("spread", SeedSpread.SPREAD), ("groups", SeedSpread.TWO_GROUPS)],
)
def test_the_spread_that_generated_the_seeds_is_found(kind: str, verdict: SeedSpread) -> None:
    rng = np.random.default_rng(0)
    found = [find_modes(*simulated(kind, 12, rng)).verdict for _ in range(10)]

    assert found.count(verdict) >= 9


@pytest.mark.parametrize(("right", "p"), [([3, 3, 3, 61, 61], 0.005), ([20, 25, 31, 38, 44], 0.3)])
def test_five_seeds_at_two_accuracies_are_two_groups_and_five_spread_out_are_not(right: list[int], p: float) -> None:
    found = find_modes(np.array(right), np.full(5, 64))

    two = p < 0.05
    assert found.verdict == (SeedSpread.TWO_GROUPS if two else SeedSpread.SPREAD)
    assert found.p_one_mode == p if two else found.p_one_mode > p
    assert np.isfinite(found.low) == two


@pytest.mark.calibration
@pytest.mark.parametrize(("shapes", "n"), [((1, 1), 4), ((1, 4), 4), ((1, 1), 8)])
def test_seeds_spread_around_one_mode_are_rarely_two_groups(shapes: tuple[float, float], n: int) -> None:
    rng = np.random.default_rng(0)
    found = [find_modes(rng.binomial(64, rng.beta(*shapes, n)), np.full(n, 64)).verdict for _ in range(100)]

    # Rates of 1000 draws are in docs/calibration.md. At a rate of 0.05, more than 11 of 100 have probability 0.004.
    assert found.count(SeedSpread.TWO_GROUPS) <= 11


def test_three_seeds_can_differ_but_not_say_how() -> None:
    found = find_modes(np.array([105, 20, 13]), np.full(3, PROMPTS))

    assert (found.verdict, found.reason) == (SeedSpread.UNDEFINED, "3 seeds differ, and 4 are needed to say how")
    assert found.described == "undefined: 3 seeds differ, and 4 are needed to say how"
    assert found.p_alike < 1e-10
    assert np.isnan([found.low, found.high, found.p_one_mode]).all()


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(InputError, match="a number of correct answers between 0 and its number of prompts"):
        find_modes(np.array([5]), np.array([4]))
    with pytest.raises(InputError, match="4 successes out of 3 is not a possible count"):
        success_interval(4, 3)
    with pytest.raises(InputError, match="no accuracy of ability 'markov'; measure it first"):
        success_by_size(table({"small": [1.0]}), ie.load_ability("markov"))
