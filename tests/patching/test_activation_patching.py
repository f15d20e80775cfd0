import numpy as np
import pytest
import torch
from torch import Tensor
from transformer_lens.patching import get_act_patch_attn_head_out_all_pos

import interp_emerge as ie
from interp_emerge.abilities._metrics import bind_metric
from interp_emerge.caching.recording import EMBED, mlp_name, z_name
from interp_emerge.core.graph import Node
from interp_emerge.core.model import HookedModel
from tests.core.small_models import ARCHITECTURES, MORE_ARCHITECTURES, random_pairs, small_model
from tests.patching.exact import exact_nodes
from tests.patching.scored import score_nodes


@pytest.fixture(scope="module")
def pairs() -> ie.PromptPairs:
    return random_pairs()


def patched_by_hooks(model: HookedModel, pairs: ie.PromptPairs, node: Node) -> Tensor:
    """Logits after the corrupt prompt with one node's clean value put in by TransformerLens's own hooks."""
    _, clean = model.bridge.run_with_cache(pairs.clean)

    def put_head(z: Tensor, hook) -> Tensor:
        z = z.clone()
        z[:, :, node.index] = clean[hook.name][:, :, node.index]
        return z

    if node.kind == "head":
        hooks = [(z_name(node.layer), put_head)]
    else:
        hooks = [(EMBED if node.kind == "embed" else mlp_name(node.layer), lambda value, hook: clean[hook.name])]
    return model.bridge.run_with_hooks(pairs.corrupt, fwd_hooks=hooks)[:, -1]


@torch.no_grad()
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_node_has_the_effect_of_patching_it_by_hooks(architecture: str, pairs: ie.PromptPairs):
    model = small_model(architecture)
    metric = bind_metric("logit_diff", model, pairs)
    corrupt = metric(model.logits(pairs.corrupt))
    expected = torch.stack([metric(patched_by_hooks(model, pairs, node)) - corrupt for node in model.graph.writers], 1)
    found = score_nodes(model, pairs, "activation_patching").per_pair
    # Largest difference 6e-6; effects reach 0.9 and more.
    assert np.abs(found - expected.numpy()).max() < 1e-4 * np.abs(found).max()
    assert np.abs(found).max() > 0.5


@torch.no_grad()
def test_heads_have_the_effects_that_transformer_lens_finds(pairs: ie.PromptPairs):
    model = small_model("gpt_neox")
    metric = bind_metric("logit_diff", model, pairs)
    corrupt = metric(model.logits(pairs.corrupt)).mean()
    _, clean = model.bridge.run_with_cache(pairs.clean)
    swept = get_act_patch_attn_head_out_all_pos(
        model.bridge, pairs.corrupt, clean, lambda logits: metric(logits[:, -1]).mean()
    )
    frame = score_nodes(model, pairs, "activation_patching").to_frame()
    found = frame[frame["kind"] == "head"].pivot(index="layer", columns="index", values="score").to_numpy()
    np.testing.assert_allclose(found, swept - corrupt, atol=1e-5)


@pytest.mark.parametrize("architecture", MORE_ARCHITECTURES)
def test_every_node_has_the_effect_that_a_slow_reading_of_the_model_gives(architecture: str, pairs: ie.PromptPairs):
    model = small_model(architecture)
    found = score_nodes(model, pairs, "activation_patching").per_pair
    expected = exact_nodes(model, pairs)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_patching_the_embedding_brings_the_whole_clean_run_back(pairs: ie.PromptPairs):
    model = small_model("gpt2")
    metric = bind_metric("logit_diff", model, pairs)
    with torch.no_grad():
        gap = metric(model.logits(pairs.clean)) - metric(model.logits(pairs.corrupt))
    found = score_nodes(model, pairs, "activation_patching").per_pair
    np.testing.assert_allclose(found[:, 0], gap, atol=2e-5)
