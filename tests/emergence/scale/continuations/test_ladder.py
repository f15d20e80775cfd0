"""Exact match of several tokens over scale: each verdict on synthetic answers, and very small rates."""

from typing import Literal

import numpy as np
import pytest

import interp_emerge as ie
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.model import HookedModel
from interp_emerge.emergence.scale.axes import load_axis
from interp_emerge.emergence.scale.continuations.ladder import (
    TokenLadder,
    rate_law,
    sampled_rates,
    several_tokens_check,
    several_tokens_grid,
)
from interp_emerge.emergence.scale.continuations.tasks import SeveralTokens
from interp_emerge.emergence.scale.tables import MirageVerdict

SEEDS = range(3)
LENGTH, PROMPTS, CHANCE = 5, 256, 0.02
FEW = 300
"""Bootstrap samples."""


def answers(z: float, seed: int, *, n: int = PROMPTS, noise: float = 0.2) -> SeveralTokens:
    """Tokens that are correct independently, with the probability that has this logit; prompts differ by the noise."""
    rng = np.random.default_rng(seed)
    logits = z + rng.normal(0, noise, (n, 1)) + rng.normal(0, noise, (n, LENGTH))
    p = 1 / (1 + np.exp(-logits))
    truth = rng.integers(100, size=(n, LENGTH))
    return SeveralTokens(guess=np.where(rng.random(p.shape) < p, truth, 1000), truth=truth, log_prob=np.log(p))


def ladder(logits: np.ndarray, seed: int = 0, *, runs: int = 1, n: int = PROMPTS, noise: float = 0.2) -> TokenLadder:
    return TokenLadder(
        ability="invented",
        axis=load_axis("parameters"),
        points=tuple(map(str, range(len(logits)))),
        places=10.0 ** np.arange(len(logits)),
        runs=tuple(
            tuple(answers(z, 1000 * seed + 10 * at + run, n=n, noise=noise) for run in range(runs))
            for at, z in enumerate(logits)
        ),
        chance=CHANCE,
    )


def evenly(n: int, step: float) -> np.ndarray:
    return (np.arange(n) - (n - 1) / 2) * step


@pytest.mark.parametrize("seed", SEEDS)
def test_the_jump_of_a_product_of_smooth_tokens_is_the_metrics(seed: int) -> None:
    found = several_tokens_check(ladder(evenly(7, 4.0), seed), resamples=FEW)

    assert found.verdict == MirageVerdict.METRIC
    assert found.thresholded.metric == "exact_match" and found.continuous.metric == "log_prob"
    assert str(found).startswith("invented, 5 tokens: the metric's. exact_match is sharp: it rises by")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("continuous", ["log_prob", "token_accuracy"])
def test_a_jump_of_the_tokens_themselves_is_the_models(seed: int, continuous: str) -> None:
    steps = np.where(np.arange(8) < 4, -4.0, 4.0)

    found = several_tokens_check(ladder(steps, seed), continuous=continuous, resamples=FEW)
    assert found.verdict == MirageVerdict.MODEL


@pytest.mark.parametrize("seed", SEEDS)
def test_on_a_fine_grid_the_product_stays_near_chance_for_long(seed: int) -> None:
    assert several_tokens_check(ladder(evenly(12, 1.0), seed, n=512), resamples=FEW).verdict == MirageVerdict.METRIC


def test_tokens_never_right_together_leave_nothing_to_judge() -> None:
    found = several_tokens_check(ladder(np.linspace(-6, -3, 8)), resamples=FEW)

    assert found.verdict == MirageVerdict.UNDECIDED
    assert "exact_match never leaves chance" in found.reason


def test_seeds_that_disagree_at_the_jump_leave_it_undecided() -> None:
    steps = ladder(np.where(np.arange(8) < 4, -4.0, 4.0))
    runs = (*steps.runs[:3], steps.runs[3] + steps.runs[4], *steps.runs[4:])
    mixed = TokenLadder(**{**vars(steps), "runs": runs})

    assert several_tokens_check(mixed, resamples=FEW).verdict == MirageVerdict.UNDECIDED
    assert mixed.to_frame()["n_seeds"].tolist() == [1, 1, 1, 2, 1, 1, 1, 1]


def test_few_points_or_prompts_are_undecided() -> None:
    assert "4 points are fewer than 5" in several_tokens_check(ladder(evenly(4, 4.0)), resamples=FEW).reason
    assert "10 prompts are fewer than 20" in several_tokens_check(ladder(evenly(7, 4.0), n=10), resamples=FEW).reason


def test_powers_are_taken_of_each_run_and_then_averaged() -> None:
    steps = ladder(np.array([-4.0, 4.0]))
    mixed = TokenLadder(
        **{**vars(steps), "points": ("0",), "places": np.ones(1), "runs": (steps.runs[0] + steps.runs[1],)}
    )
    row = mixed.to_frame().iloc[0]
    each = [run.right.mean() ** LENGTH for run in mixed.runs[0]]

    assert row["power"] == pytest.approx(np.mean(each))
    assert row["power"] > 2 * row["token_accuracy"] ** LENGTH
    assert (row["power_low"], row["power_high"]) == pytest.approx((0, 1), abs=0.15)


def test_independent_tokens_have_no_excess_and_prompts_that_differ_do() -> None:
    alike = ladder(np.array([1.0]), n=2000, noise=0.0).to_frame().iloc[0]
    unlike = ladder(np.array([1.0]), n=2000, noise=3.0).to_frame().iloc[0]

    assert alike["excess_low"] < 0 < alike["excess_high"]
    assert unlike["excess_low"] > 0.05


def test_the_first_token_alone_is_the_ability_itself() -> None:
    row = ladder(np.array([0.5])).to_frame(1).iloc[0]

    assert row["exact_match"] == row["token_accuracy"] == row["power"] == row["product"]
    assert row["edit_distance"] == pytest.approx(1 - row["exact_match"])


def test_intervals_of_very_small_rates_hold_the_exact_rate() -> None:
    rare = ladder(np.array([-3.5, -2.5, -1.5]))
    table = sampled_rates(rare, 3, passes=100, most=3_000_000)

    assert table["greedy"].iloc[0] == 0 and table["exact"].iloc[0] < 1e-4
    assert ((table["rate_low"] < table["exact"]) & (table["exact"] < table["rate_high"])).all()


def test_the_law_leaves_out_rates_of_which_none_or_all_passed() -> None:
    table = sampled_rates(ladder(np.array([-9.0, -2.0, -1.0, 0.0, 1.0])), 2, passes=100, most=100_000)

    assert table["rate"].iloc[0] == 0
    assert rate_law(table).n_points == 4


def test_the_models_of_a_family_stand_on_the_axis_with_all_their_seeds() -> None:
    family, ability = ie.load_family("miniature"), ie.load_ability("induction")

    def ask(model: HookedModel) -> ie.PromptPairs:
        return ability.sample(model, 32)

    models: list[tuple[str, int | Literal["last"], int]] = [
        (size, "last", seed) for size in ("14k", "3k") for seed in family.seeds(size)
    ]
    found = several_tokens_grid(family, ask, ability="induction", chance=ability.chance, models=models)

    assert found.points == ("3k", "14k")
    assert [len(seeds) for seeds in found.runs] == [1, 3]
    assert found.to_frame()["exact_match"].tolist()[0] == 0
    by_loss = several_tokens_grid(family, ask, ability="x", chance=0.1, axis="loss", models=models)
    assert sorted(by_loss.points) == ["14k, seed 0", "14k, seed 1", "14k, seed 2", "3k, seed 0"]
    with pytest.raises(InputError, match="share the place"):
        several_tokens_grid(family, ask, ability="x", chance=0.1, models=[("3k", 1000, 0), ("3k", "last", 0)])


def test_ladders_that_cannot_be_judged_are_refused() -> None:
    good = ladder(evenly(6, 2.0))
    with pytest.raises(UnknownNameError, match="unknown continuous metric of several tokens 'brier'"):
        several_tokens_check(good, continuous="brier")
    with pytest.raises(InputError, match="the answers have 5 tokens; ask for 1 to 5 of them, not 6"):
        several_tokens_check(good, length=6)
    with pytest.raises(InputError, match="chance of guessing one token has to be between 0 and 1, not 0"):
        TokenLadder(**{**vars(good), "chance": 0.0})
    with pytest.raises(InputError, match="have to ascend in scale"):
        TokenLadder(**{**vars(good), "places": good.places[::-1]})
