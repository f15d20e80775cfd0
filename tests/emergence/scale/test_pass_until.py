"""Sampling until enough pass: the rate of a coin, of a model whose rate is known exactly, and the law over sizes."""

import numpy as np
import pytest
import torch

import interp_emerge as ie
from interp_emerge.core.errors import InputError
from interp_emerge.emergence.scale.continuations.tasks import SeveralTokens
from interp_emerge.emergence.scale.pass_until import (
    PassRate,
    answer_sampler,
    continuation_sampler,
    pass_law,
    pass_until,
)


def coin(rate: float):
    return lambda n, rng: rng.random(n) < rate


@pytest.mark.parametrize("rate", [0.5, 0.03])
def test_the_unbiased_rate_has_no_bias_and_the_interval_covers_the_rate(rate: float) -> None:
    runs = [pass_until(coin(rate), passes=5, seed=seed) for seed in range(600)]
    unbiased = np.array([run.unbiased for run in runs])
    covered = np.mean([run.interval.low <= rate <= run.interval.high for run in runs])

    assert abs(unbiased.mean() - rate) < 3.5 * unbiased.std() / np.sqrt(len(runs))
    assert np.mean([run.rate for run in runs]) > unbiased.mean()
    assert covered >= 0.93


def test_a_rate_of_one_in_ten_thousand_is_resolved() -> None:
    runs = [pass_until(coin(1e-4), passes=10, most=1_000_000, seed=seed) for seed in range(20)]

    assert all(run.reached and run.passes == 10 for run in runs)
    assert sum(run.interval.low < 1e-4 < run.interval.high for run in runs) >= 18
    assert np.median([run.interval.high - run.interval.low for run in runs]) < 2e-4


def test_samples_that_run_out_leave_an_upper_bound() -> None:
    none = pass_until(coin(0.0), passes=3, most=1000)

    assert (none.passes, none.samples, none.reached) == (0, 1000, False)
    assert none.interval.low == 0
    assert none.interval.high == pytest.approx(1 - 0.025 ** (1 / 1000))


def test_it_stops_at_the_very_sample_that_passes_last() -> None:
    every_tenth = pass_until(lambda n, rng: np.arange(1, n + 1) % 10 == 0, passes=4)

    assert (every_tenth.samples, every_tenth.rate) == (40, 0.1)
    assert every_tenth.unbiased == pytest.approx(3 / 39)
    assert PassRate(passes=1, samples=1, reached=True).interval.high == 1


@pytest.mark.parametrize("size", ["3k", "7k"])
def test_a_models_rate_is_the_mean_probability_of_the_answer(size: str) -> None:
    model = ie.load_family("miniature").load(size)
    pairs = ie.load_ability("induction").sample(model, 32)
    with torch.no_grad():
        exact = float(model.logits(pairs.clean).softmax(-1)[torch.arange(32), pairs.answer].mean())
    found = pass_until(answer_sampler(model, pairs), passes=400, seed=0)

    assert found.rate == pytest.approx(exact, rel=0.2)
    assert found.interval.low < exact < found.interval.high


def continuations(probabilities: np.ndarray) -> SeveralTokens:
    tokens = np.zeros(probabilities.shape, dtype=int)
    return SeveralTokens(guess=tokens, truth=tokens, log_prob=np.log(probabilities))


def test_continuations_pass_as_often_as_the_product_of_their_tokens_says() -> None:
    found = continuations(np.array([[0.1, 0.02, 0.1], [0.3, 0.1, 0.01]]))
    rate = pass_until(continuation_sampler(found), passes=200, most=5_000_000)

    assert found.pass_rate(3) == pytest.approx((0.1 * 0.02 * 0.1 + 0.3 * 0.1 * 0.01) / 2)
    assert rate.reached and rate.interval.low < found.pass_rate(3) < rate.interval.high
    assert pass_until(continuation_sampler(found, 1), passes=400).rate == pytest.approx(0.2, rel=0.2)
    with pytest.raises(InputError, match="the continuations have 3 tokens; ask for 1 to 3 of them, not 4"):
        continuation_sampler(found, 4)


def test_a_model_that_samples_its_own_tokens_passes_equally_often() -> None:
    model = ie.load_family("miniature").load("7k")
    pairs = ie.load_ability("induction").sample(model, 16)
    found = ie.emergence.scale.continuations.several_tokens(model, pairs)
    text = pairs.clean.repeat(40, 1)
    for position in range(2):
        with torch.no_grad():
            drawn = torch.multinomial(
                model.logits(text).softmax(-1), 1, generator=torch.Generator().manual_seed(position)
            )
        text = torch.cat([text, drawn], 1)
    truth = torch.from_numpy(found.truth[:, :2]).repeat(40, 1)
    passed = (text[:, -2:] == truth).all(1).double().mean()
    rate = pass_until(continuation_sampler(found, 2), passes=400)

    assert float(passed) == pytest.approx(found.pass_rate(2), abs=0.06)
    assert rate.rate == pytest.approx(found.pass_rate(2), rel=0.2)


def test_the_law_is_recovered_from_rates_that_greedy_answers_would_miss() -> None:
    sizes = np.geomspace(1e3, 1e5, 6)
    truth = np.exp(-8 * (sizes / 1e3) ** -0.3)
    rates = [pass_until(coin(rate), passes=200, seed=seed) for seed, rate in enumerate(truth)]
    law = pass_law(sizes, rates)

    assert truth[0] < 1e-3
    assert abs(law.exponent - 0.3) < 3 * law.error
    assert law.p_value > 0.01
    assert "the law is not rejected over 6 points" in str(law)
    assert law.predict(1e6) == pytest.approx(np.exp(-8 * 1e3**-0.3), rel=0.1)


def test_the_law_is_rejected_for_rates_that_do_not_follow_it() -> None:
    rates = [pass_until(coin(rate), passes=200, seed=1) for rate in (0.01, 0.01, 0.01, 0.9, 0.9)]

    law = pass_law(np.geomspace(1, 100, 5), rates)

    assert law.p_value < 1e-6
    assert "the law does not hold over 5 points" in str(law)


def test_impossible_samples_and_fits_are_refused() -> None:
    with pytest.raises(InputError, match="5 passes cannot be reached in at most 4 samples; ask for"):
        pass_until(coin(0.5), passes=5, most=4)
    with pytest.raises(InputError, match=r"values of shape \(3,\); it has to return 64"):
        pass_until(lambda n, rng: np.ones(3, dtype=bool))
    never = PassRate(passes=0, samples=10, reached=False)
    with pytest.raises(InputError, match=r"a rate of 0 has no log\(−log rate\); take more samples or leave it out"):
        pass_law(np.arange(1.0, 4), [never] * 3)
    with pytest.raises(InputError, match="a line through 2 rates"):
        pass_law(np.arange(1.0, 3), [never] * 2)
