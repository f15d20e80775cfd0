"""What holds for every patching method, whichever files stand on the shelf."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import interp_emerge as ie
from interp_emerge.core.model import HookedModel
from interp_emerge.patching import shelf
from interp_emerge.patching.base import EdgeScores, Method, NodeScores
from tests.core.small_models import ARCHITECTURES, build, linear_model, random_pairs, small_model
from tests.patching.exact import exact_edges, exact_nodes

RANDOM = "random"
"""The one method that looks at nothing."""


@pytest.fixture(params=shelf.names())
def method(request: pytest.FixtureRequest) -> Method:
    return shelf[request.param]


@pytest.fixture(scope="module")
def pairs() -> ie.PromptPairs:
    return random_pairs()


@pytest.fixture(scope="module", params=["gpt_neox", "gpt2", "llama_grouped"])
def linear(request: pytest.FixtureRequest, pairs: ie.PromptPairs) -> tuple[HookedModel, np.ndarray, np.ndarray]:
    """A linear model with the exact effects of its nodes and edges."""
    model = linear_model(request.param)
    return model, exact_nodes(model, pairs).mean(0), exact_edges(model, pairs)


def values(scores: NodeScores | EdgeScores) -> np.ndarray:
    return scores.scores


def state_of(hf: Any) -> list[object]:
    modules = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks), m.training) for m in hf.modules()
    ]
    parameters = [(parameter.requires_grad, parameter.grad) for parameter in hf.parameters()]
    return [modules, parameters, hf.config._attn_implementation, torch.is_grad_enabled()]


def test_it_carries_the_name_of_its_file_and_says_what_it_is(method: Method):
    assert shelf[method.name] is method
    assert method.summary and "\n" not in method.summary
    assert method.source.authors and method.source.url.startswith("https://")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_gives_every_node_or_edge_a_finite_score(architecture: str, method: Method, pairs: ie.PromptPairs):
    model = small_model(architecture)
    scores = ie.score(model, pairs, method=method.name)
    expected = len(model.graph.writers) if method.scores == "nodes" else model.graph.n_edges
    assert isinstance(scores, NodeScores if method.scores == "nodes" else EdgeScores)
    assert len(scores.to_frame()) == expected
    assert np.isfinite(values(scores)).all()
    assert np.abs(values(scores)).max() > 0.05


def test_where_clean_and_corrupt_are_the_same_everything_scores_zero(method: Method, pairs: ie.PromptPairs):
    if method.name != RANDOM:
        same = replace(pairs, corrupt=pairs.clean)
        assert not values(ie.score(small_model("gpt_neox"), same, method=method.name)).any()


def test_the_order_of_the_pairs_is_irrelevant(method: Method, pairs: ie.PromptPairs):
    one, other = (ie.score(small_model("gpt2"), p, method=method.name) for p in (pairs, pairs[[3, 0, 5, 1, 4, 2]]))
    np.testing.assert_allclose(values(one), values(other), atol=1e-5)


def test_a_small_budget_gives_the_same_scores(method: Method, pairs: ie.PromptPairs):
    one, other = (ie.score(small_model("llama_grouped"), pairs, method=method.name, budget=b) for b in (None, 1))
    np.testing.assert_allclose(values(one), values(other), atol=1e-5)


def test_a_model_in_half_precision_scores_about_the_same(method: Method, pairs: ie.PromptPairs):
    full = values(ie.score(small_model("gpt2"), pairs, method=method.name))
    half = values(ie.score(ie.hook(build("gpt2").to(torch.bfloat16)), pairs, method=method.name))
    # Largest difference 0.06 of the largest score.
    assert np.abs(full - half).max() < 0.15 * np.abs(full).max()


def test_on_a_linear_model_it_finds_the_exact_effects(method: Method, linear: tuple, pairs: ie.PromptPairs):
    model, nodes, edges = linear
    exact = nodes if method.scores == "nodes" else edges
    assert np.abs(exact).max() > 0.1
    if method.name != RANDOM:
        # Largest difference 5e-6, on effects up to 9.
        np.testing.assert_allclose(values(ie.score(model, pairs, method=method.name)), exact, atol=2e-5)


def test_the_result_says_where_it_comes_from(method: Method, pairs: ie.PromptPairs):
    model = small_model("gpt2")
    origin = ie.score(model, pairs, method=method.name, seed=3).origin
    assert (origin["method"], origin["metric"], origin["seed"]) == (method.name, "logit_diff", 3)
    assert (origin["n_pairs"], origin["prompts"], origin["model"]) == (6, pairs.fingerprint, model.spec.to_dict())


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was_found(grad: bool, training: bool, method: Method, pairs: ie.PromptPairs):
    model = ie.hook(build("gpt_neox", layers=2))
    model.hf.train(training)
    model.hf.get_parameter("gpt_neox.layers.0.mlp.dense_h_to_4h.bias").requires_grad_(False)
    with torch.set_grad_enabled(grad):
        before = state_of(model.hf)
        ie.score(model, pairs, method=method.name)
        assert state_of(model.hf) == before


def test_the_model_is_left_as_it_was_found_also_after_an_error(method: Method, pairs: ie.PromptPairs):
    class BrokenError(Exception):
        pass

    def broken(logits: Tensor, pairs: ie.PromptPairs) -> Tensor:
        raise BrokenError

    model = ie.hook(build("gpt_neox", layers=2))
    before = state_of(model.hf)
    if method.name != RANDOM:
        with pytest.raises(BrokenError):
            ie.score(model, pairs, method=method.name, metric=broken)
    assert state_of(model.hf) == before
