"""A run in which every edge outside a circuit carries its corrupted value, compared with runs made in other ways."""

from functools import lru_cache

import numpy as np
import pytest
import torch
from torch import Tensor
from transformer_lens.tools.analysis import faithfulness

import interp_emerge as ie
from interp_emerge.abilities.metrics import bind_metric
from interp_emerge.caching.recording import EMBED, Recording, mlp_name, record, z_name
from interp_emerge.circuits.running.evaluation import random_circuits
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Node
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.ablation import ABLATIONS, Ablation
from interp_emerge.patching.engines.circuit_run import circuit_values
from tests.models.slow_model import SlowModel, Written
from tests.models.small_models import FORMS, build, linear_model, random_pairs, small_model
from tests.patching.lens_edges import lens_edge_scores, name_of
from tests.patching.scored import score_edges

TOLERANCE = 2e-5
"""Largest difference found 3e-6, on metrics up to 5; leaving out a single edge moves them by 4e-2 in the median."""


@pytest.fixture(scope="module")
def pairs() -> ie.PromptPairs:
    return random_pairs()


@lru_cache(maxsize=2)
def both_runs(model: HookedModel, pairs: ie.PromptPairs) -> tuple[Recording, Recording]:
    return record(model, pairs.clean), record(model, pairs.corrupt)


def metric_of(model: HookedModel, circuits: list[np.ndarray], pairs: ie.PromptPairs, **options) -> np.ndarray:
    bound, masks = bind_metric("logit_diff", model, pairs), torch.from_numpy(np.stack(circuits))
    clean, corrupt = both_runs(model, pairs)
    with model.running():
        (values,) = circuit_values(model, masks, clean, corrupt, [bound], **options)
    return values.numpy()


@torch.no_grad()
def metric_after(model: HookedModel, tokens: Tensor, pairs: ie.PromptPairs) -> np.ndarray:
    return bind_metric("logit_diff", model, pairs)(model.logits(tokens)).numpy()


def circuits_of_all_sizes(model: HookedModel, count: int = 2) -> list[np.ndarray]:
    sizes = [round(share * model.graph.n_edges) for share in (0.1, 0.3, 0.6, 0.95)]
    return [circuit for size in sizes for circuit in random_circuits(model.graph, size, count, seed=size)]


@pytest.mark.parametrize("architecture", FORMS)
def test_the_full_circuit_is_the_clean_run_and_the_empty_one_the_corrupt_run(architecture: str, pairs: ie.PromptPairs):
    model = small_model(architecture)
    everything, nothing = metric_of(model, [model.graph.exists, np.zeros_like(model.graph.exists)], pairs)
    clean, corrupt = (metric_after(model, tokens, pairs) for tokens in (pairs.clean, pairs.corrupt))
    assert np.abs(clean - corrupt).max() > 0.3
    np.testing.assert_allclose(everything, clean, atol=TOLERANCE)
    np.testing.assert_allclose(nothing, corrupt, atol=TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize("architecture", FORMS)
def test_a_circuit_gives_what_a_slow_model_gives(architecture: str, pairs: ie.PromptPairs):
    model = small_model(architecture)
    slow, metric = SlowModel(model.hf), bind_metric("logit_diff", model, pairs)
    ablated = slow.run(pairs.corrupt)[1]
    circuits = circuits_of_all_sizes(model, count=1)
    for kept, found in zip(circuits, metric_of(model, circuits, pairs), strict=True):
        edges = {(model.graph.writer_names[w], model.graph.reader_names[r]) for w, r in np.argwhere(kept)}

        def change(reader: str, written: Written, edges: set[tuple[str, str]] = edges) -> Tensor:
            outside = [ablated[name] - live for name, live in written.items() if (name, reader) not in edges]
            return sum(outside, start=torch.zeros_like(written["embed"]))

        np.testing.assert_allclose(found, metric(slow.run(pairs.clean, change)[0]), atol=TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize("ablation", ["mean", "mean_by_position", "zero"])
@pytest.mark.parametrize("architecture", FORMS)
def test_with_means_or_zeros_on_ablated_edges_a_circuit_gives_what_a_slow_model_gives(
    architecture: str, ablation: Ablation, pairs: ie.PromptPairs
):
    model = small_model(architecture)
    slow, metric = SlowModel(model.hf), bind_metric("logit_diff", model, pairs)
    over = {"mean": (0, 1), "mean_by_position": (0,)}
    ablated = {
        name: torch.zeros_like(value) if ablation == "zero" else value.mean(over[ablation], keepdim=True)
        for name, value in slow.run(pairs.corrupt)[1].items()
    }
    circuits = [*circuits_of_all_sizes(model, count=1), np.zeros_like(model.graph.exists)]
    for kept, found in zip(circuits, metric_of(model, circuits, pairs, ablation=ablation), strict=True):
        edges = {(model.graph.writer_names[w], model.graph.reader_names[r]) for w, r in np.argwhere(kept)}

        def change(reader: str, written: Written, edges: set[tuple[str, str]] = edges) -> Tensor:
            outside = [ablated[name] - live for name, live in written.items() if (name, reader) not in edges]
            return sum(outside, start=torch.zeros_like(written["embed"]))

        np.testing.assert_allclose(found, metric(slow.run(pairs.clean, change)[0]), atol=TOLERANCE)


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "llama"])
def test_a_circuit_keeps_as_much_as_transformer_lens_finds(architecture: str):
    model, pair = small_model(architecture, layers=2, seed=3), random_pairs(1, length=5)
    by_position = list(lens_edge_scores(model, pair))
    metric = bind_metric("logit_diff", model, pair)
    circuits = random_circuits(model.graph, model.graph.n_edges // 2, 2)
    for kept, found in zip(circuits, metric_of(model, circuits, pair), strict=True):
        edges = {(model.graph.writer_names[w], model.graph.reader_names[r]) for w, r in np.argwhere(kept)}
        inside = [edge for edge in by_position if (name_of(edge[0]), name_of(edge[1])) in edges]
        theirs = faithfulness(
            model.bridge, pair.clean, pair.corrupt, lambda logits: metric(logits[:, -1]).sum(), inside
        )
        expected = theirs.corrupt_metric + theirs.recovered * (theirs.full_metric - theirs.corrupt_metric)
        assert found[0] == pytest.approx(expected, abs=TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "llama", "llama_grouped"])
def test_without_the_edges_of_a_writer_the_run_is_that_with_its_output_patched(
    architecture: str, pairs: ie.PromptPairs
):
    """The patched run is TransformerLens's, with hooks on head and MLP outputs.

    The architectures have no norm after attention, where a patched head would change the scale of the others.
    """
    model = small_model(architecture)
    _, corrupt = model.bridge.run_with_cache(pairs.corrupt)
    metric = bind_metric("logit_diff", model, pairs)

    def patched(node: Node) -> Tensor:
        def put_head(z: Tensor, hook) -> Tensor:
            z = z.clone()
            z[:, :, node.index] = corrupt[hook.name][:, :, node.index]
            return z

        if node.kind == "head":
            hooks = [(z_name(node.layer), put_head)]
        else:
            hooks = [(EMBED if node.kind == "embed" else mlp_name(node.layer), lambda value, hook: corrupt[hook.name])]
        return metric(model.bridge.run_with_hooks(pairs.clean, fwd_hooks=hooks)[:, -1])

    without = [model.graph.exists & (np.arange(len(model.graph.writers)) != index)[:, None] for index in range(16)]
    found = metric_of(model, without, pairs)
    np.testing.assert_allclose(found, torch.stack([patched(node) for node in model.graph.writers]), atol=TOLERANCE)


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2", "llama_grouped"])
def test_in_a_linear_model_leaving_out_an_edge_costs_its_score(architecture: str, pairs: ie.PromptPairs):
    model = linear_model(architecture)
    scores = score_edges(model, pairs, "eap").scores
    edges = np.argwhere(model.graph.exists)
    without = np.stack([model.graph.exists] * len(edges))
    without[np.arange(len(edges)), edges[:, 0], edges[:, 1]] = False
    lost = metric_after(model, pairs.clean, pairs).mean() - metric_of(model, [*without], pairs).mean(1)
    np.testing.assert_allclose(lost, scores[edges[:, 0], edges[:, 1]], atol=3e-5)


@pytest.mark.parametrize("architecture", FORMS)
def test_pruning_a_circuit_changes_nothing(architecture: str, pairs: ie.PromptPairs):
    model = small_model(architecture)
    circuits = circuits_of_all_sizes(model)
    pruned = [model.graph.prune(kept) for kept in circuits]
    assert sum(kept.sum() for kept in pruned) < sum(kept.sum() for kept in circuits)
    np.testing.assert_allclose(metric_of(model, circuits, pairs), metric_of(model, pruned, pairs), atol=TOLERANCE)


def test_a_budget_below_one_pair_is_refused(pairs: ie.PromptPairs):
    model = small_model("gpt_neox")
    with pytest.raises(InputError, match="raise the budget"):
        metric_of(model, [model.graph.exists], pairs, budget=1)


@pytest.mark.parametrize("architecture", FORMS)
def test_a_run_that_starts_at_a_later_block_gives_what_one_from_the_first_block_gives(
    architecture: str, pairs: ie.PromptPairs
):
    model = small_model(architecture)
    late = []
    for layer in range(4):
        kept = random_circuits(model.graph, model.graph.n_edges // 2, 1, seed=layer)[0]
        kept[:, [reader.layer < layer for reader in model.graph.readers]] = True
        late.append(kept & model.graph.exists)
    # In a batch with a circuit that lacks edges into the first layer, all circuits start there.
    nothing = np.zeros_like(model.graph.exists)
    from_the_first = np.concatenate([metric_of(model, [kept, nothing], pairs)[:1] for kept in late])
    alone = np.concatenate([metric_of(model, [kept], pairs) for kept in late])
    assert len(np.unique(alone.round(3), axis=0)) == 4
    np.testing.assert_allclose(alone, from_the_first, atol=TOLERANCE)


@pytest.mark.parametrize("architecture", ["gpt_neox", "llama_grouped", "gemma2"])
def test_how_circuits_and_pairs_are_batched_changes_nothing(architecture: str, pairs: ie.PromptPairs):
    model = small_model(architecture)
    circuits = circuits_of_all_sizes(model)
    for ablation in ABLATIONS:
        together = metric_of(model, circuits, pairs, ablation=ablation)
        alone = np.concatenate([metric_of(model, [kept], pairs, ablation=ablation) for kept in circuits])
        np.testing.assert_allclose(together, alone, atol=1e-5)
        for budget in (1 << 18, 3 << 20):
            batched = metric_of(model, circuits, pairs, budget=budget, ablation=ablation)
            np.testing.assert_allclose(together, batched, atol=1e-5)


def test_the_model_is_left_as_it_was_found(pairs: ie.PromptPairs):
    model = ie.hook(build("gpt_neox"))
    model.hf.train()
    metric_of(model, circuits_of_all_sizes(model), pairs)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.hf.modules())
    assert all(module.training for module in model.hf.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.hf.parameters())
    assert torch.is_grad_enabled()
