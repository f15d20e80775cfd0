from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from interp_emerge.circuits.finding.null_circuits import ALWAYS
from interp_emerge.circuits.finding.random_paths import connected_circuit
from interp_emerge.circuits.overlap import overlap, random_jaccard, random_pair, relative_sizes
from interp_emerge.circuits.running.evaluation import random_circuits
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph
from interp_emerge.patching.base import EdgeScores

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, parallel=False)
A = {("embed", "a0.h0.v"): 3.0, ("a0.h0", "a1.h1.k"): -2.0, ("embed", "a1.h1.v"): 1.0, ("a1.h1", "logits"): 4.0}
B = {("embed", "a0.h0.v"): 1.0, ("a0.h0", "a1.h1.k"): -3.0, ("embed", "m1"): 5.0, ("m1", "logits"): 0.5,
     ("a1.h1", "logits"): 2.0}  # fmt: skip


def circuit(given: dict[tuple[str, str], float], graph: Graph = GRAPH) -> Circuit:
    scores = np.zeros(graph.exists.shape)
    for edge, score in given.items():
        scores[graph.edge_matrix([edge])] = score
    return Circuit(graph=graph, kept=graph.edge_matrix(given), scores=scores)


def drawn(n: int, seed: int) -> Circuit:
    (kept,) = random_circuits(GRAPH, n, 1, seed=seed)
    return Circuit(graph=GRAPH, kept=kept, scores=np.random.default_rng(seed).normal(size=kept.shape) * kept)


def test_two_circuits_by_hand():
    found = overlap(circuit(A), circuit(B))
    assert (found.edges.n_a, found.edges.n_b, found.edges.shared, found.jaccard) == (4, 5, 3, 0.5)
    assert (found.nodes.n_a, found.nodes.n_b, found.nodes.shared) == (2, 3, 2)
    assert (found.heads.shared, found.heads.jaccard) == (2, 1.0)
    assert found.weighted == pytest.approx((1 + 2 + 2) / (3 + 3 + 1 + 4 + 5 + 0.5))
    assert [(edge.writer, edge.reader) for edge in found.only_a] == [("embed", "a1.h1.v")]
    assert [(edge.writer, edge.reader) for edge in found.only_b] == [("embed", "m1"), ("m1", "logits")]
    # Of the shared edges a has the scores 3, -2, 4 and b 1, -3, 2: the same order.
    assert found.rank_correlation_shared == pytest.approx(1)
    assert found.rank_correlation == pytest.approx(_spearman([3, -2, 1, 4, 0, 0], [1, -3, 0, 2, 5, 0.5]))


def _spearman(a: list[float], b: list[float]) -> float:
    return pd.Series(a).corr(pd.Series(b), method="spearman")


def test_the_sentence_gives_the_overlap_and_that_of_random_circuits():
    found = overlap(circuit(A), circuit(B))
    null = found.edges.random
    expected = (
        "share 3 of 4 and 5 edges (Jaccard index 0.50; random circuits of the same sizes, "
        f"{found.edges.random_kind}: {null.value:.2f} [{null.low:.2f}, {null.high:.2f}])"
    )
    assert found.sentence == expected and repr(found) == f"Overlap({expected})"
    # Random sets of 4 and 5 of 46 edges have a mean index of 0.06.
    assert null.low == 0 and 0.1 < null.value < 0.2


def test_a_circuit_has_overlap_one_with_itself_and_zero_with_its_complement():
    one = drawn(12, seed=1)
    same, other = overlap(one, one), overlap(one, one.complement())
    assert same.jaccard == same.nodes.jaccard == same.heads.jaccard == same.weighted == 1
    assert same.rank_correlation == pytest.approx(1)
    # Of 2000 pairs of random paths one is equal; it is among the first 200.
    assert same.p_value == 2 / 201 and same.weighted_edges.p_value == 1 / 201
    assert (same.only_a, same.only_b) == ((), ())
    assert (other.jaccard, other.p_value) == (0, 1)


def test_the_overlap_is_the_same_from_both_sides():
    a, b = drawn(10, seed=2), drawn(17, seed=3)
    one, other = overlap(a, b), overlap(b, a)
    assert (one.jaccard, one.weighted) == (other.jaccard, other.weighted)
    # Standard error of the mean of 200 draws: 0.006.
    assert one.edges.random.value == pytest.approx(other.edges.random.value, abs=0.03)
    assert one.p_value == pytest.approx(other.p_value, abs=0.15)
    assert (one.only_a, one.only_b) == (other.only_b, other.only_a)


def of_noise(graph: Graph, n: int, rng: np.random.Generator, *, paths: bool) -> Circuit:
    """A random connected circuit, or the strongest edges of random scores of which about `n` are left once pruned."""
    scores = rng.normal(size=graph.exists.shape) * graph.exists
    if paths:
        kept = connected_circuit(graph, n, rng)
        return Circuit(graph=graph, kept=kept, scores=scores * kept)
    noise = EdgeScores(graph=graph, scores=scores, standard_errors=np.zeros(scores.shape))
    return next(noise.top(k) for k in range(n, graph.n_edges + 1) if len(noise.top(k)) >= n)


@pytest.mark.parametrize("paths", [True, False])
def test_circuits_of_noise_seldom_overlap_beyond_chance(paths: bool):
    """Random sets of edges as the null reject in 0.9 of cases for paths, and 0.2 for the strongest edges of noise."""
    graph, rng = Graph(n_layers=2, n_heads=4, n_kv_heads=2, parallel=False), np.random.default_rng(1)
    found = [
        overlap(*(of_noise(graph, 16, rng, paths=paths) for _ in "ab"), n_random=39, seed=i % 2) for i in range(40)
    ]
    for level in ("edges", "nodes", "heads", "weighted_edges"):
        rejected = sum(getattr(one, level).p_value <= 0.05 for one in found)
        # With a rate of 0.05, more than 7 of 40 happen with a chance of 0.001.
        assert rejected <= 7, level


def test_circuits_that_share_half_of_their_edges_overlap_beyond_chance():
    graph, rng = Graph(n_layers=4, n_heads=4, n_kv_heads=2, parallel=False), np.random.default_rng(2)
    for _ in range(5):
        common, first, second = (connected_circuit(graph, 16, rng) for _ in range(3))
        a, b = (Circuit(graph=graph, kept=common | own, scores=np.zeros(own.shape)) for own in (first, second))
        assert overlap(a, b).p_value <= 0.01


def test_the_null_and_the_p_value_are_those_of_the_kind_with_the_largest_p_value():
    a, b = (Circuit(graph=GRAPH, kept=of_noise(GRAPH, n, np.random.default_rng(n), paths=True).kept,
                    scores=np.zeros(GRAPH.exists.shape)) for n in (8, 11))  # fmt: skip
    found, expected = overlap(a, b, n_random=40, seed=7).edges, {}
    for kind in ALWAYS:
        pairs = zip(*random_pair(a, b, kind, 40, seed=7), strict=True)
        null = np.array([len({*one} & {*other}) / len({*one} | {*other}) for one, other in pairs])
        expected[kind] = ((1 + (null >= found.jaccard - 1e-9).sum()) / 41, null.mean())
    assert found.random_kind == max(expected, key=lambda kind: expected[kind])
    assert (found.p_value, found.random.value) == pytest.approx(max(expected.values()))


def test_the_mean_of_random_circuits_of_some_sizes_is_that_of_their_pairs():
    one, none = of_noise(GRAPH, 8, np.random.default_rng(0), paths=True), np.zeros(2, dtype=int)
    assert np.isnan(random_jaccard(one, none)) and random_jaccard(one, np.array([8, 0, 0])) == 0
    assert random_jaccard(one, np.array([46, 46])) == 1
    # Random sets of 8 of 46 edges have a mean index of 0.10.
    assert 0.15 < random_jaccard(one, np.full(50, 8)) < 0.35


def test_the_table_has_a_row_for_each_level():
    frame = overlap(circuit(A), circuit(B)).to_frame().set_index("level")
    assert [*frame.index] == ["edges", "nodes", "heads", "weighted edges"]
    assert [*frame.columns] == [
        "n_a", "n_b", "shared", "jaccard", "random", "random_low", "random_high", "p_value", "random_kind",
    ]  # fmt: skip
    assert (frame["random_low"] <= frame["random"]).all() and (frame["random"] <= frame["random_high"]).all()
    assert frame["p_value"].between(0, 1).all()


def test_without_scores_only_the_sets_are_compared():
    bare = replace(circuit(A), scores=np.zeros(GRAPH.exists.shape))
    found = overlap(bare, circuit(B))
    assert found.jaccard == 0.5
    undefined = [found.weighted, found.weighted_edges.p_value, found.rank_correlation, found.rank_correlation_shared]
    assert np.isnan(undefined).all() and found.weighted_edges.random_kind is None


def test_the_overlap_of_two_empty_circuits_is_undefined():
    empty = circuit({})
    found = overlap(empty, empty)
    assert np.isnan(found.jaccard) and np.isnan(found.edges.random.value)
    assert found.sentence == "share nothing: both circuits are empty"
    assert overlap(empty, circuit(A)).jaccard == 0


def test_the_seed_fixes_the_null_of_the_weighted_index():
    a, b = circuit(A), circuit(B)
    assert overlap(a, b, seed=3).weighted_edges == overlap(a, b, seed=3).weighted_edges
    assert overlap(a, b, seed=3).weighted_edges != overlap(a, b, seed=4).weighted_edges
    with pytest.raises(InputError, match="n_random=0 is too few to compare with; give at least 1"):
        overlap(a, b, n_random=0)


def test_circuits_of_different_graphs_are_refused_with_what_can_be_compared_instead():
    other = Graph(n_layers=4, n_heads=4, n_kv_heads=2, parallel=True)
    message = (
        rf"different graphs \(2 serial layers × 2 heads, {GRAPH.n_edges} edges and 4 parallel layers × 4 heads, 2 "
        rf"key-value heads, {other.n_edges} edges\) .* relative_sizes\(a, b\)"
    )
    with pytest.raises(InputError, match=message):
        overlap(circuit(A), circuit({("embed", "logits"): 1.0}, other))


def test_relative_sizes_are_shares_of_the_graph_and_of_the_heads_of_each_layer():
    other = Graph(n_layers=4, n_heads=4, n_kv_heads=2, parallel=True)
    larger = circuit({("embed", "a3.h0.q"): 1.0, ("a3.h0", "logits"): 1.0, ("a3.h1", "logits"): 1.0}, other)
    frame = relative_sizes(circuit(A), larger, names=("small", "large"))
    assert [*frame["circuit"]] == ["small"] * 2 + ["large"] * 4
    assert [*frame["depth"]] == [0.25, 0.75, 0.125, 0.375, 0.625, 0.875]
    assert [*frame["n_heads"]] == [1, 1, 0, 0, 0, 2]
    assert [*frame["head_share"]] == [0.5, 0.5, 0, 0, 0, 0.5]
    assert [*frame["edge_share"].unique()] == [4 / GRAPH.n_edges, 3 / other.n_edges]
