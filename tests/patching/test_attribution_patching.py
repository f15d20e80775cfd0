from dataclasses import replace

import numpy as np
import pytest
import torch

from interp_emerge.abilities.metrics import bind_metric
from interp_emerge.caching.recording import EMBED, mlp_name, z_name
from interp_emerge.core.errors import UnknownNameError
from tests.models.small_models import FORMS, random_pairs, small_model
from tests.patching.interpolation import precise_model, sites_of, slopes_of_nodes
from tests.patching.scored import score_edges, score_nodes


@pytest.mark.parametrize("direction", ["denoising", "noising"])
@pytest.mark.parametrize("architecture", FORMS)
def test_a_node_scores_the_sum_of_its_edges(architecture: str, direction: str):
    model, pairs = small_model(architecture), random_pairs()
    by_node = score_nodes(model, pairs, "attribution_patching", direction=direction)
    assert by_node.nodes == model.graph.writers
    by_edge = score_edges(model, pairs, "eap", direction=direction).scores
    np.testing.assert_allclose(by_node.scores, by_edge.sum(1), atol=5e-6)


@pytest.mark.parametrize("architecture", ["gpt_neox", "gemma2"])
@pytest.mark.parametrize("method", ["attribution_patching", "atp_star"])
def test_noising_is_denoising_of_exchanged_runs_with_the_other_sign(method: str, architecture: str):
    model, pairs = small_model(architecture), random_pairs()
    exchanged = replace(pairs, clean=pairs.corrupt, corrupt=pairs.clean)
    sites = ("q", "k", "v", "head", "mlp")
    for positions in (None, "all"):
        how = {"sites": sites, "positions": positions}
        found = score_nodes(model, pairs, method, direction="noising", **how).scores
        np.testing.assert_allclose(found, -score_nodes(model, exchanged, method, **how).scores, atol=1e-6)
        assert np.abs(found - score_nodes(model, pairs, method, **how).scores).max() > 1e-3


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "bloom", "gemma2", "gemma3", "olmo2", "phi"])
def test_a_node_of_any_kind_scores_the_slope_of_the_metric_as_it_is_moved(architecture: str):
    model, pairs = precise_model(architecture), random_pairs()
    found = score_nodes(model, pairs, "attribution_patching", sites=sites_of(model))
    slopes = slopes_of_nodes(model, pairs, found.nodes)
    assert np.abs(slopes).max() > 0.1
    # Largest difference 4e-7, the error of central differences.
    assert np.abs(found.scores - slopes).max() < 1e-6 * np.abs(slopes).max()


@pytest.mark.parametrize("architecture", ["gpt_neox", "gemma2"])
def test_a_node_at_a_position_scores_the_slope_as_it_is_moved_there(architecture: str):
    model, pairs = precise_model(architecture), random_pairs()
    found = score_nodes(model, pairs, "attribution_patching", sites=sites_of(model), positions="all")
    slopes = np.stack([slopes_of_nodes(model, pairs, found.nodes[::4], position) for position in (1, 6)])
    assert np.abs(found.scores[[1, 6], ::4] - slopes).max() < 1e-6 * np.abs(slopes).max()


@pytest.mark.parametrize("architecture", FORMS)
def test_scores_by_position_sum_to_the_collapsed_ones(architecture: str):
    model, pairs = small_model(architecture), random_pairs()
    collapsed, resolved = (
        score_nodes(model, pairs, "attribution_patching", sites=sites_of(model), positions=positions)
        for positions in (None, "all")
    )
    np.testing.assert_allclose(resolved.scores.sum(0), collapsed.scores, atol=5e-6)


def test_a_node_scores_its_change_times_the_gradient_that_transformer_lens_finds_at_its_output():
    model, pairs = small_model("gpt_neox"), random_pairs()
    metric = bind_metric("logit_diff", model, pairs)
    _, clean = model.bridge.run_with_cache(pairs.clean)
    _, corrupt = model.bridge.run_with_cache(pairs.corrupt)
    names = [EMBED] + [name(layer) for layer in range(3) for name in (z_name, mlp_name)]
    probes = {name: torch.zeros_like(corrupt[name], requires_grad=True) for name in names}
    hooks = [(name, lambda value, hook, name=name: value + probes[name]) for name in names]
    logits = model.bridge.run_with_hooks(pairs.corrupt, fwd_hooks=hooks)
    gradients = torch.autograd.grad(metric(logits[:, -1]).sum(), [*probes.values()])
    found = score_nodes(model, pairs, "attribution_patching").to_frame().set_index("node")["score"]
    for name, gradient in zip(names, gradients, strict=True):
        effect = (clean[name] - corrupt[name]) * gradient
        if name == EMBED:
            expected = {"embed": effect.sum((1, 2)).mean()}
        elif "hook_z" in name:
            layer = name.split(".")[1]
            expected = {f"a{layer}.h{head}": value for head, value in enumerate(effect.sum((1, 3)).mean(0))}
        else:
            expected = {f"m{name.split('.')[1]}": effect.sum((1, 2)).mean()}
        for node, value in expected.items():
            assert found[node] == pytest.approx(float(value), abs=1e-5)


def test_a_site_that_parallel_blocks_lack_is_refused():
    with pytest.raises(UnknownNameError, match="resid_mid"):
        score_nodes(small_model("gpt_neox"), random_pairs(), "attribution_patching", sites="resid_mid")
