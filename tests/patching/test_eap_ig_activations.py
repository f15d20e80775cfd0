from functools import cache

import numpy as np
import pytest
import torch

import interp_emerge as ie
from interp_emerge.abilities.metrics import bind_metric
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from tests.models.small_models import random_pairs, small_model
from tests.patching.interpolation import parts_of, precise_model, run_with
from tests.patching.scored import score_edges

STEPS = (2, 4, 8, 16)
PAIRS = random_pairs()


@cache
def scores_with(architecture: str, steps: int, direction: str = "denoising") -> np.ndarray:
    model = precise_model(architecture)
    return score_edges(model, PAIRS, "eap_ig_activations", steps=steps, direction=direction).scores


def effect_of_stage(model: HookedModel, pairs: ie.PromptPairs, kind: str, layer: int, direction: str) -> float:
    """Exact rise of the logit difference when a stage takes its clean output in the corrupted run.

    If noising, the exact fall when it takes its corrupted output in the clean run.
    """
    clean, corrupt = parts_of(model, pairs)
    metric = bind_metric("logit_diff", model, pairs)
    noising = direction == "noising"
    taken, own, sign = (corrupt, pairs.clean, -1) if noising else (clean, pairs.corrupt, 1)

    def patch(found: str, at: int, value: torch.Tensor) -> torch.Tensor:
        return taken[kind, layer] if (found, at) == (kind, layer) else value

    with torch.no_grad():
        return sign * float((metric(run_with(model, own, patch)[0]) - metric(model.logits(own))).mean())


def stages(model: HookedModel) -> dict[tuple[str, int], slice]:
    """Writers of each stage in the graph's order."""
    found, heads = {("embed", -1): slice(0, 1)}, model.graph.n_heads
    for layer in range(model.graph.n_layers):
        start = 1 + layer * (heads + 1)
        found |= {
            ("attention", layer): slice(start, start + heads),
            ("mlp", layer): slice(start + heads, start + heads + 1),
        }
    return found


@pytest.mark.parametrize("direction", ["denoising", "noising"])
@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "llama_grouped", "gemma2", "olmo2", "phi"])
def test_the_edges_of_a_stage_sum_to_the_exact_effect_of_patching_it(architecture: str, direction: str):
    model, scores = precise_model(architecture), scores_with(architecture, STEPS[-1], direction)
    for (kind, layer), writers in stages(model).items():
        exact = effect_of_stage(model, PAIRS, kind, layer, direction)
        # Largest error 1.7e-3, on an effect of -1.3.
        assert abs(scores[writers].sum() - exact) < 0.01 * max(abs(exact), 0.2)


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "llama_grouped", "gemma2", "olmo2", "phi"])
def test_the_error_is_of_second_order_in_the_spacing(architecture: str):
    model = precise_model(architecture)
    exact = effect_of_stage(model, PAIRS, "attention", 1, "denoising")
    writers = stages(model)["attention", 1]
    errors = [abs(scores_with(architecture, steps)[writers].sum() - exact) for steps in STEPS]
    order = -np.polyfit(np.log(STEPS), np.log(errors), 1)[0]
    # Fitted orders 2.0 to 2.1.
    assert 1.9 < order < 2.2


@pytest.mark.parametrize("architecture", ["gpt_neox", "gemma3"])
def test_the_embedding_scores_as_under_eap_ig_and_later_writers_do_not(architecture: str):
    model, pairs = small_model(architecture), random_pairs()
    by_stage, by_input = (score_edges(model, pairs, method).scores for method in ("eap_ig_activations", "eap_ig"))
    np.testing.assert_allclose(by_stage[0], by_input[0], atol=1e-6)
    assert np.abs(by_stage[1:] - by_input[1:]).max() > 1e-3


def test_scores_by_position_sum_to_the_collapsed_ones():
    model, pairs = small_model("gpt_neox_serial"), random_pairs()
    collapsed, resolved = (score_edges(model, pairs, "eap_ig_activations", positions=p) for p in (None, "all"))
    np.testing.assert_allclose(resolved.scores.sum(0), collapsed.scores, atol=1e-6)


def test_no_steps_at_all_are_refused():
    with pytest.raises(InputError, match="steps cannot be 0; give a whole number of at least 1"):
        ie.score(small_model("gpt2"), random_pairs(), method="eap_ig_activations", steps=0)
