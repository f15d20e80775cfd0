from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

import interp_emerge as ie
from interp_emerge.circuits.finding import prompt_sets
from interp_emerge.circuits.finding.prompt_sets import halves_of
from interp_emerge.circuits.finding.selection import grow
from interp_emerge.circuits.finding.stability import by_template, stability, stability_across, stability_of
from interp_emerge.circuits.overlap import overlap, random_jaccard
from interp_emerge.core import memory
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.graph import Graph
from interp_emerge.patching.base import EdgeScores
from interp_emerge.stats.shrinkage import shrunk
from tests.models.small_models import small_model, telling_pairs
from tests.patching.scored import score_edges

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, parallel=False)
MEAN = np.random.default_rng(0).standard_t(3, GRAPH.n_edges)


def noisy(noise: float, n: int = 32, *, seed: int = 1, mean: np.ndarray = MEAN) -> EdgeScores:
    """Scores whose values by pair scatter around one mean."""
    values = mean + noise * np.random.default_rng(seed).normal(size=(n, GRAPH.n_edges))
    return EdgeScores.from_pairs(GRAPH, values.astype(np.float32))


def values_of(scores: EdgeScores) -> np.ndarray:
    assert scores.per_pair is not None
    return scores.per_pair


def test_scores_without_noise_have_stability_one():
    found = stability(noisy(0.0), 12)
    assert (found.jaccard.value, found.jaccard.low, found.jaccard.high) == (1, 1, 1)
    assert found.node_jaccard.value == found.weighted_jaccard.value == 1
    assert found.circuit == noisy(0.0).top(12) and found.n_pairs == 32
    assert set(found.frequency[found.circuit.kept]) == {1.0} and found.frequency.sum() == len(found.circuit)


def test_the_noisier_the_pairs_the_less_stable_the_circuit():
    stabilities = [stability(noisy(noise), 12) for noise in (0.0, 1.0, 3.0, 10.0)]
    for values in ([one.jaccard.value for one in stabilities], [one.weighted_jaccard.value for one in stabilities]):
        assert values == sorted(values, reverse=True) and len(set(values)) == 4
    for one in stabilities[1:]:
        assert one.jaccard.low < one.jaccard.value < one.jaccard.high


@pytest.mark.parametrize("n_pairs", [24, 64])
@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_the_estimate_is_the_index_of_two_new_sets_of_prompts(noise: float, n_pairs: int):
    """Circuits of 30 edges, without pruning. Means over bootstrap samples were too low by 0.06 to 0.14."""

    def strongest(scores: EdgeScores) -> Circuit:
        kept = np.zeros_like(GRAPH.exists)
        kept[tuple(scores.ranked()[:30].T)] = True
        return Circuit(graph=GRAPH, kept=kept, scores=scores.scores * kept)

    sets = [noisy(noise, n_pairs, seed=seed) for seed in range(40)]
    true = np.mean([overlap(a, b, n_random=1).jaccard for a, b in combinations(map(strongest, sets), 2)])
    found = [stability(one, select=strongest, resamples=40).jaccard for one in sets[:12]]
    assert np.mean([one.value for one in found]) == pytest.approx(true, abs=0.05)
    assert np.mean([one.low <= true <= one.high for one in found]) >= 0.8


def test_circuits_of_pure_noise_are_as_similar_as_those_of_new_prompts():
    """The mean over bootstrap samples, which share pairs, was twice as high."""
    zero = np.zeros(GRAPH.n_edges)
    circuits = [noisy(1.0, seed=seed, mean=zero).top(20) for seed in range(60)]
    true = np.nanmean([overlap(a, b, n_random=1).jaccard for a, b in combinations(circuits, 2)])
    found = [stability(noisy(1.0, seed=seed, mean=zero), 20).jaccard.value for seed in range(12)]
    assert np.mean(found) == pytest.approx(true, abs=0.03)


def test_every_number_follows_the_definition():
    scores, n = noisy(0.7, n=21), 20
    found = stability(scores, 15, resamples=n, seed=4)
    values, rng = values_of(scores).astype(float), np.random.default_rng(4)
    mean = values.mean(0)
    halved = [halves_of(21, n, rng) @ values]
    base, deviations = shrunk(mean, values.var(0, ddof=1) / 21), (values - mean) * np.sqrt(21 / 20)
    signs = rng.choice([-1.0, 1.0], size=(n, 21))
    halves = halves_of(21, 2 * n, rng) * np.repeat(signs, 4, axis=0)
    halved, whole, of_drawn = (
        [circuit_of(one) for one in means]
        for means in (halved[0], base + signs / 21 @ deviations, base + halves @ deviations)
    )
    assert [*found.n_edges] == [len(circuit) for circuit in whole]
    np.testing.assert_allclose(found.frequency, np.mean([circuit.kept for circuit in whole], 0))
    later = [(whole[at], whole[(at + step) % n]) for step in (1, 2, 3) for at in range(n)]
    for interval, index in (
        (found.jaccard, lambda both: both.jaccard),
        (found.node_jaccard, lambda both: both.nodes.jaccard),
        (found.weighted_jaccard, lambda both: both.weighted),
    ):
        first, second, third = (
            [index(overlap(a, b, n_random=1)) for a, b in pairs]
            for pairs in (batched(halved), later, batched(of_drawn))
        )
        value = np.mean(first) + np.mean(second) - np.mean(third)
        spread = 1.96 * max(np.std(first), np.std(third))
        assert interval.value == pytest.approx(value)
        assert (interval.low, interval.high) == pytest.approx((max(0, value - spread), min(1, value + spread)))


def circuit_of(mean: np.ndarray) -> Circuit:
    filled = np.zeros(GRAPH.exists.shape)
    filled[GRAPH.exists] = mean
    return EdgeScores(graph=GRAPH, scores=filled, standard_errors=np.zeros_like(filled)).top(15)


def batched(circuits: list[Circuit]) -> list[tuple[Circuit, Circuit]]:
    """The two halves of each division."""
    return [*zip(circuits[::2], circuits[1::2], strict=True)]


def test_the_null_is_the_mean_of_random_circuits_of_the_same_sizes():
    found = stability(noisy(100.0), 20)
    assert len({*found.n_edges}) > 3
    assert found.random == random_jaccard(found.circuit, found.n_edges)
    null = f"random circuits of the same sizes {found.random:.2f}"
    about = f"expected Jaccard index {found.jaccard} of circuits of two sets of 32 pairs"
    assert repr(found) == f"Stability({about}; {null})"


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
        assert np.isnan(found.jaccard.value) if not len(circuit) else found.jaccard.value == 1


def test_the_stability_of_an_empty_circuit_is_undefined_with_the_reason():
    scores = noisy(1.0)
    empty = Circuit(graph=GRAPH, kept=np.zeros_like(GRAPH.exists), scores=np.zeros(GRAPH.exists.shape))
    found = stability(scores, empty, resamples=5)
    assert found.note == "the circuit is empty" and repr(found) == "Stability(undefined: the circuit is empty)"
    assert np.isnan([found.jaccard.value, found.node_jaccard.low, found.random]).all()
    assert len(found.n_edges) == 5 and found.to_frame().empty
    searched = stability_of(empty, [empty] * 3, n_pairs=8)
    assert searched.note == "no set of prompts gives a circuit with an edge" and np.isnan(searched.random)


def test_circuits_of_samples_have_the_null_of_their_own_sizes():
    one, none = noisy(0.0).top(1), noisy(0.0).top(1).with_kept(np.zeros_like(GRAPH.exists))
    direct = Circuit(graph=GRAPH, kept=GRAPH.edge_matrix([("embed", "logits")]), scores=one.scores)
    found = stability_of(direct, [direct, none, none], n_pairs=8)
    assert found.jaccard.value == found.random == 0 and found.note == ""
    # The only connected circuit of one edge leads from the embedding to the logits.
    assert stability_of(direct, [direct] * 3, n_pairs=8).random == 1
    sizes = [noisy(1.0, seed).top(5 * seed) for seed in (2, 3, 7)]
    assert stability_of(direct, sizes, n_pairs=8).random == random_jaccard(
        direct, np.array([len(circuit) for circuit in sizes])
    )


def test_an_unknown_order_is_refused():
    with pytest.raises(UnknownNameError, match=r"unknown order 'scores'; did you mean 'score'\?"):
        stability(noisy(1.0), 12, by="scores")


def test_any_selection_can_be_repeated():
    scores = noisy(2.0)
    same = stability(scores, select=lambda sampled: sampled.top(12))
    assert same.jaccard == stability(scores, 12).jaccard and same.circuit == scores.top(12)
    grown = stability(scores, select=lambda sampled: grow(sampled, 12), resamples=20)
    assert grown.circuit == grow(scores, 12) and 0 < grown.jaccard.value < 1


def test_circuits_of_independent_sets_have_their_mean_index_with_a_jackknife_interval():
    circuits = [noisy(1.0, seed=seed).top(15) for seed in range(6)]
    found = stability_of(circuits[0], circuits, n_pairs=32)
    indices = {(a, b): overlap(circuits[a], circuits[b], n_random=1).jaccard for a, b in combinations(range(6), 2)}
    left_out = np.array([np.mean([value for both, value in indices.items() if one not in both]) for one in range(6)])
    half = t.ppf(0.975, 5) * np.sqrt(5 / 6 * ((left_out - left_out.mean()) ** 2).sum())
    value = np.mean([*indices.values()])
    assert found.jaccard.value == pytest.approx(value)
    assert (found.jaccard.low, found.jaccard.high) == pytest.approx((max(0, value - half), min(1, value + half)))
    with pytest.raises(InputError, match="2 circuits of sets of prompts are too few for an interval; give at least 3"):
        stability_of(circuits[0], circuits[:2], n_pairs=32)


def test_a_selection_gets_halves_with_the_standard_errors_of_their_pairs():
    scores, seen = noisy(2.0), []

    def select(sampled: EdgeScores) -> Circuit:
        seen.append(sampled)
        return sampled.top(5)

    stability(scores, select=select, resamples=3, seed=2)
    weights = halves_of(32, 3, np.random.default_rng(2))
    for half, weight in zip(seen[1:7], weights, strict=True):
        assert (weight > 0).sum() == 16
        expected = EdgeScores.from_pairs(GRAPH, values_of(scores)[weight > 0])
        np.testing.assert_allclose(half.scores, expected.scores, atol=1e-6)
        np.testing.assert_allclose(half.standard_errors, expected.standard_errors, rtol=1e-4, atol=1e-6)
    errors = [np.mean(one.standard_errors[GRAPH.exists]) for one in seen[7:]]
    assert errors[:3] == pytest.approx([2 / 32**0.5] * 3, rel=0.1)
    assert errors[3:] == pytest.approx([2 / 16**0.5] * 12, rel=0.1)


def test_the_table_lists_the_edges_of_all_sets_with_their_frequency():
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


def test_the_seed_fixes_the_sets():
    scores = noisy(3.0)
    assert stability(scores, 12, seed=1).jaccard == stability(scores, 12, seed=1).jaccard
    assert stability(scores, 12, seed=1).jaccard != stability(scores, 12, seed=2).jaccard


def test_how_many_sets_are_taken_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    scores = noisy(3.0)
    expected = stability(scores, 12, resamples=30)
    monkeypatch.setattr(memory, "CPU_BUDGET", 8 * GRAPH.n_edges * 7)
    monkeypatch.setattr(prompt_sets, "EDGES_AT_ONCE", 16)
    found = stability(scores, 12, resamples=30)
    assert found.jaccard == expected.jaccard
    assert found.weighted_jaccard.value == pytest.approx(expected.weighted_jaccard.value, rel=1e-12)
    np.testing.assert_array_equal(found.frequency, expected.frequency)


def test_the_stability_of_circuits_that_are_all_empty_is_undefined():
    found = stability(noisy(1.0), select=lambda scores: scores.above(1e9), resamples=5)
    assert np.isnan([found.jaccard.value, found.node_jaccard.low, found.weighted_jaccard.high]).all()
    assert np.isnan(found.random) and len(found.to_frame()) == 0
    assert found.note == "no set of prompts gives a circuit with an edge"


def test_scores_that_cannot_be_divided_are_refused():
    scores = noisy(1.0)
    with pytest.raises(InputError, match="hold no values of single pairs to divide; score again with a method"):
        stability(replace(scores, per_pair=None), 12)
    with pytest.raises(InputError, match=r"3 pairs cannot be divided into halves with .* score at least 4"):
        stability(noisy(1.0, n=3), 12)
    with pytest.raises(InputError, match="resamples=1 is too few to compare sets of prompts; give at least 2"):
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
