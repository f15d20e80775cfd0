from itertools import pairwise

import numpy as np
import pytest

from interp_emerge.circuits.finding.random_paths import random_connected_circuits, random_path, random_paths_leaving
from interp_emerge.circuits.running.evaluation import random_circuits
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph
from tests.models.small_models import ARCHITECTURES, small_model


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_random_connected_circuits_have_the_given_size_and_no_dead_ends(architecture: str):
    graph = small_model(architecture).graph
    for size in (0, 1, 2, 3, 10, graph.n_edges // 3, graph.n_edges - 1, graph.n_edges):
        for kept in random_connected_circuits(graph, size, 5, seed=size):
            assert kept.sum() == size
            assert (graph.prune(kept) == kept).all()


def test_they_differ_from_each_other_and_follow_the_seed():
    graph = small_model("gpt_neox").graph
    circuits = np.stack(random_connected_circuits(graph, 30, 20, seed=1))
    assert len({kept.tobytes() for kept in circuits}) == 20
    assert (circuits == np.stack(random_connected_circuits(graph, 30, 20, seed=1))).all()
    assert (circuits != np.stack(random_connected_circuits(graph, 30, 20, seed=2))).any()


def test_a_path_leads_from_the_embedding_to_the_logits(rng: np.random.Generator):
    graph = small_model("llama_grouped").graph
    for _ in range(50):
        path = random_path(graph, rng)
        assert path[0][0] == 0 and path[-1][1] == len(graph.readers) - 1
        assert all(graph.exists[edge] for edge in path)
        assert all(graph.owner[reader, writer] for (_, reader), (writer, _) in pairwise(path))


def test_a_path_takes_each_next_step_with_equal_probability(rng: np.random.Generator):
    """One layer with one head, in parallel: from the embedding to q, k, v, the MLP or the logits."""
    graph = Graph(n_layers=1, n_heads=1, n_kv_heads=1, parallel=True)
    lengths = [len(random_path(graph, rng)) for _ in range(2000)]
    # One standard error is 0.009.
    assert np.mean([length == 1 for length in lengths]) == pytest.approx(1 / 5, abs=0.04)


def test_paths_that_leave_a_circuit_are_distributed_as_the_random_paths_that_do(rng: np.random.Generator):
    graph = Graph(n_layers=2, n_heads=1, n_kv_heads=1, parallel=False)
    kept = random_connected_circuits(graph, graph.n_edges - 4, 1, seed=3)[0]

    def leaves(path: list[tuple[int, int]]) -> bool:
        return any(not kept[edge] for edge in path)

    accepted = [tuple(path) for path in (random_path(graph, rng) for _ in range(20_000)) if leaves(path)]
    drawn = [tuple(path) for path in random_paths_leaving(graph, kept, 4000, rng)]
    assert all(leaves([*path]) for path in drawn)
    assert {*drawn} <= {*accepted} and len(accepted) < 15_000
    for path in {*accepted}:
        share = accepted.count(path) / len(accepted)
        # Four standard errors of the two shares.
        spread = np.sqrt(share * (1 - share) * (1 / len(accepted) + 1 / len(drawn)))
        assert drawn.count(path) / len(drawn) == pytest.approx(share, abs=4 * spread + 1e-3)


def test_a_path_through_the_only_edge_outside_is_found_and_the_whole_graph_has_none(rng: np.random.Generator):
    graph = small_model("llama_grouped").graph
    for missing in np.argwhere(graph.exists)[::37]:
        kept = graph.exists.copy()
        kept[tuple(missing)] = False
        for path in random_paths_leaving(graph, kept, 3, rng):
            assert tuple(missing) in path
            assert path[0][0] == 0 and path[-1][1] == len(graph.readers) - 1
            assert all(graph.owner[reader, writer] for (_, reader), (writer, _) in pairwise(path))
    with pytest.raises(InputError, match="no path leaves the whole graph; give a circuit that lacks"):
        next(random_paths_leaving(graph, graph.exists, 1, rng))


def test_a_negative_number_of_circuits_is_refused():
    graph = small_model("gpt2").graph
    assert random_connected_circuits(graph, 5, 0) == []
    with pytest.raises(InputError, match="count=-1 is not a number of random circuits; give at least 0"):
        random_connected_circuits(graph, 5, -1)


def test_a_size_above_the_graphs_is_refused():
    graph = small_model("gpt2").graph
    with pytest.raises(InputError, match=f"cannot have {graph.n_edges + 1} edges; give 0 to {graph.n_edges}"):
        random_connected_circuits(graph, graph.n_edges + 1, 1)


def test_edges_drawn_one_by_one_seldom_join_the_embedding_to_the_logits():
    graph = small_model("gpt_neox").graph
    left = [graph.prune(kept).sum() / 12 for kept in random_circuits(graph, 12, 100)]
    assert np.mean(left) < 0.2
    assert np.median(left) == 0
