from functools import cache

import numpy as np
import pytest
import torch

import interp_emerge as ie
from interp_emerge.abilities.metrics import bind_metric
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.base import PatchingTask
from interp_emerge.patching.engines import attribution
from interp_emerge.patching.engines.attribution import attribute_edges
from interp_emerge.patching.engines.options import NoOptions
from tests.models.small_models import WIDTH, build, random_pairs, small_model
from tests.patching.interpolation import precise_model, precisely, slopes_of_edges
from tests.patching.scored import score_edges

STEPS = (2, 4, 8, 16)
SMOOTH = ("gpt_neox", "gpt2", "bloom", "llama", "llama_grouped", "gemma2", "olmo2", "phi")
"""Architectures whose activations are smooth: with OPT's rectifiers the error does not fall evenly."""


@cache
def gentle(architecture: str) -> HookedModel:
    """A model whose embeddings lie so close together that a few steps follow the curve between them."""
    hf = precisely(build(architecture))
    with torch.no_grad():
        hf.get_input_embeddings().weight.mul_(0.5).add_(torch.randn(WIDTH, generator=torch.Generator().manual_seed(2)))
    return ie.hook(hf)


@cache
def total_at(model: HookedModel, *points: float) -> float:
    """The sum of the scores of the embedding's edges, the gradient being averaged over these points."""
    pairs = random_pairs()
    metric = bind_metric("logit_diff", model, pairs)
    task = PatchingTask(model=model, pairs=pairs, metric=metric, options=NoOptions())
    return float(attribute_edges(task, points, "").scores[0].sum())


@cache
def true_change(model: HookedModel) -> float:
    """The mean logit difference of the clean run minus that of the corrupted run."""
    pairs, rows = random_pairs(), torch.arange(6)
    with torch.no_grad():
        change = model.logits(pairs.clean) - model.logits(pairs.corrupt)
    return float((change[rows, pairs.answer] - change[rows, pairs.foil]).mean())


def midpoints(steps: int) -> list[float]:
    return [(step + 0.5) / steps for step in range(steps)]


@pytest.mark.parametrize("architecture", SMOOTH)
def test_the_embedding_accounts_for_the_whole_change_with_an_error_of_second_order(architecture: str):
    model = gentle(architecture)
    errors = [abs(total_at(model, *midpoints(steps)) - true_change(model)) for steps in STEPS]
    order = -np.polyfit(np.log(STEPS), np.log(errors), 1)[0]
    # Fitted orders 1.93 to 2.02.
    assert 1.8 < order < 2.2
    assert errors[-1] < errors[0] / 40


@pytest.mark.parametrize("architecture", ["gpt_neox", "llama", "gemma2"])
def test_midpoints_are_closer_than_the_trapezoid_and_both_far_closer_than_a_left_sum(architecture: str):
    model, steps = gentle(architecture), 8
    left = [step / steps for step in range(steps)]
    ends = (total_at(model, 1.0) - total_at(model, 0.0)) / 2
    totals = {"left": total_at(model, *left), "midpoint": total_at(model, *midpoints(steps))}
    totals["trapezoid"] = totals["left"] + ends / steps
    errors = {rule: abs(total - true_change(model)) for rule, total in totals.items()}
    # Errors of left sum, trapezoid and midpoints: gpt_neox 8e-5, 2.1e-5, 1.1e-5; gemma2 8e-8, 4.3e-10, 2.2e-10.
    assert 1.5 < errors["trapezoid"] / errors["midpoint"] < 2.5
    assert errors["left"] > 3 * errors["trapezoid"]


@pytest.mark.parametrize("together", [1, 3, 5])
def test_how_many_points_are_contracted_together_changes_nothing(together: int, monkeypatch: pytest.MonkeyPatch):
    model, pairs = small_model("gemma2"), random_pairs()
    expected = score_edges(model, pairs, "eap_ig").scores
    monkeypatch.setattr(attribution, "POINTS_TOGETHER", together)
    np.testing.assert_allclose(score_edges(model, pairs, "eap_ig").scores, expected, atol=1e-6)


@pytest.mark.parametrize("architecture", ["gpt_neox", "llama_grouped", "olmo2"])
def test_scores_by_position_sum_to_the_collapsed_ones(architecture: str):
    model, pairs = small_model(architecture), random_pairs()
    collapsed, resolved = (score_edges(model, pairs, "eap_ig", positions=positions) for positions in (None, "all"))
    np.testing.assert_allclose(resolved.scores.sum(0), collapsed.scores, atol=1e-6)


def test_with_one_step_the_gradient_is_that_halfway():
    model, pairs = precise_model("llama"), random_pairs()
    found = score_edges(model, pairs, "eap_ig", steps=1).scores
    edges = sorted(np.argwhere(model.graph.exists)[::5].tolist(), key=lambda edge: edge[1])
    slopes = slopes_of_edges(model, pairs, [(writer, reader) for writer, reader in edges], point=0.5)
    assert np.abs(slopes).max() > 0.05
    assert np.abs(found[tuple(np.transpose(edges))] - slopes).max() < 1e-6 * np.abs(slopes).max()


def test_no_steps_at_all_are_refused():
    with pytest.raises(InputError, match="steps cannot be 0; give a whole number of at least 1"):
        ie.score(small_model("gpt2"), random_pairs(), method="eap_ig", steps=0)
