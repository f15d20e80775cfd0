from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import interp_emerge as ie
from interp_emerge.caching.recording import z_name
from interp_emerge.circuits.running.ablation import accuracy_without, heads_to_ablate, matched_random_heads
from interp_emerge.core.errors import UnknownNameError
from interp_emerge.core.graph import Graph
from interp_emerge.core.model import HookedModel
from tests.models.small_models import ARCHITECTURES, random_pairs, small_model

ALL_HEADS = [f"a{layer}.h{head}" for layer in range(3) for head in range(4)]


def half_right(logits: Tensor) -> ie.PromptPairs:
    """Pairs with the most likely token as the correct answer of every second pair."""
    best, worst = logits.argmax(1), logits.argmin(1)
    right = torch.arange(len(logits)) % 2 == 0
    return replace(random_pairs(), answer=torch.where(right, best, worst), foil=torch.where(right, worst, best))


@torch.no_grad()
def logits_with_corrupt_heads(model: HookedModel, heads: list[str]) -> Tensor:
    pairs = random_pairs()
    _, corrupt = model.bridge.run_with_cache(pairs.corrupt)

    def put(z: Tensor, hook, layer: int) -> Tensor:
        z = z.clone()
        for head in range(4):
            if f"a{layer}.h{head}" in heads:
                z[:, :, head] = corrupt[hook.name][:, :, head]
        return z

    hooks = [(z_name(layer), lambda z, hook, layer=layer: put(z, hook, layer)) for layer in range(3)]
    return model.bridge.run_with_hooks(pairs.clean, fwd_hooks=hooks)[:, -1]


@torch.no_grad()
def test_with_no_head_ablated_the_accuracy_is_the_models():
    model = small_model("gpt_neox")
    pairs = half_right(model.logits(random_pairs().clean))
    assert accuracy_without(model, [], pairs).tolist() == [1, 0, 1, 0, 1, 0]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("heads", [ALL_HEADS, ["a0.h3", "a2.h0", "a2.h1"]])
def test_with_heads_ablated_they_write_what_they_wrote_on_the_corrupt_prompt(architecture: str, heads: list[str]):
    model = small_model(architecture)
    logits = logits_with_corrupt_heads(model, heads)
    with torch.no_grad():
        assert (logits - model.logits(random_pairs().clean)).abs().max() > 0.1
    assert accuracy_without(model, heads, half_right(logits)).tolist() == [1, 0, 1, 0, 1, 0]


def test_a_head_that_the_model_lacks_is_refused():
    with pytest.raises(UnknownNameError, match=r"unknown head 'a0\.h9'; did you mean 'a0\.h"):
        accuracy_without(small_model("gpt2"), ["a0.h9"], random_pairs())


def circuit_with(strength: dict[str, float]) -> ie.Circuit:
    model = small_model("gpt2")
    kept = model.graph.edge_matrix([("embed", "m0"), *((head, "logits") for head in strength)])
    scores = np.zeros(kept.shape)
    for head, score in strength.items():
        scores[model.graph.writer_names.index(head), -1] = score
    return ie.Circuit(graph=model.graph, kept=kept, scores=scores)


def test_at_most_the_strongest_half_of_a_layers_heads_is_ablated():
    crowded = {"a0.h0": 1.0, "a0.h1": -5.0, "a0.h2": 2.0, "a0.h3": 0.5}
    assert heads_to_ablate(circuit_with(crowded | {"a2.h3": 0.1})) == ["a0.h1", "a0.h2", "a2.h3"]
    assert heads_to_ablate(circuit_with({"a1.h3": 0.1, "a1.h0": 0.1})) == ["a1.h0", "a1.h3"]
    assert heads_to_ablate(circuit_with({})) == []


def test_equally_strong_heads_are_taken_in_their_order():
    assert heads_to_ablate(circuit_with({f"a1.h{head}": 1.0 for head in range(4)})) == ["a1.h0", "a1.h1"]


def test_the_same_number_of_other_heads_is_drawn_from_each_layer():
    graph, heads = small_model("gpt2").graph, ["a0.h1", "a0.h2", "a2.h0"]
    draws = [matched_random_heads(graph, heads, seed=seed) for seed in range(30)]
    for drawn in draws:
        assert drawn is not None
        assert [head.partition(".")[0] for head in drawn] == ["a0", "a0", "a2"]
        assert not {*drawn} & {*heads}
        assert len({*drawn}) == 3
    assert {tuple(drawn or ()) for drawn in draws} == {("a0.h0", "a0.h3", f"a2.h{head}") for head in (1, 2, 3)}
    assert draws[0] == matched_random_heads(graph, heads, seed=0)


def test_nothing_is_drawn_if_a_layer_has_too_few_other_heads():
    graph = Graph(n_layers=1, n_heads=3, n_kv_heads=3, parallel=False)
    assert matched_random_heads(graph, ["a0.h0", "a0.h1"], seed=0) is None
    assert matched_random_heads(graph, ["a0.h0"], seed=0) in (["a0.h1"], ["a0.h2"])
