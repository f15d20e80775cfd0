"""How alike circuits are: counts by hand, steps without a circuit, nodes born and lost, p-values under the null."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from interp_emerge.circuits.finding.random_paths import random_connected_circuits
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph
from interp_emerge.emergence.sameness.matching import HeadFeatures, Match, match_heads
from interp_emerge.emergence.sameness.similarity import TURNOVER, mass_shared, overlap_by_match, turnover
from interp_emerge.patching.base import EdgeScores

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, parallel=False)
EARLY = {("embed", "a0.h0.v"): 3.0, ("a0.h0", "a1.h1.k"): -2.0, ("embed", "a1.h1.v"): 1.0, ("a1.h1", "logits"): 4.0}
LATE = {**EARLY, ("embed", "m1"): 5.0, ("m1", "logits"): 0.5}
OTHER = {("embed", "a0.h1.v"): 1.0, ("a0.h1", "logits"): 1.0}


def circuit(given: dict[tuple[str, str], float], graph: Graph = GRAPH) -> Circuit:
    scores = np.zeros(graph.exists.shape)
    for edge, score in given.items():
        scores[graph.edge_matrix([edge])] = score
    return Circuit(graph=graph, kept=graph.edge_matrix(given), scores=scores)


def test_a_first_circuit_is_compared_with_nothing_and_its_nodes_are_all_born():
    (row,) = turnover({0: None, 5: circuit(EARLY)}).iloc[1:].to_dict("records")
    assert (row["note"], row["born"], row["lost"]) == ("the first circuit", " ".join(circuit(EARLY).nodes), "")
    assert turnover({0: None})["note"].tolist() == ["no circuit at this step"]


def test_each_step_is_compared_with_the_last_one_that_has_a_circuit():
    frame = turnover({30: circuit(LATE), 0: None, 10: circuit(EARLY), 20: circuit({}), 40: circuit(OTHER)})
    assert [*frame.columns] == [*TURNOVER.filled]
    assert [*frame["step"]] == [0, 10, 20, 30, 40]
    assert [None if pd.isna(step) else step for step in frame["previous"]] == [None, None, None, 10, 30]
    assert frame["jaccard"].isna().tolist() == [True, True, True, False, False]
    assert [*frame["note"]] == ["no circuit at this step", "the first circuit", "no circuit at this step", "", ""]
    late, other = frame.iloc[3], frame.iloc[4]
    assert (late["n_edges"], late["shared"], late["jaccard"]) == (6, 4, pytest.approx(4 / 6))
    assert (late["node_jaccard"], late["born"], late["lost"]) == (pytest.approx(2 / 3), "m1", "")
    assert late["mass_shared"] == pytest.approx(20 / 25.5)
    assert (other["jaccard"], other["mass_shared"]) == (0, 0)
    assert (other["born"], other["lost"]) == ("a0.h1", "a0.h0 a1.h1 m1")
    assert frame["born"][1] == "embed a0.h0 a1.h1"


def test_smoothing_weighs_the_newest_comparison_and_skips_what_is_undefined():
    found = {0: circuit(EARLY), 1: circuit(EARLY), 2: None, 3: circuit(OTHER), 4: circuit(OTHER)}
    frame = turnover(found, smoothing=0.25)
    np.testing.assert_allclose(frame["smoothed"], [np.nan, 1, np.nan, 0.75, 0.8125])
    np.testing.assert_allclose(turnover(found, smoothing=1.0)["smoothed"], turnover(found)["jaccard"])


def test_one_circuit_at_all_steps_shares_everything_and_chance_shares_little():
    frame = turnover(dict.fromkeys([1, 2, 3], circuit(LATE))).iloc[1:]
    for column in ("jaccard", "smoothed", "weighted_jaccard", "node_jaccard", "mass_shared"):
        assert frame[column].tolist() == [1, 1]
    # 200 pairs of random circuits give no p-value below 1 / 201.
    assert (frame["random_high"] <= 0.5).all() and (frame["p_value"] <= 2 / 201).all()
    assert (frame["born"] == "").all() and (frame["lost"] == "").all()


def test_the_rank_correlation_is_that_of_all_edges_where_scores_are_given():
    values = np.random.default_rng(0).normal(size=GRAPH.n_edges)

    def scored(one: np.ndarray) -> EdgeScores:
        return EdgeScores.from_pairs(GRAPH, one[None].astype(np.float32))

    circuits: dict[int, Any] = {step: circuit(EARLY) for step in (0, 1, 2, 3)}
    scores = {0: scored(values), 1: scored(np.exp(values)), 2: scored(-values)}
    frame = turnover(circuits, scores=scores)
    np.testing.assert_allclose(frame["rank_correlation"], [np.nan, 1, -1, np.nan])
    assert turnover(circuits)["rank_correlation"].isna().all()


def test_mass_is_undefined_without_scores():
    bare = Circuit(graph=GRAPH, kept=circuit(EARLY).kept, scores=np.zeros(GRAPH.exists.shape))
    assert np.isnan(mass_shared(bare, bare))
    assert mass_shared(bare, circuit(EARLY)) == 1


def test_circuits_that_cannot_be_followed_are_refused():
    with pytest.raises(InputError, match="no circuits to follow; give a circuit"):
        turnover({})
    with pytest.raises(InputError, match="smoothing=0 is not a weight; give"):
        turnover({0: circuit(EARLY)}, smoothing=0.0)
    larger = Graph(n_layers=3, n_heads=2, n_kv_heads=2, parallel=False)
    with pytest.raises(InputError, match="circuits of different graphs"):
        turnover({0: circuit(EARLY), 1: circuit(EARLY, larger)})


def unnamed(graph: Graph) -> Match:
    """A match of heads with random features."""
    strength = np.random.default_rng(0).random((2, graph.n_layers * graph.n_heads, 2))
    a, b = (HeadFeatures(graph=graph, roles=("previous_token", "induction"), strength=one) for one in strength)
    return match_heads(a, b, most=1.0)


def connected(graph: Graph, n_edges: int, count: int, seed: int) -> list[Circuit]:
    rng = np.random.default_rng(seed)
    drawn = random_connected_circuits(graph, n_edges, count, seed=seed)
    return [Circuit(graph=graph, kept=kept, scores=rng.lognormal(size=kept.shape) * kept) for kept in drawn]


@pytest.mark.calibration
def test_p_values_of_matched_overlap_are_uniform_for_random_connected_circuits():
    graph = Graph(n_layers=3, n_heads=3, n_kv_heads=3, parallel=False)
    match = unnamed(graph)
    sides = connected(graph, 25, 60, 1), connected(graph, 30, 60, 2)
    frames = [
        overlap_by_match(a, b, match, n_random=39, seed=i).levels for i, (a, b) in enumerate(zip(*sides, strict=True))
    ]
    p_values = pd.concat(frames).groupby("level")["p_value"]
    # Counts of shared edges and nodes tie, so their p-values are larger than uniform ones. Shares of mass do not tie.
    for level in ("edge classes", "roles"):
        assert kstest(p_values.get_group(level), "uniform").pvalue > 0.01
    for level in ("edges", "nodes"):
        assert kstest(p_values.get_group(level), "uniform", alternative="greater").pvalue > 0.01
        assert (p_values.get_group(level) <= 0.5).any()


def test_random_circuits_share_nothing_beyond_chance_whatever_the_size_of_the_graph():
    for n_layers, n_edges in ((2, 25), (4, 60)):
        graph = Graph(n_layers=n_layers, n_heads=3, n_kv_heads=3, parallel=False)
        sides = connected(graph, n_edges, 40, 1), connected(graph, n_edges, 40, 2)
        match = unnamed(graph)
        found = [
            overlap_by_match(a, b, match, n_random=20, seed=i).levels
            for i, (a, b) in enumerate(zip(*sides, strict=True))
        ]
        means = pd.concat(found).groupby("level")[["similarity", "beyond_chance"]].mean()
        assert means["beyond_chance"].abs().max() < 0.15 and means["similarity"].max() > 0.2


def test_similarity_beyond_chance_is_one_for_equal_circuits():
    frame = turnover(dict.fromkeys([1, 2], circuit(LATE))).iloc[1]
    assert (frame["beyond_chance"], frame["node_beyond_chance"]) == (1, 1)
    other = turnover({1: circuit(EARLY), 2: circuit(OTHER)}).iloc[1]
    assert other["beyond_chance"] == pytest.approx(-other["random"] / (1 - other["random"]))
