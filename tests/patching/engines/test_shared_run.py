"""Circuits that share what they have in common give what they give when every node of each of them runs."""

from functools import lru_cache

import numpy as np
import pytest
import torch

import interp_emerge as ie
from interp_emerge.abilities.metrics import bind_metric
from interp_emerge.caching.recording import Recording, record
from interp_emerge.circuits.finding.null_circuits import NullKind, random_edges
from interp_emerge.circuits.running.evaluation import random_circuits
from interp_emerge.core.graph import Graph
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.engines import shared_run
from interp_emerge.patching.engines.circuit_run import circuit_values
from interp_emerge.patching.engines.sharing import EVERYWHERE, LAST, plan_of
from tests.models.small_models import FORMS, random_pairs, small_model

TOLERANCE = 2e-5
"""Largest difference found 3e-6, on metrics up to 5."""
METRICS = ("logit_diff", "accuracy", "kl")


@lru_cache(maxsize=4)
def recorded(
    model: HookedModel, length: int, differing: tuple[int, ...]
) -> tuple[ie.PromptPairs, Recording, Recording]:
    pairs = random_pairs(4, length=length)
    corrupt = pairs.clean.clone()
    for position in differing:
        corrupt[:, position] = 1 + (pairs.clean[:, position] + 5) % 20
    pairs = ie.PromptPairs(clean=pairs.clean, corrupt=corrupt, answer=pairs.answer, foil=pairs.foil)
    return pairs, record(model, pairs.clean), record(model, corrupt)


def both_ways(model: HookedModel, circuits: list[np.ndarray], differing: tuple[int, ...] = (3, 5), **options) -> None:
    pairs, own, other = recorded(model, 7, differing)
    metrics, masks = [bind_metric(name, model, pairs) for name in METRICS], torch.from_numpy(np.stack(circuits))
    with model.running():
        fast = circuit_values(model, masks, own, other, metrics, **options)
        slow = circuit_values(model, masks, own, other, metrics, sharing=False)
    for one, two in zip(fast, slow, strict=True):
        np.testing.assert_allclose(one.numpy(), two.numpy(), atol=TOLERANCE)


def strongest(graph: Graph, n: int, count: int) -> list[np.ndarray]:
    found = []
    for edges in random_edges(graph, NullKind.STRONGEST, n, count):
        kept = np.zeros_like(graph.exists)
        kept.flat[edges] = True
        found.append(kept)
    return found


def without_each(kept: np.ndarray) -> list[np.ndarray]:
    circuits = []
    for edge in np.argwhere(kept):
        left = kept.copy()
        left[tuple(edge)] = False
        circuits.append(left)
    return circuits


@pytest.mark.parametrize("architecture", FORMS)
def test_small_and_large_circuits_and_neighbours_of_one_circuit_run_alike(architecture: str):
    model = small_model(architecture)
    graph = model.graph
    few = strongest(graph, 8, 3)
    both_ways(model, [*few, *(graph.exists & ~kept for kept in few), *without_each(few[0])])
    both_ways(model, [*random_circuits(graph, graph.n_edges // 2, 2), *without_each(graph.exists)[::9]])


@pytest.mark.parametrize("differing", [(), (0,), (6,), (0, 1, 2, 3, 4, 5, 6)])
@pytest.mark.parametrize("architecture", ["llama_grouped", "gpt_neox"])
def test_wherever_the_prompts_differ(architecture: str, differing: tuple[int, ...]):
    model = small_model(architecture)
    graph = model.graph
    no_embedding = graph.exists.copy()
    no_embedding[0] = False
    to_the_logits = np.zeros_like(graph.exists)
    to_the_logits[0, -1] = True
    circuits = [*strongest(graph, 10, 2), graph.exists, np.zeros_like(graph.exists), no_embedding, to_the_logits]
    both_ways(model, circuits, differing)


def test_batches_that_barely_fit_give_the_same(monkeypatch: pytest.MonkeyPatch):
    model = small_model("llama_grouped")
    monkeypatch.setattr(shared_run, "ROWS_AT_ONCE", 8)
    monkeypatch.setattr(shared_run, "ATTENTION_ROWS_AT_ONCE", 4)
    both_ways(model, without_each(strongest(model.graph, 20, 1)[0]), budget=1 << 19)


def n_computed(graph: Graph, circuits: list[np.ndarray]) -> int:
    plan = plan_of(graph, np.stack(circuits))
    return int((plan.used() >= plan.n_owned).sum())


def test_a_circuit_computes_only_nodes_that_its_edges_reach():
    graph = Graph(n_layers=6, n_heads=4, n_kv_heads=4, parallel=False)
    chain = graph.edge_matrix([("embed", "a1.h2.q"), ("a1.h2", "m3"), ("m3", "logits"), ("a0.h0", "m5"), ("m4", "m5")])
    assert n_computed(graph, [chain]) == 2  # a1.h2 and m3; nothing feeds a0.h0, and m5 leads nowhere
    assert n_computed(graph, [graph.exists, np.zeros_like(graph.exists)]) == 0


def test_circuits_without_an_edge_share_what_does_not_lie_behind_it():
    graph = Graph(n_layers=4, n_heads=2, n_kv_heads=2, parallel=False)
    (kept,) = strongest(graph, 30, 1)
    alone = n_computed(graph, [kept])
    late = graph.edge_matrix([("embed", "logits"), ("m2", "logits"), ("m3", "logits")])
    circuits = [kept | late, *without_each(kept | late)]
    last_ones = [one for one in circuits if (one[:, :-1] == (kept | late)[:, :-1]).all()]
    assert n_computed(graph, last_ones) == n_computed(graph, [kept | late])
    assert alone < n_computed(graph, circuits) < 0.7 * sum(n_computed(graph, [one]) for one in circuits)


def test_what_the_logits_read_at_the_last_position_is_computed_there_only():
    graph = Graph(n_layers=4, n_heads=2, n_kv_heads=2, parallel=False)
    to_heads = [("embed", "m0"), ("m0", "a1.h0.q"), ("embed", "m1"), ("m1", "a2.h1.v")]
    kept = graph.edge_matrix([*to_heads, ("a1.h0", "logits"), ("a2.h1", "m3"), ("m3", "logits")])
    plan = plan_of(graph, kept[None])
    where = {
        name: EVERYWHERE if plan.everywhere[plan.outputs[0, at]] else LAST
        for at, name in enumerate(graph.writer_names)
        if plan.outputs[0, at] >= plan.n_owned
    }
    assert where == {"m0": LAST, "a1.h0": LAST, "m1": EVERYWHERE, "a2.h1": LAST, "m3": LAST}
