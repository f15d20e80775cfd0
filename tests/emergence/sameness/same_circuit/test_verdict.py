"""Same circuit or not: calibration where nothing differs, power where something does, and undecided cases."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import kstest

from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError, InterpEmergeError
from interp_emerge.core.graph import Graph
from interp_emerge.emergence.sameness.matching import HeadFeatures, Match, match_heads
from interp_emerge.emergence.sameness.same_circuit.halves import layers_of
from interp_emerge.emergence.sameness.same_circuit.table import COMPARISONS, SameCircuitVerdict
from interp_emerge.emergence.sameness.same_circuit.verdict import same_circuit
from interp_emerge.patching.base import EdgeScores
from interp_emerge.stats.intervals import Interval

GRAPH = Graph(n_layers=2, n_heads=4, n_kv_heads=4, parallel=False)
MEAN = np.random.default_rng(0).standard_t(3, GRAPH.n_edges)
CHANGED = MEAN.copy()
CHANGED[np.argsort(-np.abs(MEAN))[:8]] = 0
SWAPPED, TOP = MEAN.copy(), np.argsort(-np.abs(MEAN))
SWAPPED[TOP[:20:3]], SWAPPED[TOP[40:110:10]] = MEAN[TOP[40:110:10]], MEAN[TOP[:20:3]]
EDGES = 20


def scored(seed: int, *, noise: float = 3.0, mean: np.ndarray = MEAN, n: int = 64, **origin: Any) -> EdgeScores:
    values = mean + noise * np.random.default_rng(seed).normal(size=(n, len(mean)))
    return EdgeScores.from_pairs(GRAPH, values.astype(np.float32), origin=origin)


@pytest.mark.calibration
def test_p_values_of_the_permutation_test_are_uniform_where_nothing_differs():
    p_values = [
        same_circuit(scored(2 * i), scored(2 * i + 1), EDGES, test="permutation", resamples=49, groups=3).p_value
        for i in range(25)
    ]
    assert kstest(p_values, "uniform").pvalue > 0.01


def noisy(shape: str, rng: np.random.Generator, mean: np.ndarray = MEAN, n: int = 64) -> EdgeScores:
    """Scores in which each edge has its own noise, as `NOISES` describes."""
    spread, scale, tail = NOISES[shape]
    shape_of = {"normal": rng.normal, "heavy": lambda size: rng.standard_t(2.5, size=size) / 1.5}[tail]
    deviations = scale * np.exp(spread * rng.normal(size=len(mean))) * shape_of(size=(n, len(mean)))
    return EdgeScores.from_pairs(GRAPH, (mean + deviations).astype(np.float32))


NOISES = {"even": (0.0, 2.0, "normal"), "small": (0.0, 0.5, "normal"), "large": (0.0, 6.0, "normal"),
          "lognormal": (1.0, 2.0, "normal"), "heavy": (1.0, 2.0, "heavy")}  # fmt: skip
"""Spread of the logarithm of the noise over edges, its scale, and the tails of the pairs' deviations."""


def p_values(a: str, b: str, count: int, *, n: Any = EDGES, mean: np.ndarray = MEAN, **options: Any) -> np.ndarray:
    rngs = [np.random.default_rng(seed) for seed in range(count)]
    pairs = ((noisy(a, rng), noisy(b, rng, mean)) for rng in rngs)
    options = {"test": "halves", "resamples": 39, "groups": 3} | options
    return np.array([same_circuit(x, y, n, seed=i, **options).p_value for i, (x, y) in enumerate(pairs)])


def swapped_heads() -> tuple[Match, np.ndarray]:
    """A match of a model with one that has its heads in other places, and the mean scores of the latter."""
    roles = np.random.default_rng(3).random((8, 2))
    a, b = (HeadFeatures(graph=GRAPH, roles=("previous_token", "induction"), strength=one)
            for one in (roles, roles[[1, 0, 2, 3, 5, 4, 7, 6]]))  # fmt: skip
    match, moved = match_heads(a, b), np.empty_like(MEAN)
    moved[match.edges] = MEAN
    return match, moved


@pytest.mark.calibration
@pytest.mark.parametrize(("a", "b"), [("lognormal", "lognormal"), ("small", "large")])
def test_edges_that_are_unequally_noisy_make_no_difference(a: str, b: str):
    # Of the first kind a correction by √(within a · within b) alone rejected 22 of 60. Of the second kind this test
    # rejects 15 of 300.
    assert (p_values(a, b, 20) <= 0.05).mean() <= 0.15


@pytest.mark.calibration
def test_the_same_order_of_edges_by_other_magnitudes_makes_no_difference():
    # A test of equal mean scores rejects 49 of 60 such cases.
    assert (p_values("even", "even", 20, mean=np.sign(MEAN) * np.sqrt(np.abs(MEAN))) <= 0.05).mean() <= 0.1


def test_where_noise_hides_the_circuit_of_one_model_a_difference_cannot_be_told():
    found = same_circuit(scored(1, noise=0.5), scored(2, noise=5.0, mean=CHANGED), EDGES, resamples=50)
    assert found["halves of b"]["index"] > found["random circuits"]["high"] and found.p_value <= 0.05
    assert found.verdict == SameCircuitVerdict.CANNOT_BE_TOLD
    assert "share less than 0.5 of their circuits" in found.reason


def test_a_third_of_the_edges_changed_is_found_under_unequal_noise():
    assert (p_values("lognormal", "lognormal", 10, mean=SWAPPED) <= 0.05).mean() >= 0.8


@pytest.mark.calibration
@pytest.mark.slow
@pytest.mark.parametrize(
    ("a", "b", "level", "n"),
    [
        ("lognormal", "lognormal", "edges", EDGES),
        ("small", "large", "edges", EDGES),
        ("even", "even", "classes", EDGES),
        ("lognormal", "lognormal", "classes", (6, EDGES)),
    ],
)
def test_p_values_of_halves_are_never_smaller_than_uniform_ones(a: str, b: str, level: Any, n: Any):
    # A share of 40 p-values has a standard error of at most 0.08, and fails here if it is 0.24 larger than that of
    # uniform ones. A wrong correction by √(within a · within b) had 0.37 below 0.05.
    match, mean = swapped_heads()
    found = p_values(a, b, 40, n=n, mean=mean, match=match, level=level, resamples=19)
    assert kstest(found, "uniform", alternative="greater").pvalue > 0.01


@pytest.mark.parametrize("test", ["permutation", "halves"])
def test_circuits_that_lack_what_the_other_has_differ(test: Any):
    found = same_circuit(scored(1), scored(2, mean=CHANGED), EDGES, test=test, resamples=99)
    assert (found.verdict, found.test) == (SameCircuitVerdict.DIFFERENT, test) and found.p_value <= 0.05
    assert found.corrected.high < 1 and found["across"]["index"] < found["halves of a"]["low"]
    assert found["across"]["index"] < found["same scores"]["low"]


def test_circuits_of_one_distribution_show_no_difference_where_noise_is_low():
    found = same_circuit(scored(1, noise=0.5), scored(2, noise=0.5), EDGES, resamples=50)
    assert (found.verdict, found.test) == (SameCircuitVerdict.SAME, "halves")
    assert found.corrected.value == pytest.approx(1, abs=0.05)
    assert repr(found) == f"SameCircuit({found.sentence})"


def test_the_sentence_gives_the_verdict_and_the_numbers_it_rests_on():
    found = same_circuit(scored(1, noise=0.5), scored(2, noise=0.5), EDGES, resamples=50)
    names = ("across", "halves of a", "halves of b", "same scores", "exchanged heads", "random circuits")
    rows = [found[name] for name in names]
    across, a, b, same, exchanged, random = (str(Interval(row["index"], row["low"], row["high"])) for row in rows)
    assert found.sentence == (
        f"the same circuit within a margin of 0.1: Jaccard index {across} across halves of the prompts of both models, "
        f"{a} and {b} within each model, {same} if nothing differed, {exchanged} with the heads of each layer "
        f"exchanged at random (corrected similarity {found.corrected}, p = {found.p_value:.2g}); no other seed to "
        f"compare with; random circuits {random}"
    )


def test_a_circuit_that_holds_all_of_a_smaller_one_differs_in_size_only():
    found = same_circuit(scored(1, noise=0.0), scored(2, noise=0.0), (10, 20), resamples=20)
    assert found.verdict == SameCircuitVerdict.SAME and found["across"]["index"] == pytest.approx(0.5)
    assert found.sizes == (10, 20) and "(besides size, 10 and 20 edges)" in found.sentence


def test_a_small_difference_lies_within_the_margin_and_is_named():
    slightly = MEAN.copy()
    slightly[np.argsort(-np.abs(MEAN))[0]] = 0
    a, b = scored(1, noise=0.0), scored(2, noise=0.0, mean=slightly)
    found = same_circuit(a, b, EDGES, resamples=50)
    assert found.verdict is SameCircuitVerdict.SAME and 0.9 < found.corrected.value < 0.95 and found.p_value <= 0.05
    assert found.sentence.startswith("the same circuit within a margin of 0.1, though not equal:")
    assert same_circuit(a, b, EDGES, resamples=50, margin=0.03).verdict == SameCircuitVerdict.DIFFERENT
    with pytest.raises(InputError, match="margin=1 is not a distance from 1; give a number between 0 and 1"):
        same_circuit(a, b, EDGES, margin=1.0)


def test_circuits_that_the_architecture_makes_alike_are_not_called_the_same():
    """Scores that depend on layers and kinds alone."""
    by_layer = np.random.default_rng(0).exponential(3.0, layers_of(GRAPH).max() + 1)[layers_of(GRAPH)]
    a, b = (scored(seed, noise=0.5, mean=by_layer) for seed in (1, 2))
    found = same_circuit(a, b, EDGES, resamples=50)
    assert found["across"]["index"] > 0.6 and found["across"]["index"] == pytest.approx(
        found["exchanged heads"]["index"], abs=0.1
    )
    assert found.verdict == SameCircuitVerdict.CANNOT_BE_TOLD
    assert "than exchanging the heads of each layer at random" in found.reason


@pytest.mark.parametrize("level", ["edges", "classes"])
def test_of_scores_that_are_all_zero_nothing_is_said(level: Any):
    match, _ = swapped_heads()
    zero = scored(1, noise=0.0, mean=np.zeros_like(MEAN))
    for a, b in ((zero, zero), (zero, scored(2)), (scored(2), zero)):
        found = same_circuit(a, b, EDGES, match=match, level=level, resamples=10)
        assert (found.verdict, found.reason) == (SameCircuitVerdict.CANNOT_BE_TOLD, "all scores of a model are zero")
        assert np.isnan(found.p_value)


def test_edges_without_a_score_are_in_no_circuit():
    """With 8 edges that have a score, 12 of the 20 strongest would be the first of the graph, in both models."""
    a, b = np.zeros_like(MEAN), np.zeros_like(MEAN)
    a[TOP[:8]], b[TOP[40:48]] = 5.0, 5.0
    found = same_circuit(scored(1, noise=0.0, mean=a), scored(2, noise=0.0, mean=b), EDGES, resamples=30)
    assert found.sizes == (8, 8) and found["across"]["index"] == 0
    assert found.verdict == SameCircuitVerdict.DIFFERENT


def test_how_many_pairs_it_would_take_is_said_where_noise_hides_the_circuit():
    found = same_circuit(scored(1, noise=10.0), scored(2, noise=10.0), EDGES, resamples=30)
    assert found.verdict == SameCircuitVerdict.CANNOT_BE_TOLD and found.pairs_needed is not None
    assert found.reason.endswith(f"; about {found.pairs_needed} pairs of each model may be enough")
    a, b = (scored(seed, noise=10.0, n=found.pairs_needed) for seed in (3, 4))
    assert same_circuit(a, b, EDGES, resamples=10)["halves of a"]["index"] > 0.3
    none = same_circuit(scored(1, mean=0 * MEAN), scored(2, mean=0 * MEAN), EDGES, resamples=30)
    assert none.pairs_needed is None or none.pairs_needed > 64


def test_of_circuits_of_noise_alone_a_difference_cannot_be_told():
    zero = np.zeros_like(MEAN)
    found = same_circuit(scored(1, mean=zero), scored(2, mean=zero), EDGES, resamples=50)
    assert found.verdict == SameCircuitVerdict.CANNOT_BE_TOLD
    assert "no more alike than random circuits" in found.reason


def test_scores_without_noise_are_called_equal_or_different():
    same = same_circuit(scored(1, noise=0.0), scored(2, noise=0.0), EDGES, resamples=10)
    assert (same.verdict, same.p_value, same.corrected.low) == (SameCircuitVerdict.SAME, 1, 1)
    other = same_circuit(scored(1, noise=0.0), scored(2, noise=0.0, mean=CHANGED), EDGES, resamples=50)
    assert (other.verdict, other.p_value) == (SameCircuitVerdict.DIFFERENT, 1 / 51)
    assert other["whole samples"]["index"] == pytest.approx(12 / 28)
    assert other["across"]["index"] == pytest.approx(12 / 28)


def test_one_model_on_other_prompts_is_permuted_and_two_models_are_not():
    a, b = scored(1, model={"size": "x"}, prompts="p"), scored(2, model={"size": "x"}, prompts="q")
    assert same_circuit(a, b, EDGES, resamples=20).test == "permutation"
    assert same_circuit(a, scored(2, model={"size": "y"}), EDGES, resamples=20).test == "halves"
    assert same_circuit(a, a, EDGES, resamples=20).test == "halves"


def test_halves_that_are_compared_share_no_prompt():
    # Noise that comes from the prompts is the same in both models, and must not make them look alike.
    found = same_circuit(scored(1), scored(1), EDGES, resamples=50)
    assert found["across"]["index"] == pytest.approx(found["halves of a"]["index"])
    assert found["whole samples"]["index"] == 1


def test_other_seeds_and_sizes_of_circuits_are_in_the_table():
    kept = np.zeros_like(GRAPH.exists)
    kept[np.nonzero(GRAPH.exists)[0][:7], np.nonzero(GRAPH.exists)[1][:7]] = True
    circuit = Circuit(graph=GRAPH, kept=kept, scores=np.zeros(kept.shape))
    seeds = [(scored(5), None), (scored(6), None)]
    found = same_circuit(scored(1), scored(2), (circuit, circuit), other_seeds=seeds, resamples=20)
    assert [*found.to_frame().columns] == [*COMPARISONS.filled]
    assert {*found.to_frame()["verdict"]} == {found.verdict} and {*found.to_frame()["level"]} == {"edges"}
    assert [*found.rows["comparison"]] == [
        "across", "whole samples", "halves of a", "halves of b", "same scores", "exchanged heads", "other seeds",
        "random circuits",
    ]  # fmt: skip
    assert found["other seeds"]["n"] == 2 and found["other seeds"]["p_value"] >= 1 / 3
    assert f"other seeds {found['other seeds']['index']:.2f} [" in found.sentence
    expected = same_circuit(scored(1), scored(2), (7, 7), resamples=20)
    assert found["across"].equals(expected["across"])


def test_other_seeds_are_compared_at_the_sizes_of_both_circuits():
    # With the size of a's circuit for both the seeds had 0.89, although the two models, with equal means, had 0.30.
    a, b, *seeds = (scored(i, noise=0.5) for i in range(4))
    found = same_circuit(a, b, (6, 20), other_seeds=[(one, None) for one in seeds], resamples=20)
    assert found["across"]["index"] == pytest.approx(0.3, abs=0.02)
    assert found["other seeds"]["index"] == pytest.approx(0.3, abs=0.02)


def test_without_other_seeds_their_row_says_so():
    found = same_circuit(scored(1), scored(2), EDGES, resamples=20)
    seeds = found["other seeds"]
    assert (seeds["n"], seeds["note"]) == (0, "no other seed to compare with") and np.isnan(seeds["index"])


def test_an_index_beyond_chance_is_zero_for_random_circuits_and_one_for_equal_ones():
    found = same_circuit(scored(1, noise=0.0), scored(2, noise=0.0), EDGES, resamples=5)
    assert found["across"]["beyond_chance"] == pytest.approx(1)
    assert found["random circuits"]["beyond_chance"] == pytest.approx(0)


def test_heads_that_fit_another_match_are_counted_and_the_index_is_given_over_matches():
    roles = np.random.default_rng(3).random((8, 2))
    roles[5] = roles[4]
    features = HeadFeatures(graph=GRAPH, roles=("previous_token", "induction"), strength=roles)
    match = match_heads(features, features)
    assert len(match.ambiguous) == 2
    # b is a with the two copies exchanged, so only the match that swaps them is right.
    swapped = match.without(match.ambiguous[0])
    moved = np.empty_like(MEAN)
    moved[swapped.edges] = MEAN
    options: dict[str, Any] = {"match": match, "resamples": 20}
    found = same_circuit(scored(1, noise=0.0), scored(2, noise=0.0, mean=moved), EDGES, **options)
    row = found["across"]
    assert (row["n_ambiguous"], row["n_rivals"], row["unmatched_a"]) == (2, 1, 0)
    assert row["ambiguous_a"] == pytest.approx(row["ambiguous_b"]) and row["ambiguous_a"] > 0.1
    assert row["rival_low"] == row["index"] < 1 and row["rival_high"] == pytest.approx(1)
    assert found.p_value <= 0.05 and found.verdict == SameCircuitVerdict.CANNOT_BE_TOLD
    assert "another match" in found.reason
    assert f"; {row['ambiguous_a']:.0%} of a circuit's score mass lies on heads whose" in found.sentence
    assert found.sentence.endswith(f"one other match about as good the index is {row['index']:.2f} to 1.00")
    assert same_circuit(scored(1), scored(2), EDGES, resamples=5)["across"][["n_ambiguous", "rival_low"]].isna().all()


def test_two_models_are_compared_through_a_match_of_heads_and_by_classes_of_edges():
    match, moved = swapped_heads()
    assert ("a0.h0", "a0.h1") in match.pairs and (match.edges >= 0).all()
    options: dict[str, Any] = {"resamples": 30}
    named = same_circuit(scored(1, noise=0.5), scored(2, noise=0.5, mean=moved), EDGES, **options)
    matched = same_circuit(scored(1, noise=0.5), scored(2, noise=0.5, mean=moved), EDGES, match=match, **options)
    assert (named.verdict, matched.verdict) == (SameCircuitVerdict.DIFFERENT, SameCircuitVerdict.SAME)
    classes = same_circuit(
        scored(1, noise=0.5), scored(2, noise=0.5, mean=moved), EDGES, match=match, level="classes", **options
    )
    assert classes.verdict == SameCircuitVerdict.SAME and classes["across"]["index"] > matched["across"]["index"]
    assert "weighted Jaccard index of edge classes" in classes.sentence


def of_induction(seed: int, *heads: float) -> tuple[EdgeScores, HeadFeatures]:
    """A model with induction heads that each do a share of the work, and read a previous-token head."""
    graph = Graph(n_layers=2, n_heads=1 + len(heads), n_kv_heads=1 + len(heads), parallel=False)
    roles = np.zeros((2 * graph.n_heads, 2))
    roles[0, 0], roles[graph.n_heads :][: len(heads), 1] = 1, np.linspace(1, 0.8, len(heads))
    strong = {("embed", "a0.h0.v"): 3.0}
    for head, share in enumerate(heads):
        strong |= {("a0.h0", f"a1.h{head}.k"): 3 * share, (f"a1.h{head}", "logits"): 2.4 * share}
    writer, reader = np.nonzero(graph.exists)
    names = [(graph.writer_names[w], graph.reader_names[r]) for w, r in zip(writer, reader, strict=True)]
    mean = np.array([strong.get(name, 0.0) for name in names])
    values = mean + 0.3 * np.random.default_rng(seed).normal(size=(64, len(mean)))
    features = HeadFeatures(graph=graph, roles=("previous_token", "induction"), strength=roles)
    return EdgeScores.from_pairs(graph, values.astype(np.float32)), features


def test_a_head_without_a_partner_does_not_change_classes_with_the_same_shares():
    (a, mine), (b, theirs) = of_induction(1, 1.0), of_induction(2, 0.6, 0.4)
    match = match_heads(mine, theirs)
    assert ("a1.h0", "a1.h0") in match.pairs and (match.edges >= 0).sum() < b.graph.n_edges
    for n in ((3, 5), 5):
        found = same_circuit(a, b, n, match=match, level="classes", resamples=50)
        assert found.verdict == SameCircuitVerdict.SAME and found.corrected.value == pytest.approx(1, abs=0.03)
        # With the magnitudes of the second head on edges of other classes the index under the null was 0.55.
        assert found["same scores"]["index"] == pytest.approx(found["across"]["index"], abs=0.05)


def test_circuits_of_unequal_sizes_from_the_same_scores_do_not_differ_by_classes():
    match, moved = swapped_heads()
    a, b = scored(1, noise=0.5), scored(2, noise=0.5, mean=moved)
    found = same_circuit(a, b, (6, EDGES), match=match, level="classes", resamples=50)
    assert found["across"]["index"] < found["halves of b"]["low"] and found.p_value > 0.05
    assert found["same scores"]["index"] == pytest.approx(found["across"]["index"], abs=0.03)


def test_what_cannot_be_compared_is_refused():
    a = scored(1)
    other = Graph(n_layers=3, n_heads=4, n_kv_heads=4, parallel=False)
    b = EdgeScores.from_pairs(other, np.ones((64, other.n_edges), np.float32))
    with pytest.raises(InputError, match="through a match of heads; give match=match_heads"):
        same_circuit(a, b, EDGES)
    with pytest.raises(InputError, match="19 pairs are too few for 10 groups; give"):
        same_circuit(scored(1, n=19), a, EDGES)
    with pytest.raises(InputError, match=r"n_edges=9999: .* give"):
        same_circuit(a, a, 9999)
    with pytest.raises(InputError, match="resamples=1 gives no spread; give at least 2"):
        same_circuit(a, a, EDGES, resamples=1)
    with pytest.raises(InterpEmergeError, match="permutation"):
        same_circuit(a, a, EDGES, test="permutations")
    bare = EdgeScores(graph=GRAPH, scores=a.scores, standard_errors=a.standard_errors)
    with pytest.raises(InputError, match=r"no values of each pair.* score again"):
        same_circuit(a, bare, EDGES)
