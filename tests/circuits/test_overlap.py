from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from interp_emerge.circuits.overlap import overlap, relative_sizes
from interp_emerge.circuits.running.evaluation import random_circuits
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph
from interp_emerge.stats.sets import SetOverlap

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
    assert (found.nodes.n_possible, found.heads.n_possible) == (6, 4)
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
        "share 3 of 4 and 5 edges (Jaccard index 0.50; random circuits of the same sizes "
        f"{null.value:.2f} [{null.low:.2f}, {null.high:.2f}])"
    )
    assert found.sentence == expected and repr(found) == f"Overlap({expected})"
    # Random sets of 4 and 5 of 46 edges share none (0.62), one (0.33; Jaccard 1/8) or two (0.05; Jaccard 2/7).
    assert null.low == 0 and 0.04 < null.value < 0.08 and null.high == pytest.approx(2 / 7)


def test_a_circuit_has_overlap_one_with_itself_and_zero_with_its_complement():
    one = drawn(12, seed=1)
    same, other = overlap(one, one), overlap(one, one.complement())
    assert same.jaccard == same.nodes.jaccard == same.heads.jaccard == same.weighted == 1
    assert same.rank_correlation == pytest.approx(1)
    assert same.p_value < 1e-9 and same.weighted_p_value < 0.002
    assert (same.only_a, same.only_b) == ((), ())
    assert (other.jaccard, other.p_value) == (0, 1)


def test_the_overlap_is_the_same_from_both_sides():
    a, b = drawn(10, seed=2), drawn(17, seed=3)
    one, other = overlap(a, b), overlap(b, a)
    assert (one.jaccard, one.weighted) == (other.jaccard, other.weighted)
    assert one.edges.random.value == pytest.approx(other.edges.random.value)
    assert one.p_value == pytest.approx(other.p_value)
    assert (one.only_a, one.only_b) == (other.only_b, other.only_a)


@pytest.mark.parametrize(("n_a", "n_b"), [(3, 5), (12, 20), (30, 46)])
def test_the_null_is_what_random_circuits_of_these_sizes_share(n_a: int, n_b: int):
    firsts, seconds = (random_circuits(GRAPH, n, 4000, seed=n) for n in (n_a, n_b))
    values = np.array([(a & b).sum() / (a | b).sum() for a, b in zip(firsts, seconds, strict=True)])
    null = SetOverlap(n_possible=GRAPH.n_edges, n_a=n_a, n_b=n_b, shared=0).random
    # Standard error of the mean of 4000 draws: at most 0.0014.
    assert null.value == pytest.approx(values.mean(), abs=0.006)
    assert (null.low, null.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=0.06)


def test_the_p_value_is_the_share_of_random_circuits_that_share_at_least_as_many_edges():
    shared = [(a & b).sum() for a, b in zip(random_circuits(GRAPH, 9, 4000, seed=5),
                                            random_circuits(GRAPH, 14, 4000, seed=6), strict=True)]  # fmt: skip
    for k in range(8):
        found = SetOverlap(n_possible=GRAPH.n_edges, n_a=9, n_b=14, shared=k).p_value
        assert found == pytest.approx(np.mean(np.array(shared) >= k), abs=0.03)


def test_random_circuits_seldom_overlap_beyond_chance():
    p_values = [overlap(drawn(12, seed=i), drawn(15, seed=1000 + i), n_random=100) for i in range(200)]
    for values in ([one.p_value for one in p_values], [one.weighted_p_value for one in p_values]):
        assert np.mean(np.array(values) <= 0.05) <= 0.09


def test_the_null_of_sets_of_millions_is_exact():
    n = 1_600_000
    assert SetOverlap(n_possible=n, n_a=n // 2, n_b=n // 2, shared=0).random.value == pytest.approx(1 / 3, abs=1e-6)
    assert SetOverlap(n_possible=n, n_a=n, n_b=n, shared=n).random.value == pytest.approx(1)


def test_the_table_has_a_row_for_each_level():
    frame = overlap(circuit(A), circuit(B)).to_frame().set_index("level")
    assert [*frame.index] == ["edges", "nodes", "heads", "weighted edges"]
    assert [*frame.columns] == [
        "n_a", "n_b", "shared", "jaccard", "random", "random_low", "random_high", "p_value",
    ]  # fmt: skip
    assert (frame["random_low"] <= frame["random"]).all() and (frame["random"] <= frame["random_high"]).all()
    assert frame["p_value"].between(0, 1).all()


def test_without_scores_only_the_sets_are_compared():
    bare = replace(circuit(A), scores=np.zeros(GRAPH.exists.shape))
    found = overlap(bare, circuit(B))
    assert found.jaccard == 0.5
    assert np.isnan(
        [found.weighted, found.weighted_p_value, found.rank_correlation, found.rank_correlation_shared]
    ).all()


def test_the_overlap_of_two_empty_circuits_is_undefined():
    empty = circuit({})
    found = overlap(empty, empty)
    assert np.isnan(found.jaccard) and np.isnan(found.edges.random.value)
    assert found.sentence == "share nothing: both circuits are empty"
    assert overlap(empty, circuit(A)).jaccard == 0


def test_the_seed_fixes_the_null_of_the_weighted_index():
    a, b = circuit(A), circuit(B)
    assert overlap(a, b, seed=3).weighted_random == overlap(a, b, seed=3).weighted_random
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
