from functools import cache
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

import interp_emerge as ie
from interp_emerge.abilities.metrics import bind_metric
from interp_emerge.core.errors import UnknownNameError
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.ablation import ABLATIONS, Ablation, ablate
from tests.models.small_models import ARCHITECTURES, random_pairs, small_model
from tests.patching.scored import record_once, score_nodes

SEVERAL = ("embed", "a0.h1", "a0.h3", "a1.h2", "m1", "a2.h0")


@pytest.fixture(scope="module")
def pairs() -> ie.PromptPairs:
    return random_pairs()


RECORD = record_once()


@cache
@torch.no_grad()
def corrupted_by_bridge(model: HookedModel) -> Any:
    """What TransformerLens records of the corrupted run."""
    return model.bridge.run_with_cache(random_pairs().corrupt)[1]


@torch.no_grad()
def logits_by_hooks(model: HookedModel, nodes: tuple[str, ...], pairs: ie.PromptPairs, ablation: Ablation) -> Tensor:
    """Logits of the clean run with nodes ablated by hooks of TransformerLens."""
    corrupt = corrupted_by_bridge(model)

    def stand_in(name: str) -> Tensor:
        values = corrupt[name]
        match ablation:
            case "zero":
                return torch.zeros_like(values)
            case "mean":
                return values.mean((0, 1), keepdim=True).expand(values.shape)
            case "mean_by_position":
                return values.mean(0, keepdim=True).expand(values.shape)
            case _:
                return values

    def put_heads(z: Tensor, hook: Any) -> Tensor:
        shape, z, source = z.shape, z.clone(), stand_in(hook.name)
        layer = hook.name.split(".")[1]
        z, source = (x.reshape(*x.shape[:2], model.graph.n_heads, -1) for x in (z, source))
        for head in range(model.graph.n_heads):
            if f"a{layer}.h{head}" in nodes:
                z[:, :, head] = source[:, :, head]
        return z.view(shape)

    def put(_: Tensor, hook: Any) -> Tensor:
        return stand_in(hook.name).clone()

    hooks: list[tuple[str, Any]] = [(f"blocks.{layer}.attn.hook_z", put_heads) for layer in range(model.graph.n_layers)]
    hooks += [(f"blocks.{node[1:]}.hook_mlp_out", put) for node in nodes if node[0] == "m"]
    hooks += [("blocks.0.hook_resid_pre", put)] if "embed" in nodes else []
    return model.bridge.run_with_hooks(pairs.clean, fwd_hooks=hooks)[:, -1]


@torch.no_grad()
@pytest.mark.parametrize("ablation", ABLATIONS)
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "olmo2"])
def test_ablating_nodes_is_putting_their_stand_ins_by_hooks(
    architecture: str, ablation: Ablation, pairs: ie.PromptPairs
):
    model = small_model(architecture)
    metric = bind_metric("logit_diff", model, pairs)
    for nodes in (SEVERAL, SEVERAL[1:], ("m0", "m2"), ()):
        found = ablate(model, nodes, pairs, ablation=ablation)
        by_hooks = logits_by_hooks(model, nodes, pairs, ablation)
        np.testing.assert_allclose(found, metric(by_hooks), atol=1e-4)
    clean = metric(model.logits(pairs.clean)).double().numpy()
    np.testing.assert_allclose(ablate(model, (), pairs, ablation=ablation), clean, atol=1e-5)
    assert np.abs(ablate(model, SEVERAL[1:], pairs, ablation=ablation) - clean).max() > 0.3


@pytest.mark.parametrize("ablation", ABLATIONS)
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "olmo2"])
def test_a_score_is_the_clean_metric_less_that_without_the_node(
    architecture: str, ablation: Ablation, pairs: ie.PromptPairs
):
    model = small_model(architecture)
    scores = score_nodes(model, pairs, "ablation", sites=("embed", "head", "mlp"), ablation=ablation)
    clean = ablate(model, (), pairs, record=RECORD)
    without = [ablate(model, (node.name,), pairs, ablation=ablation, record=RECORD) for node in scores.nodes]
    expected = clean[:, None] - np.stack(without, 1)
    assert scores.origin["ablation"] == scores.origin["corruption"] == ablation
    assert np.abs(expected).max() > 0.3
    np.testing.assert_allclose(scores.per_pair, expected, atol=1e-4)


@pytest.mark.parametrize("positions", [None, "all"])
def test_resample_ablation_is_activation_patching_with_noising(positions: str | None, pairs: ie.PromptPairs):
    model, options = small_model("gpt2"), {"positions": positions}
    found = score_nodes(model, pairs, "ablation", **options)
    assert {node.kind for node in found.nodes} == {"head", "mlp"}
    noising = score_nodes(model, pairs, "activation_patching", sites=("head", "mlp"), direction="noising", **options)
    assert np.abs(found.per_pair).max() > 0.3
    np.testing.assert_allclose(found.per_pair, noising.per_pair, atol=1e-5)


def test_the_mean_is_that_of_all_prompts_however_few_are_run_at_once(pairs: ie.PromptPairs):
    model = small_model("gpt2")
    for ablation in ("mean", "mean_by_position"):
        found = score_nodes(model, pairs, "ablation", ablation=ablation).per_pair
        small = score_nodes(model, pairs, "ablation", ablation=ablation, budget=300_000).per_pair
        np.testing.assert_allclose(small, found, atol=1e-5)
        at_once, one_by_one = (ablate(model, SEVERAL, pairs, ablation=ablation, budget=b) for b in (None, 60_000))
        np.testing.assert_allclose(one_by_one, at_once, atol=1e-5)


def test_names_that_are_not_known_are_refused(pairs: ie.PromptPairs):
    model = small_model("gpt2")
    with pytest.raises(UnknownNameError, match=r"unknown node 'a0\.h9'; did you mean 'a0\.h"):
        ablate(model, ("a0.h9",), pairs)
    with pytest.raises(UnknownNameError, match="unknown ablation 'means'; did you mean 'mean'"):
        ablate(model, ("a0.h1",), pairs, ablation=cast("Any", "means"))
    with pytest.raises(UnknownNameError, match="unknown site of ablation 'pattern'"):
        score_nodes(model, pairs, "ablation", sites="pattern")
