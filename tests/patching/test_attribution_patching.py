import numpy as np
import pytest
import torch

from interp_emerge.abilities._metrics import bind_metric
from interp_emerge.caching.recording import EMBED, mlp_name, z_name
from tests.core.small_models import MORE_ARCHITECTURES, random_pairs, small_model
from tests.patching.scored import score_edges, score_nodes


@pytest.mark.parametrize("architecture", MORE_ARCHITECTURES)
def test_a_node_scores_the_sum_of_its_edges(architecture: str):
    model, pairs = small_model(architecture), random_pairs()
    by_node = score_nodes(model, pairs, "attribution_patching").scores
    np.testing.assert_allclose(by_node, score_edges(model, pairs, "eap").scores.sum(1), atol=1e-5)


def test_a_node_scores_its_change_times_the_gradient_at_its_output():
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
