import sys
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

import interp_emerge as ie
from interp_emerge.circuits.finding.selection import grow
from interp_emerge.circuits.finding.stability import by_template, stability, stability_across, stability_of
from interp_emerge.circuits.overlap import overlap, random_jaccard
from interp_emerge.core import memory
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.graph import Graph
from interp_emerge.patching.base import EdgeScores
from interp_emerge.stats.resampling import resample_rows
from tests.models.small_models import small_model, telling_pairs
from tests.patching.scored import score_edges

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, parallel=False)
MEAN = np.random.default_rng(0).standard_t(3, GRAPH.n_edges)


def noisy(noise: float, n: int = 32, **origin: Any) -> EdgeScores:
    """Scores whose values by pair scatter around one mean."""
    values = MEAN + noise * np.random.default_rng(1).normal(size=(n, GRAPH.n_edges))
    return EdgeScores.from_pairs(GRAPH, values.astype(np.float32), origin=origin)


def values_of(scores: EdgeScores) -> np.ndarray:
    assert scores.per_pair is not None
    return scores.per_pair


def by_the_definition(scores: EdgeScores, n: int, resamples: int, seed: int) -> list[Circuit]:
    rows = resample_rows(len(values_of(scores)), resamples=resamples, seed=seed)
    return [EdgeScores.from_pairs(GRAPH, values_of(scores)[sample]).top(n) for sample in rows]


def test_scores_without_noise_have_stability_one():
    found = stability(noisy(0.0), 12)
    assert (found.jaccard.value, found.jaccard.low, found.jaccard.high) == (1, 1, 1)
    assert found.node_jaccard.value == found.weighted_jaccard.value == found.with_circuit == 1
    assert found.circuit == noisy(0.0).top(12)
    assert set(found.frequency[found.circuit.kept]) == {1.0} and found.frequency.sum() == len(found.circuit)


def test_the_noisier_the_pairs_the_less_stable_the_circuit():
    stabilities = [stability(noisy(noise), 12) for noise in (0.0, 1.0, 3.0, 10.0)]
    for values in ([one.jaccard.value for one in stabilities], [one.weighted_jaccard.value for one in stabilities],
                   [one.with_circuit for one in stabilities]):  # fmt: skip
        assert values == sorted(values, reverse=True) and len(set(values)) == 4
    for one in stabilities[1:]:
        assert one.jaccard.low < one.jaccard.value < one.jaccard.high
        assert one.jaccard.value < one.with_circuit


def test_every_number_follows_the_definition():
    scores = noisy(3.0)
    found = stability(scores, 15, resamples=20, seed=4)
    circuits = by_the_definition(scores, 15, 20, seed=4)
    overlaps = [overlap(a, b, n_random=1) for a, b in combinations(circuits, 2)]
    assert [*found.n_edges] == [len(circuit) for circuit in circuits]
    for interval, values in (
        (found.jaccard, [one.jaccard for one in overlaps]),
        (found.node_jaccard, [one.nodes.jaccard for one in overlaps]),
        (found.weighted_jaccard, [one.weighted for one in overlaps]),
    ):
        assert interval.value == pytest.approx(np.mean(values))
        assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))
    whole = scores.top(15)
    assert found.with_circuit == pytest.approx(np.mean([overlap(whole, one, n_random=1).jaccard for one in circuits]))
    np.testing.assert_allclose(found.frequency, np.mean([circuit.kept for circuit in circuits], 0))


def test_the_null_is_the_mean_of_random_circuits_of_the_same_sizes():
    found = stability(noisy(100.0), 20)
    assert len({*found.n_edges}) > 3
    assert found.random == random_jaccard(found.circuit, found.n_edges)
    # Random sets of edges have a mean index of about 0.13. Samples of noise share no more than circuits of noise do.
    assert 0.2 < found.random < 0.35
    null = f"random circuits of the same sizes {found.random:.2f}"
    assert repr(found) == f"Stability(Jaccard index {found.jaccard} over 100 samples; {null})"


def test_a_circuit_is_compared_with_the_same_number_of_edges_of_each_sample():
    scores = noisy(1.0)
    circuit = grow(scores, 14)
    found = stability(scores, circuit)
    assert found.circuit == circuit
    n = next(n for n in range(1, GRAPH.n_edges) if len(scores.top(n)) >= len(circuit))
    np.testing.assert_array_equal(found.frequency, stability(scores, n).frequency)


@pytest.mark.parametrize("by", ["magnitude", "score"])
def test_pairs_that_agree_give_back_a_pruned_circuit(by: Any):
    """The edges that pruning dropped are made up for in the number to select."""
    scores = noisy(0.0)
    pruned = {n: scores.top(n, by=by) for n in range(1, GRAPH.n_edges + 1, 7)}
    assert any(0 < len(circuit) < n for n, circuit in pruned.items())
    for circuit in pruned.values():
        found = stability(scores, circuit, by=by, resamples=2)
        assert [*found.n_edges] == [len(circuit)] * 2
        assert np.isnan(found.with_circuit) if not len(circuit) else found.with_circuit == 1


def test_the_stability_of_an_empty_circuit_is_undefined_with_the_reason():
    scores = noisy(1.0)
    empty = Circuit(graph=GRAPH, kept=np.zeros_like(GRAPH.exists), scores=np.zeros(GRAPH.exists.shape))
    found = stability(scores, empty, resamples=5)
    assert found.note == "the circuit is empty" and repr(found) == "Stability(undefined: the circuit is empty)"
    assert np.isnan([found.jaccard.value, found.node_jaccard.low, found.with_circuit, found.random]).all()
    assert len(found.n_edges) == 5 and found.to_frame().empty
    searched = stability_of(empty, [empty, empty])
    assert searched.note == "no sample gives a circuit with an edge" and np.isnan(searched.random)


def test_circuits_of_samples_have_the_null_of_their_own_sizes():
    one, none = noisy(0.0).top(1), noisy(0.0).top(1).with_kept(np.zeros_like(GRAPH.exists))
    direct = Circuit(graph=GRAPH, kept=GRAPH.edge_matrix([("embed", "logits")]), scores=one.scores)
    found = stability_of(direct, [direct, none, none])
    assert found.jaccard.value == found.random == 0 and found.note == ""
    # The only connected circuit of one edge leads from the embedding to the logits.
    assert stability_of(direct, [direct, direct]).random == 1
    sizes = [noisy(1.0, seed).top(5 * seed) for seed in (2, 3, 7)]
    assert stability_of(direct, sizes).random == random_jaccard(direct, np.array([len(circuit) for circuit in sizes]))


def test_an_unknown_order_is_refused():
    with pytest.raises(UnknownNameError, match=r"unknown order 'scores'; did you mean 'score'\?"):
        stability(noisy(1.0), 12, by="scores")


def test_any_selection_can_be_repeated_on_the_samples():
    scores = noisy(2.0)
    same = stability(scores, select=lambda sampled: sampled.top(12))
    assert same.jaccard == stability(scores, 12).jaccard and same.circuit == scores.top(12)
    grown = stability(scores, select=lambda sampled: grow(sampled, 12), resamples=20)
    assert grown.circuit == grow(scores, 12) and 0 < grown.jaccard.value < 1


def test_a_selection_gets_samples_with_the_standard_errors_of_their_pairs():
    scores, seen = noisy(2.0), []

    def select(sampled: EdgeScores) -> Circuit:
        seen.append(sampled)
        return sampled.top(5)

    stability(scores, select=select, resamples=3, seed=2)
    rows = resample_rows(32, resamples=3, seed=2)
    for sampled, sample in zip(seen[1:], rows, strict=True):
        expected = EdgeScores.from_pairs(GRAPH, values_of(scores)[sample])
        np.testing.assert_allclose(sampled.scores, expected.scores, atol=1e-6)
        np.testing.assert_allclose(sampled.standard_errors, expected.standard_errors, rtol=1e-4, atol=1e-6)


def test_the_table_lists_the_edges_of_all_samples_with_their_frequency():
    found = stability(noisy(3.0), 12, resamples=50)
    frame = found.to_frame()
    assert [*frame.columns] == ["writer", "reader", "frequency", "kept"]
    assert frame["frequency"].is_monotonic_decreasing
    assert frame["kept"].sum() == len(found.circuit)
    assert frame["frequency"].sum() == pytest.approx(found.n_edges.mean())
    assert len(frame) == (found.circuit.kept | (found.frequency > 0)).sum()


def test_ties_are_broken_as_in_the_ranking():
    values = np.ones((8, GRAPH.n_edges), dtype=np.float32)
    scores = EdgeScores.from_pairs(GRAPH, values)
    for n in (1, 20, GRAPH.n_edges):
        found = stability(scores, n, resamples=2)
        assert (found.frequency == scores.top(n).kept).all()


def test_the_seed_fixes_the_samples():
    scores = noisy(3.0)
    assert stability(scores, 12, seed=1).jaccard == stability(scores, 12, seed=1).jaccard
    assert stability(scores, 12, seed=1).jaccard != stability(scores, 12, seed=2).jaccard


def test_how_many_samples_are_taken_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    scores = noisy(3.0)
    expected = stability(scores, 12, resamples=30)
    monkeypatch.setattr(memory, "CPU_BUDGET", 8 * GRAPH.n_edges * 7)
    # In the package the name `stability` is the function, not the module.
    monkeypatch.setattr(sys.modules["interp_emerge.circuits.finding.stability"], "EDGES_AT_ONCE", 16)
    found = stability(scores, 12, resamples=30)
    assert found.jaccard == expected.jaccard
    assert found.weighted_jaccard.value == pytest.approx(expected.weighted_jaccard.value, rel=1e-12)
    np.testing.assert_array_equal(found.frequency, expected.frequency)


def test_the_stability_of_circuits_that_are_all_empty_is_undefined():
    found = stability(noisy(1.0), select=lambda scores: scores.above(1e9), resamples=5)
    assert np.isnan(
        [found.jaccard.value, found.node_jaccard.low, found.weighted_jaccard.high, found.with_circuit]
    ).all()
    assert np.isnan(found.random) and len(found.to_frame()) == 0
    assert found.note == "no sample gives a circuit with an edge"


def test_scores_that_cannot_be_resampled_are_refused():
    scores = noisy(1.0)
    with pytest.raises(InputError, match="hold no values of single pairs to resample; score again with a method"):
        stability(replace(scores, per_pair=None), 12)
    with pytest.raises(InputError, match="a single pair cannot be resampled; score at least 2"):
        stability(noisy(1.0, n=1), 12)
    with pytest.raises(InputError, match="resamples=1 is too few to compare samples; give at least 2"):
        stability(scores, 12, resamples=1)
    places = EdgeScores.from_pairs(GRAPH, np.ones((4, 2, GRAPH.n_edges), np.float32), positions=("0", "1"))
    with pytest.raises(InputError, match="score again without positions"):
        stability(places, 12)


@pytest.mark.parametrize("given", [{}, {"of": 3, "select": lambda scores: scores.top(3)}])
def test_exactly_one_of_size_and_selection_is_taken(given: dict[str, Any]):
    with pytest.raises(InputError, match="unclear what to select; give either `of`"):
        stability(noisy(1.0), **given)


@pytest.mark.parametrize("n", [0, 10_000])
def test_a_number_of_edges_out_of_range_is_refused(n: int):
    with pytest.raises(InputError, match=rf"cannot have {n} of this graph's edges; give 1 to {GRAPH.n_edges}"):
        stability(noisy(1.0), n)


def test_a_circuit_of_another_graph_is_refused():
    kept = replace(GRAPH, n_layers=3).exists
    other = Circuit(graph=replace(GRAPH, n_layers=3), kept=kept, scores=np.zeros(kept.shape))
    with pytest.raises(InputError, match="circuits of different graphs"):
        stability(noisy(1.0), other)


def test_every_two_circuits_are_compared():
    circuits = {"a": noisy(0.0).top(12), "b": noisy(0.0).top(20), "c": noisy(0.0).top(12)}
    frame = stability_across(circuits)
    assert [*zip(frame["a"], frame["b"], strict=True)] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert (frame["jaccard"][1], frame["weighted_jaccard"][1]) == (1, 1)
    expected = overlap(circuits["a"], circuits["b"])
    for column, value in (
        ("jaccard", expected.jaccard),
        ("node_jaccard", expected.nodes.jaccard),
        ("weighted_jaccard", expected.weighted),
        ("random", expected.edges.random.value),
        ("p_value", expected.p_value),
    ):
        assert frame[column][0] == value
    with pytest.raises(InputError, match="1 circuit cannot be compared; give at least 2"):
        stability_across({"a": circuits["a"]})


def test_each_template_has_the_circuit_of_its_own_pairs():
    model = small_model("gpt_neox")
    plain = telling_pairs(model)
    pairs = ie.PromptPairs(
        clean=plain.clean, corrupt=plain.corrupt, answer=plain.answer, foil=plain.foil, templates=[*"xyxyxx"]
    )
    scores = score_edges(model, pairs, "eap")
    found = by_template(scores, pairs, 30)
    assert [*found] == ["x", "y"]
    for template, rows in (("x", [0, 2, 4, 5]), ("y", [1, 3])):
        alone = score_edges(model, pairs[rows], "eap").top(30)
        assert found[template] == alone
        assert (found[template].origin["template"], found[template].origin["n_pairs"]) == (template, len(rows))
    with pytest.raises(InputError, match="of 6 pairs; give those pairs with their templates, not 6 pairs with 0"):
        by_template(scores, plain, 30)
    with pytest.raises(InputError, match="not 2 pairs with 2 template names"):
        by_template(scores, pairs[:2], 30)
