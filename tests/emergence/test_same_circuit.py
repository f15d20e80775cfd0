"""Same circuit or not: calibration where nothing differs, power where something does, and what cannot be told."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import kstest

from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError, InterpEmergeError
from interp_emerge.core.graph import Graph
from interp_emerge.emergence.alignment import HeadFeatures, match_heads
from interp_emerge.emergence.same_circuit import CANNOT_TELL, DIFFERS, LITTLE, NO_DIFFERENCE, same_circuit
from interp_emerge.patching.base import EdgeScores

GRAPH = Graph(n_layers=2, n_heads=4, n_kv_heads=4, parallel=False)
MEAN = np.random.default_rng(0).standard_t(3, GRAPH.n_edges)
CHANGED = MEAN.copy()
CHANGED[np.argsort(-np.abs(MEAN))[:8]] = 0
EDGES = 20


def scored(seed: int, *, noise: float = 3.0, mean: np.ndarray = MEAN, n: int = 64, **origin: Any) -> EdgeScores:
    values = mean + noise * np.random.default_rng(seed).normal(size=(n, len(mean)))
    return EdgeScores.from_pairs(GRAPH, values.astype(np.float32), origin=origin)


def test_p_values_of_the_permutation_test_are_uniform_where_nothing_differs():
    p_values = [
        same_circuit(scored(2 * i), scored(2 * i + 1), EDGES, test="permutation", resamples=49, groups=3).p_value
        for i in range(25)
    ]
    assert kstest(p_values, "uniform").pvalue > 0.01


@pytest.mark.slow
def test_neither_test_rejects_more_often_than_it_says():
    found = {"permutation": [], "halves": []}
    for i in range(50):
        for test, p_values in found.items():
            options: dict[str, Any] = {"test": test, "resamples": 49, "groups": 6}
            p_values.append(same_circuit(scored(1000 + 2 * i), scored(1001 + 2 * i), EDGES, **options).p_value)
    assert kstest(found["permutation"], "uniform").pvalue > 0.01
    # The test of halves is conservative: it has rejected none of 100.
    assert np.mean(np.array(found["halves"]) <= 0.05) <= 0.05


@pytest.mark.parametrize("test", ["permutation", "halves"])
def test_circuits_that_lack_what_the_other_has_differ(test: Any):
    found = same_circuit(scored(1), scored(2, mean=CHANGED), EDGES, test=test, resamples=99)
    assert (found.verdict, found.test) == (DIFFERS, test) and found.p_value <= 0.05
    assert found.corrected.high < 1 and found["across"]["index"] < found["halves of a"]["low"]
    assert found.sentence.startswith("differs beyond resampling noise: Jaccard 0.")
    assert "against 0." in found.sentence and "; random circuits 0.1" in found.sentence


def test_circuits_of_one_distribution_show_no_difference_where_noise_is_low():
    found = same_circuit(scored(1, noise=0.5), scored(2, noise=0.5), EDGES, resamples=50)
    assert (found.verdict, found.test) == (NO_DIFFERENCE, "halves")
    assert found.corrected.value == pytest.approx(1, abs=0.05)
    assert "no difference beyond resampling noise" in repr(found)


def test_a_noisier_model_with_the_same_circuit_is_not_said_to_differ():
    verdicts = [same_circuit(scored(i, noise=1.0), scored(100 + i, noise=6.0), EDGES, resamples=30).verdict
                for i in range(8)]  # fmt: skip
    assert DIFFERS not in verdicts


def test_a_circuit_that_holds_all_of_a_smaller_one_differs_in_size_only():
    found = same_circuit(scored(1, noise=0.0), scored(2, noise=0.0), (10, 20), resamples=20)
    assert found.verdict == NO_DIFFERENCE and found["across"]["index"] == pytest.approx(0.5)
    assert found.sentence.startswith("no difference beyond resampling noise (besides size, 10 and 20 edges): Jaccard")


def test_what_differs_by_little_is_said_to():
    slightly = MEAN.copy()
    slightly[np.argsort(-np.abs(MEAN))[0]] = 0
    found = same_circuit(scored(1, noise=0.0), scored(2, noise=0.0, mean=slightly), EDGES, resamples=50)
    assert found.verdict == LITTLE and found.corrected.value == pytest.approx(0.95)
    assert found.sentence.startswith("differs beyond resampling noise, but little: ")


def test_noise_alone_cannot_be_told_apart():
    zero = np.zeros_like(MEAN)
    found = same_circuit(scored(1, mean=zero), scored(2, mean=zero), EDGES, resamples=50)
    assert found.verdict == CANNOT_TELL
    assert "no more alike than random ones" in found.sentence


def test_scores_without_noise_are_the_same_or_not():
    same = same_circuit(scored(1, noise=0.0), scored(2, noise=0.0), EDGES, resamples=10)
    assert (same.verdict, same.p_value, same.corrected.low) == (NO_DIFFERENCE, 1, 1)
    other = same_circuit(scored(1, noise=0.0), scored(2, noise=0.0, mean=CHANGED), EDGES, resamples=50)
    assert (other.verdict, other.p_value) == (DIFFERS, 1 / 51)
    assert other["whole samples"]["index"] == pytest.approx(12 / 28)
    assert other["across"]["index"] == pytest.approx(12 / 28)


def test_one_model_on_other_prompts_is_permuted_and_two_models_are_not():
    a, b = scored(1, model={"size": "x"}, prompts="p"), scored(2, model={"size": "x"}, prompts="q")
    assert same_circuit(a, b, EDGES, resamples=20).test == "permutation"
    assert same_circuit(a, scored(2, model={"size": "y"}), EDGES, resamples=20).test == "halves"
    assert same_circuit(a, a, EDGES, resamples=20).test == "halves"


def test_halves_that_are_compared_share_no_prompt():
    # Noise that belongs to the prompts is the same in both models, and must not make them look alike.
    found = same_circuit(scored(1), scored(1), EDGES, resamples=50)
    assert found["across"]["index"] == pytest.approx(found["halves of a"]["index"])
    assert found["whole samples"]["index"] == 1
    assert found["bootstrap of a"]["index"] > found["halves of a"]["index"]


def test_other_seeds_and_sizes_of_circuits_are_in_the_table():
    kept = np.zeros_like(GRAPH.exists)
    kept[np.nonzero(GRAPH.exists)[0][:7], np.nonzero(GRAPH.exists)[1][:7]] = True
    circuit = Circuit(graph=GRAPH, kept=kept, scores=np.zeros(kept.shape))
    seeds = [(scored(5), None), (scored(6), None)]
    found = same_circuit(scored(1), scored(2), (circuit, circuit), other_seeds=seeds, resamples=20)
    assert [*found.to_frame().columns] == ["comparison", "index", "low", "high", "n", "p_value", "asks"]
    assert [*found.rows["comparison"]] == [
        "across", "whole samples", "halves of a", "halves of b", "bootstrap of a", "bootstrap of b", "other seeds",
        "random circuits",
    ]  # fmt: skip
    assert found["other seeds"]["n"] == 2 and found["other seeds"]["p_value"] >= 1 / 3
    assert "(n = 2, p = " in found.sentence
    expected = same_circuit(scored(1), scored(2), (7, 7), resamples=20)
    assert found["across"].equals(expected["across"])


def test_two_models_are_compared_through_a_match_of_heads_and_by_classes_of_edges():
    roles = np.random.default_rng(3).random((8, 2))
    swapped = roles[[1, 0, 2, 3, 5, 4, 7, 6]]
    a, b = (HeadFeatures(graph=GRAPH, roles=("previous_token", "induction"), strength=one) for one in (roles, swapped))
    match = match_heads(a, b)
    assert ("a0.h0", "a0.h1") in match.pairs and (match.edges >= 0).all()
    moved = np.empty_like(MEAN)
    moved[match.edges] = MEAN
    options: dict[str, Any] = {"resamples": 30}
    named = same_circuit(scored(1, noise=0.5), scored(2, noise=0.5, mean=moved), EDGES, **options)
    matched = same_circuit(scored(1, noise=0.5), scored(2, noise=0.5, mean=moved), EDGES, match=match, **options)
    assert (named.verdict, matched.verdict) == (DIFFERS, NO_DIFFERENCE)
    classes = same_circuit(
        scored(1, noise=0.5), scored(2, noise=0.5, mean=moved), EDGES, match=match, level="classes", **options
    )
    assert classes.verdict == NO_DIFFERENCE and classes["across"]["index"] > matched["across"]["index"]
    assert "weighted Jaccard of edge classes" in classes.sentence


def test_what_cannot_be_compared_is_refused():
    a = scored(1)
    other = Graph(n_layers=3, n_heads=4, n_kv_heads=4, parallel=False)
    b = EdgeScores.from_pairs(other, np.ones((64, other.n_edges), np.float32))
    with pytest.raises(InputError, match="compared through a match of heads; give match=match_heads"):
        same_circuit(a, b, EDGES)
    with pytest.raises(InputError, match="19 pairs do not make 10 groups of two"):
        same_circuit(scored(1, n=19), a, EDGES)
    with pytest.raises(InputError, match="9999 edges make no circuit of a graph of"):
        same_circuit(a, a, 9999)
    with pytest.raises(InputError, match="1 splits say nothing about spread"):
        same_circuit(a, a, EDGES, resamples=1)
    with pytest.raises(InterpEmergeError, match="permutation"):
        same_circuit(a, a, EDGES, test="permutations")
    bare = EdgeScores(graph=GRAPH, scores=a.scores, standard_errors=a.standard_errors)
    with pytest.raises(InputError, match="hold no values of single pairs"):
        same_circuit(a, bare, EDGES)
