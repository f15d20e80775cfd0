import logging

import numpy as np
import pytest
import torch

import interp_emerge as ie
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.patching import shelf
from tests.models.small_models import FORMS, linear_model, random_pairs, small_model
from tests.patching.exact import exact_edges
from tests.patching.scored import score_edges

CLOSE = 2e-5
"""Largest difference found 6e-6, on effects up to 5; in every architecture some edge has an effect of 0.1."""
AT = torch.tensor([5, 1, 1, 5, 3, 6])
"""One position for each pair; at some of them the two prompts are the same."""


@pytest.fixture(scope="module")
def pairs() -> ie.PromptPairs:
    return random_pairs()


@pytest.mark.parametrize(
    ("architecture", "direction"),
    [*((name, "noising") for name in FORMS), ("gpt2", "denoising"), ("gemma2", "denoising")],
)
def test_every_edge_scores_what_a_run_with_it_exchanged_gives(architecture: str, direction: str, pairs: ie.PromptPairs):
    model = small_model(architecture)
    found = score_edges(model, pairs, "exact_edges", direction=direction)
    expected = exact_edges(model, pairs, direction=direction)
    assert np.abs(expected).max() > 0.08
    np.testing.assert_allclose(found.scores, expected, atol=CLOSE)
    assert found.origin["direction"] == direction


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "bloom", "mistral", "gemma2", "olmo2", "phi"])
def test_at_each_position_every_edge_scores_what_a_run_with_it_exchanged_there_gives(
    architecture: str, pairs: ie.PromptPairs
):
    model = small_model(architecture)
    found = score_edges(model, pairs, "exact_edges", positions="all")
    assert found.positions == tuple("0123456")
    for position, scores in enumerate(found.scores):
        expected = exact_edges(model, pairs, direction="noising", at=torch.full((6,), position))
        np.testing.assert_allclose(scores, expected, atol=CLOSE)
    np.testing.assert_allclose(found.scores[0], 0, atol=CLOSE)
    assert (np.abs(found.scores[1:]).max((1, 2)) > 100 * CLOSE).all()


@pytest.mark.parametrize("architecture", ["gpt_neox", "llama_grouped", "gemma3"])
def test_a_named_position_may_lie_elsewhere_in_each_pair(architecture: str, pairs: ie.PromptPairs):
    model = small_model(architecture)
    named = ie.PromptPairs(
        clean=pairs.clean, corrupt=pairs.corrupt, answer=pairs.answer, foil=pairs.foil, positions={"there": AT}
    )
    found = score_edges(model, named, "exact_edges", positions=["there"], direction="denoising")
    assert found.positions == ("there",)
    np.testing.assert_allclose(found.scores[0], exact_edges(model, pairs, at=AT), atol=CLOSE)


@pytest.mark.parametrize("architecture", ["gpt_neox", "qwen3"])
def test_noising_is_denoising_of_swapped_prompts_with_the_other_sign(architecture: str, pairs: ie.PromptPairs):
    model, swapped = small_model(architecture), replace_prompts(pairs)
    noising = score_edges(model, pairs, "exact_edges")
    denoising = score_edges(model, swapped, "exact_edges", direction="denoising")
    assert noising.origin["direction"] == "noising"
    np.testing.assert_allclose(noising.scores, -denoising.scores, atol=CLOSE)
    assert np.abs(noising.scores - score_edges(model, pairs, "exact_edges", direction="denoising").scores).max() > 0.1


def replace_prompts(pairs: ie.PromptPairs) -> ie.PromptPairs:
    return ie.PromptPairs(clean=pairs.corrupt, corrupt=pairs.clean, answer=pairs.answer, foil=pairs.foil)


@pytest.fixture(scope="module", params=["gpt_neox", "gpt2", "llama_grouped"])
def linear(request: pytest.FixtureRequest) -> HookedModel:
    return linear_model(request.param)


@torch.no_grad()
def test_in_a_linear_model_the_edges_into_the_logits_sum_to_the_gap(linear: HookedModel, pairs: ie.PromptPairs):
    direct = score_edges(linear, pairs, "exact_edges").scores[:, -1]
    clean, corrupt = (linear.logits(tokens) for tokens in (pairs.clean, pairs.corrupt))
    rows = torch.arange(len(pairs))
    gap = (clean - corrupt)[rows, pairs.answer] - (clean - corrupt)[rows, pairs.foil]
    assert abs(gap.mean()) > 0.1
    assert direct.sum() == pytest.approx(float(gap.mean()), abs=CLOSE)


def test_in_a_linear_model_the_positions_of_an_edge_sum_to_its_effect(linear: HookedModel, pairs: ie.PromptPairs):
    by_position = score_edges(linear, pairs, "exact_edges", positions="all")
    whole = score_edges(linear, pairs, "exact_edges")
    assert np.abs(whole.scores).max() > 0.1
    np.testing.assert_allclose(by_position.scores.sum(0), whole.scores, atol=CLOSE)


@pytest.mark.parametrize("architecture", ["gpt_neox", "llama_grouped", "olmo2"])
@pytest.mark.parametrize("positions", [None, "all"])
def test_a_small_budget_gives_the_same_values_of_each_pair(
    architecture: str, positions: str | None, pairs: ie.PromptPairs
):
    model, pairs = small_model(architecture, layers=2), pairs[:3]
    whole = score_edges(model, pairs, "exact_edges", positions=positions).per_pair
    in_parts = score_edges(model, pairs, "exact_edges", positions=positions, budget=200_000).per_pair
    assert whole is not None and in_parts is not None
    np.testing.assert_allclose(whole, in_parts, atol=1e-5)


def test_a_budget_below_one_pair_is_refused(pairs: ie.PromptPairs):
    with pytest.raises(InputError, match="one pair under exact_edges needs about"):
        ie.score(small_model("gpt2"), pairs, method="exact_edges", budget=1000)


def test_a_pair_scores_the_same_alone_as_among_others(pairs: ie.PromptPairs):
    model = small_model("gpt2")
    # The prompts of pair 1 are the same, so its rows are left out of every batch.
    mixed = replace_corrupt(pairs, 1)
    among = score_edges(model, mixed, "exact_edges").per_pair
    alone = score_edges(model, pairs[[2]], "exact_edges").per_pair
    assert among is not None and alone is not None
    np.testing.assert_allclose(among[2], alone[0], atol=1e-5)
    assert not among[1].any() and among[0].any()


def replace_corrupt(pairs: ie.PromptPairs, same: int) -> ie.PromptPairs:
    corrupt = pairs.corrupt.clone()
    corrupt[same] = pairs.clean[same]
    return ie.PromptPairs(clean=pairs.clean, corrupt=corrupt, answer=pairs.answer, foil=pairs.foil)


def test_its_cost_falls_with_the_share_of_the_prompt_that_is_alike_and_of_edges_that_end_late(pairs: ie.PromptPairs):
    model = small_model("gpt2")
    late = pairs.clean.clone()
    late[:, 5] = pairs.corrupt[:, 5]
    assert set(torch.nonzero((pairs.clean != pairs.corrupt).any(0))[:, 0].tolist()) == {1, 5}
    costs = [
        ie.estimate(model, prompts, method="exact_edges").passes - 2
        for prompts in (pairs, ie.PromptPairs(clean=pairs.clean, corrupt=late, answer=pairs.answer, foil=pairs.foil))
    ]
    assert costs[0] / costs[1] == pytest.approx((7 - 1) / (7 - 5))
    assert 0 < costs[0] < model.graph.n_edges / 2


def test_it_says_how_many_runs_it_starts(pairs: ie.PromptPairs, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, logger="interp_emerge.patching.exact_edges"):
        ie.score(small_model("gpt2"), pairs, method="exact_edges", positions="all")
    assert "exact_edges: 262 edges at 7 places of 6 pairs" in caplog.text


def test_it_takes_the_options_direction_and_positions_only(pairs: ie.PromptPairs):
    assert {*shelf["exact_edges"].declared} == {"direction", "positions"}
    with pytest.raises(InputError, match="exact_edges takes no option 'sites'"):
        ie.score(small_model("gpt2"), pairs, method="exact_edges", sites=["head"])
