from typing import Any

import numpy as np
import pytest
import torch

import interp_emerge as ie
from interp_emerge.abilities.metrics import bind_metric
from interp_emerge.core.errors import InputError
from interp_emerge.patching import shelf
from interp_emerge.patching.base import PatchingTask
from interp_emerge.patching.eap import Options
from interp_emerge.patching.engines.attribution import bytes_per_pair
from tests.models.small_models import FORMS, build, random_pairs, small_model
from tests.patching.exact import slow_eap
from tests.patching.interpolation import precise_model, slopes_of_edges
from tests.patching.lens_edges import lens_edge_scores, name_of
from tests.patching.scored import score_edges

LENS_READS: dict[str, dict[str, Any]] = {
    "gpt_neox": {},
    "gpt_neox_serial": {},
    "gpt2": {},
    "llama": {},
    "olmo": {},
    "mistral": {"num_key_value_heads": 4},
    "qwen2": {"num_key_value_heads": 4},
    "qwen3": {"num_key_value_heads": 4},
    "falcon": {"multi_query": False, "parallel_attn": False},
    "granite": {"num_key_value_heads": 4, "residual_multiplier": 1.0},
}
"""Architectures whose edges TransformerLens 4.3 scores, and what has to be changed for it to do so.

TransformerLens refuses grouped queries, norms behind attention (Gemma 2 and 3, OLMo 2), scaled outputs of attention
(Granite), Phi's norms of queries and keys, and `use_attn_result` in GPT-Neo, GPT-J and OPT. In BLOOM, Cohere and MPT,
and in Phi without such norms, it finds no hooks at the inputs of queries or of the MLP.
"""


@pytest.mark.parametrize("architecture", LENS_READS)
def test_edges_score_what_transformer_lens_gives_them_summed_over_positions(architecture: str):
    model, pair = ie.hook(build(architecture, layers=2, seed=3, **LENS_READS[architecture])), random_pairs(1)
    scores = score_edges(model, pair, "eap").scores
    expected, counted = np.zeros_like(scores), np.zeros_like(model.graph.exists)
    for (writer, reader), score in lens_edge_scores(model, pair).items():
        at = model.graph.writer_names.index(name_of(writer)), model.graph.reader_names.index(name_of(reader))
        expected[at] += score
        counted[at] = True
    assert (counted == model.graph.exists).all()
    # Largest difference 8e-7.
    assert np.abs(scores - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("architecture", FORMS)
def test_edges_score_what_autograd_gives_when_every_reader_has_an_input_of_its_own(architecture: str):
    model, pairs = small_model(architecture), random_pairs()
    scores, expected = score_edges(model, pairs, "eap").scores, slow_eap(model, pairs)
    # Largest difference 1.7e-6.
    assert np.abs(scores - expected).max() < 2e-5 * np.abs(expected).max()


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "llama_grouped", "gemma2", "olmo2"])
def test_noising_takes_the_gradient_of_the_clean_run(architecture: str):
    model, pairs = small_model(architecture), random_pairs()
    scores, other = (score_edges(model, pairs, "eap", direction=way).scores for way in ("noising", "denoising"))
    expected = slow_eap(model, pairs, direction="noising")
    # Largest difference 1.4e-6.
    assert np.abs(scores - expected).max() < 1e-5 * np.abs(expected).max()
    assert np.abs(scores - other).max() > 1e-3
    mean = score_edges(model, pairs, "clean_corrupted").scores
    np.testing.assert_allclose((scores + other) / 2, mean, atol=2e-6)


def test_noising_is_refused_for_the_divergence_from_the_clean_run():
    model, pairs = small_model("gpt2"), random_pairs()
    for method in ("eap", "attribution_patching", "atp_star"):
        with pytest.raises(InputError, match=r"'kl' has no slope in the clean run.*give direction='denoising'"):
            ie.score(model, pairs, method=method, metric="kl", direction="noising")
    assert score_edges(model, pairs, "eap_ig_activations", metric="kl", direction="noising").scores.any()


@pytest.mark.parametrize("direction", ["denoising", "noising"])
@pytest.mark.parametrize("architecture", ["gpt_neox", "gemma2", "olmo2"])
def test_an_edge_scores_the_slope_of_the_metric_as_it_alone_is_moved(architecture: str, direction: str):
    model, pairs = precise_model(architecture), random_pairs()
    scores = score_edges(model, pairs, "eap", direction=direction).scores
    edges = sorted(np.argwhere(model.graph.exists)[::5].tolist(), key=lambda edge: edge[1])
    point = 1.0 if direction == "noising" else 0.0
    slopes = slopes_of_edges(model, pairs, [(writer, reader) for writer, reader in edges], point=point)
    assert np.abs(slopes).max() > 0.05
    # Largest difference 4e-8, the error of central differences.
    assert np.abs(scores[tuple(np.transpose(edges))] - slopes).max() < 1e-6 * np.abs(slopes).max()


@pytest.mark.parametrize("architecture", ["gpt_neox", "gemma3", "olmo2"])
def test_scores_by_position_sum_to_the_collapsed_ones(architecture: str):
    model, pairs = small_model(architecture), random_pairs()
    collapsed, resolved = (score_edges(model, pairs, "eap", positions=positions) for positions in (None, "all"))
    assert resolved.positions == tuple("0123456")
    np.testing.assert_allclose(resolved.scores.sum(0), collapsed.scores, atol=1e-6)
    assert resolved.per_pair is not None and resolved.per_pair.shape == (6, 7, model.graph.n_edges)


def test_named_positions_are_looked_up_pair_by_pair():
    model, where = small_model("gpt2"), torch.tensor([1, 5, 5, 1, 6, 3])
    pairs = replace_positions(random_pairs(), {"changed": where.tolist()})
    everywhere, named = (score_edges(model, pairs, "eap", positions=p).per_pair for p in ("all", "changed"))
    assert everywhere is not None and named is not None
    np.testing.assert_allclose(named[:, 0], everywhere[np.arange(6), where], atol=1e-6)


def test_before_the_first_corrupted_token_nothing_has_an_effect():
    resolved = score_edges(small_model("llama"), random_pairs(), "eap", positions="all").scores
    assert not resolved[0].any()
    assert resolved[1].any()


def test_standard_errors_are_those_of_the_mean_over_pairs():
    model, pairs = small_model("gpt2"), random_pairs()
    scores = score_edges(model, pairs, "eap")
    alone = np.stack([score_edges(model, pairs[[row]], "eap").scores for row in range(len(pairs))])
    np.testing.assert_allclose(scores.scores, alone.mean(0), atol=1e-6)
    np.testing.assert_allclose(scores.standard_errors, alone.std(0, ddof=1) / len(pairs) ** 0.5, atol=1e-6)
    assert scores.per_pair is not None
    np.testing.assert_allclose(scores.per_pair, alone[:, model.graph.exists], atol=1e-5)
    assert not scores.scores[~model.graph.exists].any()


def test_the_values_of_each_pair_are_kept_as_long_as_they_fit_the_budget():
    model, pairs = small_model("gpt2"), random_pairs(400)
    one_pair = bytes_per_pair(task_of(model, pairs))
    assert one_pair * 2 < 4 * len(pairs) * model.graph.n_edges
    kept, dropped = (score_edges(model, pairs, "eap", budget=budget) for budget in (None, one_pair * 2))
    assert kept.per_pair is not None and dropped.per_pair is None
    np.testing.assert_allclose(kept.scores, dropped.scores, atol=1e-6)
    np.testing.assert_allclose(kept.standard_errors, dropped.standard_errors, atol=1e-6)


def test_it_takes_three_passes_and_the_memory_of_one_chunk():
    model = small_model("gpt2")
    few, many = (shelf["eap"].cost(task_of(model, random_pairs(n), budget=1 << 20)) for n in (100, 100_000))
    assert 3 < few.passes == many.passes < 5
    assert many.bytes < 1 << 20


def test_a_metric_without_a_gradient_is_refused():
    with pytest.raises(InputError, match="'accuracy' has no gradient"):
        score_edges(small_model("gpt2"), random_pairs(), "eap", metric="accuracy")


def replace_positions(pairs: ie.PromptPairs, positions: dict[str, list[int]]) -> ie.PromptPairs:
    return ie.PromptPairs(
        clean=pairs.clean, corrupt=pairs.corrupt, answer=pairs.answer, foil=pairs.foil, positions=positions
    )


def task_of(model: Any, pairs: ie.PromptPairs, budget: int | None = None) -> PatchingTask:
    metric = bind_metric("logit_diff", model, pairs)
    return PatchingTask(model=model, pairs=pairs, metric=metric, options=Options(), budget=budget)
