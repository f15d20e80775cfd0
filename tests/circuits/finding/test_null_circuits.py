"""Random circuits of every kind: sizes, connectedness, and the same law as the selections that they imitate."""

from dataclasses import replace
from itertools import combinations, islice, pairwise

import numpy as np
import pytest

from interp_emerge.circuits.finding.growth import grown_order
from interp_emerge.circuits.finding.null_circuits import ALWAYS, NullKind, kinds_of, live_from, null_circuits
from interp_emerge.circuits.finding.random_paths import connected_circuit
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph

GRAPHS = [
    Graph(n_layers=2, n_heads=2, n_kv_heads=2, parallel=False),
    Graph(n_layers=3, n_heads=4, n_kv_heads=2, parallel=True),
    Graph(n_layers=2, n_heads=4, n_kv_heads=1, parallel=False, joined=True, rescaled=True),
]


def circuit(graph: Graph, kept: np.ndarray) -> Circuit:
    return Circuit(graph=graph, kept=kept, scores=np.zeros(kept.shape))


def of_size(graph: Graph, n_edges: int) -> Circuit:
    return circuit(graph, connected_circuit(graph, n_edges, np.random.default_rng(0)))


@pytest.mark.parametrize("graph", GRAPHS)
def test_an_edge_is_live_from_the_number_on_at_which_pruning_keeps_it(graph: Graph):
    orders = np.where(graph.exists, np.random.default_rng(1).random((3, *graph.exists.shape)), np.inf)
    for order, live in zip(orders, live_from(graph, orders), strict=True):
        for last in np.linspace(0, 1, 30):
            np.testing.assert_array_equal(live <= last, graph.prune(order <= last))


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("kind", [NullKind.STRONGEST, NullKind.PATHS, NullKind.GROWN])
def test_random_circuits_have_the_given_size_and_no_dead_ends(graph: Graph, kind: NullKind):
    for n_edges in (0, 1, 2, 7, 20, graph.n_edges - 1, graph.n_edges):
        for kept in null_circuits(of_size(graph, n_edges), kind, 4, seed=n_edges):
            assert kept.sum() == n_edges and (graph.prune(kept) == kept).all()


@pytest.mark.parametrize("kind", [*NullKind])
def test_the_seed_decides_and_more_draws_begin_with_the_same(kind: NullKind):
    one = of_size(GRAPHS[1], 12)
    first, more, other = (null_circuits(one, kind, n, seed=seed) for n, seed in ((4, 1), (6, 1), (4, 2)))
    np.testing.assert_array_equal(first, more[:4])
    assert (np.stack(first) != np.stack(other)).any()
    with pytest.raises(InputError, match="count=-1 is not a number of random circuits"):
        null_circuits(one, kind, -1)


def selected(graph: Graph, n_edges: int, rng: np.random.Generator, *, grow: bool):
    """Endless selections by the definition: the first edges of an order, pruned, where one has the wanted size."""
    while True:
        order = rng.permutation(np.argwhere(graph.exists))
        order = grown_order(graph, order, graph.n_edges) if grow else order
        kept = np.zeros_like(graph.exists)
        for writer, reader in order:
            kept[writer, reader] = True
            if kept.sum() >= n_edges and (pruned := graph.prune(kept)).sum() >= n_edges:
                if pruned.sum() == n_edges:
                    yield pruned
                break


@pytest.mark.parametrize("kind", [NullKind.STRONGEST, NullKind.GROWN])
def test_the_strongest_edges_of_noise_have_the_law_of_the_selection_that_they_imitate(kind: NullKind):
    graph, n = GRAPHS[0], 600
    drawn = np.mean(null_circuits(of_size(graph, 8), kind, n, seed=3), 0)
    rng = np.random.default_rng(4)
    expected = np.mean([*islice(selected(graph, 8, rng, grow=kind == NullKind.GROWN), n)], 0)
    errors = np.sqrt((drawn * (1 - drawn) + expected * (1 - expected)) / n)[graph.exists]
    # The largest of 46 normal values exceeds 4 with a chance of 0.003.
    assert np.abs((drawn - expected)[graph.exists] / np.maximum(errors, 1e-9)).max() < 4


def test_random_nodes_keep_the_numbers_of_heads_and_mlps_and_all_edges_between():
    graph = GRAPHS[1]
    one = circuit(graph, graph.between(["a0.h1", "a2.h3", "m1"]))
    for kept in null_circuits(one, NullKind.NODES, 10):
        nodes = [graph.writer_names[writer] for writer in np.flatnonzero(kept.any(1))]
        assert [sum(name[0] == first for name in nodes) for first in "am"] == [2, 1]
        np.testing.assert_array_equal(kept, graph.between(nodes))


def test_two_circuits_of_paths_share_more_than_two_random_sets_of_edges():
    graph = GRAPHS[1]
    shared = [np.mean([(a & b).sum() for a, b in combinations(null_circuits(of_size(graph, 20), kind, 30), 2)])
              for kind in (NullKind.PATHS, NullKind.STRONGEST, NullKind.EDGES)]  # fmt: skip
    assert all(more > 1.2 * less for more, less in pairwise(shared))


def test_the_kinds_follow_from_the_circuit_and_its_origin():
    graph = GRAPHS[1]
    one = of_size(graph, 12)
    assert kinds_of(one) == ALWAYS
    grown = one.with_origin(selection={"select": "grow"})
    assert kinds_of(one, grown) == (*ALWAYS, NullKind.GROWN) and kinds_of(replace(one, origin={"selection": None}))
    assert kinds_of(circuit(graph, graph.between(["a0.h1", "m1"]))) == (*ALWAYS, NullKind.NODES)
    assert kinds_of(circuit(graph, graph.edge_matrix([("embed", "m1")]))) == (*ALWAYS, NullKind.EDGES)
