"""Answers of several tokens: exact match falls like p^L where the edit distance rises like L · (1 − p)."""

from functools import cache

import numpy as np
import pytest
import torch

import interp_emerge as ie
from interp_emerge.core.errors import InputError
from interp_emerge.emergence.scale.continuations.tasks import (
    SeveralTokens,
    edit_distances,
    several_tokens,
)


def independent(p: float, *, n: int = 10_000, length: int = 5, seed: int = 0) -> SeveralTokens:
    """Guesses that are correct with probability p, independently of other tokens; wrong ones are never true tokens."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(100, size=(n, length))
    guess = np.where(rng.random((n, length)) < p, truth, 1000)
    return SeveralTokens(guess=guess, truth=truth, log_prob=np.full((n, length), np.log(p)))


@pytest.mark.parametrize("p", [0.2, 0.5, 0.8, 0.95])
def test_independent_tokens_are_all_right_with_probability_p_to_the_length(p: float) -> None:
    table = independent(p).to_frame()
    lengths = table["length"].to_numpy()

    assert np.allclose(table["exact_match"], p**lengths, atol=0.018)
    assert np.allclose(table["power"], p**lengths, atol=0.018)
    assert np.allclose(table["product"], p**lengths, atol=0.018)
    assert np.allclose(table["edit_distance"], lengths * (1 - p), atol=0.03)
    assert np.allclose(table["edit_distance"], table["substitutions"])


def test_the_edit_distance_is_linear_in_p_where_exact_match_is_not() -> None:
    rates = np.linspace(0.1, 0.9, 9)
    last = [independent(p, n=4000).to_frame().iloc[-1] for p in rates]
    edits, exact = (np.array([row[name] for row in last]) for name in ("edit_distance", "exact_match"))

    assert np.abs(np.diff(edits, 2)).max() < 0.1
    assert exact[4] < 0.06 and exact[8] > 0.5


def test_prompts_of_unequal_difficulty_match_more_often_than_independent_tokens() -> None:
    easy, hard = independent(0.95, n=2000), independent(0.05, n=2000, seed=1)
    both = SeveralTokens(
        **{name: np.concatenate([getattr(easy, name), getattr(hard, name)]) for name in ("guess", "truth", "log_prob")}
    )
    last = both.to_frame().iloc[-1]

    assert last["exact_low"] > 5 * last["product"]


@pytest.mark.parametrize("seed", range(3))
def test_edit_distances_agree_with_the_recursive_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(3, size=(20, 5)), rng.integers(3, size=(20, 6))

    assert edit_distances(a, b).tolist() == [levenshtein(tuple(x), tuple(y)) for x, y in zip(a, b, strict=True)]


@cache
def levenshtein(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    if not a or not b:
        return len(a) + len(b)
    kept = levenshtein(a[1:], b[1:]) + (a[0] != b[0])
    return min(kept, 1 + levenshtein(a[1:], b), 1 + levenshtein(a, b[1:]))


def test_a_shift_by_one_costs_two_edits_and_not_all_positions() -> None:
    assert edit_distances(np.array([[1, 2, 3, 4]]), np.array([[2, 3, 4, 5]])).tolist() == [2]


def test_the_rest_of_the_segment_follows_the_prompts_of_induction() -> None:
    model = ie.load_family("miniature").load("14k")
    pairs = ie.load_ability("induction").sample(model, 64)
    found = several_tokens(model, pairs)
    continuation = pairs.continuation

    assert continuation is not None and continuation.shape == (64, 12)
    assert torch.equal(torch.cat([pairs.clean[:, -4:], continuation], 1), pairs.clean[:, -20:-4])
    assert torch.equal(continuation[:, 0], pairs.answer)
    with torch.no_grad():
        first = model.logits(pairs.clean)
    assert np.array_equal(found.guess[:, 0], first.argmax(-1).numpy())
    assert np.allclose(found.log_prob[:, 0], first.log_softmax(-1)[torch.arange(64), pairs.answer], atol=1e-5)
    assert found.to_frame().iloc[-1]["exact_match"] > 0.5


def test_a_model_without_the_ability_matches_nothing_and_has_a_large_edit_distance() -> None:
    model = ie.load_family("miniature").load("3k")
    pairs = ie.load_ability("induction").sample(model, 64)
    last = several_tokens(model, pairs).to_frame().iloc[-1]

    assert last["exact_match"] == 0
    assert 6 < last["edit_distance"] <= 12


def test_pairs_without_a_continuation_are_refused() -> None:
    model = ie.load_family("miniature").load("3k")
    with pytest.raises(InputError, match=r"the pairs have no continuation; give PromptPairs\(continuation=...\)"):
        several_tokens(model, ie.load_ability("markov").sample(model, 4))
