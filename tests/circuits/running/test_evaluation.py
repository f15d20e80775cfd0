from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

import interp_emerge as ie
from interp_emerge.circuits.running.evaluation import random_circuits
from interp_emerge.circuits.running.faithfulness import Evaluation, FaithfulnessCurve
from interp_emerge.circuits.running.runs import GRID, LEVELS
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.patching.ablation import ABLATIONS, Ablation
from tests.models.small_models import small_model, telling_pairs
from tests.patching.scored import score_edges

CORRUPT, GAP = np.random.default_rng(0).normal(0, 1, 50), np.random.default_rng(1).uniform(1, 3, 50)
NOISE = GAP - GAP.mean() + 0.1
"""A gap whose mean is above zero, but by less than the bootstrap scatters."""


def keeping(share: float) -> Evaluation:
    """An invented evaluation of a circuit that keeps this share of the gap of every pair."""
    return invented(CORRUPT + share * GAP, CORRUPT + GAP, CORRUPT)


def invented(metric: np.ndarray, clean: np.ndarray, corrupt: np.ndarray, templates: tuple[str, ...] = ()) -> Evaluation:
    zeros = np.zeros(len(metric))
    return Evaluation(
        metric=metric, clean=clean, corrupt=corrupt, kl=zeros, right=zeros, ablation="resample", templates=templates
    )


@pytest.fixture(scope="module")
def pairs() -> ie.PromptPairs:
    return telling_pairs(small_model("gpt_neox"))


@pytest.mark.parametrize("share", [0.0, 0.8, 1.0, 1.3, -0.2])
def test_faithfulness_is_the_share_of_the_gap_that_is_kept(share: float):
    evaluation = keeping(share)
    assert evaluation.faithfulness == pytest.approx(share)
    assert evaluation.ci == pytest.approx((share, share))


def test_the_interval_of_faithfulness_comes_from_resampling_pairs(rng: np.random.Generator):
    noisy = replace(keeping(0.5), metric=CORRUPT + 0.5 * GAP + rng.normal(0, 0.5, 50))
    low, high = noisy.ci
    assert low < noisy.faithfulness < high
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / 50**0.5 / 2, rel=0.3)
    assert repr(noisy) == f"Evaluation(faithfulness {noisy.faithfulness:.3f} [{low:.3f}, {high:.3f}])"


@pytest.mark.parametrize("gap", [NOISE, np.zeros(50), -GAP])
def test_faithfulness_is_undefined_if_the_gap_is_not_above_noise(gap: np.ndarray):
    evaluation = invented(CORRUPT + 1, CORRUPT + gap, CORRUPT)
    assert not evaluation.defined
    assert np.isnan([evaluation.faithfulness, *evaluation.ci, evaluation.mean_of_ratios.value]).all()
    assert evaluation.recovery.value == pytest.approx(1)
    assert "faithfulness undefined: clean-corrupt gap" in repr(evaluation)


def test_the_ratio_of_means_and_the_mean_of_ratios_by_hand():
    evaluation = invented(np.ones(12), np.tile([1.0, 2.0], 6), np.zeros(12))
    assert evaluation.faithfulness == pytest.approx(2 / 3)
    assert evaluation.mean_of_ratios.value == pytest.approx((1 + 1 / 2) / 2)
    assert evaluation.per_pair[:2].tolist() == [1, 0.5]


def test_a_pair_without_a_gap_leaves_only_the_mean_of_ratios_undefined():
    evaluation = invented(np.array([1.0, 1.0, 0.5]), np.array([1.0, 1.0, 0.0]), np.zeros(3))
    assert np.isnan(evaluation.per_pair).tolist() == [False, False, True]
    assert np.isnan(evaluation.mean_of_ratios.value)


def test_each_template_has_its_own_summary():
    templates = ("kept",) * 6 + ("lost",) * 6
    by_hand = invented(np.repeat([1.0, 0.0], 6), np.ones(12), np.zeros(12), templates)
    frame = by_hand.by_template()
    faithfulness = frame[frame["quantity"] == "faithfulness"].set_index("template")["value"]
    assert faithfulness.to_dict() == {"kept": 1, "lost": 0}
    assert set(frame["n_pairs"]) == {6}
    assert by_hand.faithfulness == 0.5
    assert by_hand.to_frame()["template"].tolist() == [*templates]


def curve_of(evaluations: Sequence[Evaluation], shares: tuple[float, ...] = GRID) -> FaithfulnessCurve:
    """A curve whose two rankings have the same circuits."""
    found = tuple(evaluations)
    return FaithfulnessCurve(shares=shares, n_edges=(1,) * len(shares), by_score=found, by_magnitude=found)


def test_the_two_areas_have_intervals_around_the_areas_of_the_measured_curve(rng: np.random.Generator):
    kept = np.linspace(0.1, 0.9, len(GRID))[:, None] * GAP + rng.normal(0, 0.5, (len(GRID), 50))
    evaluations = tuple(invented(CORRUPT + row, CORRUPT + GAP, CORRUPT) for row in kept)
    curve = curve_of(evaluations)
    for interval in (curve.cpr_interval, curve.cmd_interval):
        assert interval.low < interval.value < interval.high
    faithfulness = np.array([e.faithfulness for e in evaluations])
    assert curve.cpr == pytest.approx(np.trapezoid(faithfulness, GRID))
    assert curve.cmd == pytest.approx(np.trapezoid(np.abs(1 - faithfulness), GRID))


def test_each_area_belongs_to_a_ranking_of_its_own():
    curve = replace(curve_of([keeping(0.5)] * 2, (0.5, 1.0)), by_magnitude=(keeping(0.8),) * 2)
    assert (curve.cpr, curve.cmd) == pytest.approx((0.5 * 0.5, 0.5 * 0.2))
    rows = curve.areas().set_index("quantity")
    assert rows["ranking"].to_dict() == {"cpr": "score", "cmd": "magnitude"}
    assert curve.to_frame().groupby("ranking")["faithfulness"].mean().to_dict() == pytest.approx(
        {"score": 0.5, "magnitude": 0.8}
    )


def test_the_areas_of_a_curve_without_a_gap_are_undefined():
    flat = invented(CORRUPT, CORRUPT, CORRUPT)
    curve = curve_of((flat, flat), (0.5, 1.0))
    assert np.isnan([curve.cpr, curve.cmd]).all()


def test_a_single_pair_shows_no_gap_beyond_noise():
    assert not invented(np.ones(1), np.ones(1), np.zeros(1)).defined


@pytest.mark.parametrize("shares", [(), (0.5, 0.1), (0.0, 1.0), (0.5, 1.2), (0.5, 0.5)])
def test_shares_that_do_not_ascend_from_0_to_1_are_refused(shares: tuple[float, ...], pairs: ie.PromptPairs):
    model = small_model("gpt_neox")
    with pytest.raises(InputError, match=r"cannot draw a curve at the shares \[.*give ascending fractions"):
        ie.faithfulness_curve(model, score_edges(model, pairs, "eap"), pairs, shares=shares)


def test_the_areas_of_a_curve_below_one_sum_to_the_width_of_the_grid(rng: np.random.Generator):
    shares = np.sort(rng.random(len(GRID)))
    curve = curve_of([keeping(share) for share in shares])
    assert curve.cpr + curve.cmd == pytest.approx(0.999)
    assert curve.cpr == pytest.approx(np.trapezoid(shares, GRID))


def test_the_areas_of_a_curve_above_one_by_hand():
    curve = curve_of((keeping(0), keeping(2), keeping(1)), (0.0, 0.5, 1.0))
    assert (curve.cpr, curve.cmd) == pytest.approx((0.5 + 0.75, 0.5 + 0.25))


def test_the_whole_graph_has_faithfulness_one_and_no_edges_have_zero(pairs: ie.PromptPairs):
    model = small_model("gpt_neox")
    whole = ie.Circuit(graph=model.graph, kept=model.graph.exists, scores=np.zeros(model.graph.exists.shape))
    empty = ie.Circuit.from_edges(model, [])
    assert ie.evaluate(model, whole, pairs).faithfulness == pytest.approx(1, abs=1e-5)
    assert ie.evaluate(model, empty, pairs).faithfulness == 0


@pytest.mark.parametrize("ablation", ABLATIONS)
@pytest.mark.parametrize("architecture", ["gpt_neox", "llama_grouped", "gemma2"])
def test_under_every_ablation_the_whole_graph_has_faithfulness_one_and_no_edges_zero(
    architecture: str, ablation: Ablation
):
    model = small_model(architecture)
    pairs = telling_pairs(model)
    for level in LEVELS:
        whole = ie.evaluate(model, ie.Circuit.from_edges(model, []).complement(), pairs, ablation=ablation, level=level)
        empty = ie.evaluate(model, ie.Circuit.from_edges(model, []), pairs, ablation=ablation, level=level)
        assert (whole.metric == whole.clean).all() and (whole.kl == 0).all()
        assert (empty.metric == empty.corrupt).all() and (empty.kl > 0).all()
        if whole.defined:
            assert (whole.faithfulness, empty.faithfulness) == (1, 0)


def test_the_divergence_and_the_accuracy_are_those_of_the_circuits_logits(pairs: ie.PromptPairs):
    model = small_model("gpt_neox")
    circuit = ie.Circuit.from_nodes(model, ["a0.h1", "m1", "a2.h3"])
    result = ie.evaluate(model, circuit, pairs)
    by_name = [ie.evaluate(model, circuit, pairs, metric=metric).metric for metric in ("kl", "accuracy")]
    np.testing.assert_allclose(result.kl, -by_name[0], atol=1e-6)
    np.testing.assert_array_equal(result.right, by_name[1])
    assert result.divergence.value > 0.01


def test_at_the_level_of_nodes_only_what_nodes_outside_write_is_ablated():
    model = small_model("llama")
    pairs = telling_pairs(model, 24)
    circuit = ie.Circuit.from_edges(model, [("embed", "a0.h1.v"), ("a0.h1", "m1"), ("m1", "logits")])
    nodes = ie.Circuit.from_nodes(model, circuit.nodes)
    at_nodes = ie.evaluate(model, circuit, pairs, level="nodes")
    assert abs(at_nodes.faithfulness - ie.evaluate(model, circuit, pairs).faithfulness) > 0.01
    np.testing.assert_allclose(at_nodes.metric, ie.evaluate(model, nodes, pairs).metric, atol=1e-5)
    others = [name for name in model.graph.writer_names if name not in circuit.nodes]
    np.testing.assert_allclose(at_nodes.metric, ie.ablate(model, others, pairs), atol=1e-5)


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_ablating_a_nodes_edges_is_ablating_the_node(ablation: Ablation):
    model = small_model("llama_grouped")
    pairs = telling_pairs(model)
    circuit = ie.Circuit.from_edges(model, []).complement().without(["a1.h2", "m0"])
    ablated = ie.ablate(model, ["a1.h2", "m0"], pairs, ablation=ablation)
    found = ie.evaluate(model, circuit, pairs, ablation=ablation)
    assert np.abs(found.metric - found.clean).max() > 0.1
    np.testing.assert_allclose(found.metric, ablated, atol=2e-5)


def test_under_mean_ablation_edges_on_no_path_still_have_an_effect(pairs: ie.PromptPairs):
    model = small_model("gpt_neox")
    dead_end = ie.Circuit.from_edges(model, [("m0", "logits")])
    resampled, mean = (ie.evaluate(model, dead_end, pairs, ablation=ablation) for ablation in ("resample", "mean"))
    assert (resampled.metric == resampled.corrupt).all()
    assert np.abs(mean.metric - mean.corrupt).max() > 0.01


def test_unknown_ablations_and_levels_are_refused(pairs: ie.PromptPairs):
    model = small_model("gpt_neox")
    circuit = ie.Circuit.from_edges(model, [("embed", "logits")])
    with pytest.raises(UnknownNameError, match="unknown ablation 'means'; did you mean 'mean"):
        ie.evaluate(model, circuit, pairs, ablation=cast("Any", "means"))
    with pytest.raises(UnknownNameError, match="unknown level 'node'; did you mean 'nodes'"):
        ie.evaluate(model, circuit, pairs, level=cast("Any", "node"))


def test_an_evaluation_holds_one_value_for_each_pair(pairs: ie.PromptPairs):
    model = small_model("gpt_neox")
    result = ie.evaluate(
        model, ie.Circuit.from_edges(model, [("embed", "m0"), ("m0", "logits")]), pairs, metric="log_prob"
    )
    assert result.metric.shape == result.clean.shape == result.corrupt.shape == (len(pairs),)
    assert result.ablation == "resample"
    assert (result.metric < 0).all()


def test_circuits_evaluated_together_have_the_values_of_each_alone_without_dead_ends(pairs: ie.PromptPairs):
    model = small_model("gpt_neox")
    path = [("embed", "a0.h1.v"), ("a0.h1", "a1.h0.k"), ("a1.h0", "logits")]
    lists = [path, [*path, ("embed", "m1")], path[:2], [("embed", "logits")], path]
    kept = [model.graph.edge_matrix(edges) for edges in lists]
    many = ie.Runs(model, pairs).evaluations(kept)
    for evaluation, edges in zip(many, lists, strict=True):
        alone = ie.evaluate(model, ie.Circuit.from_edges(model, edges), pairs)
        np.testing.assert_allclose(evaluation.metric, alone.metric, atol=1e-5)
    assert (many[0].metric == many[1].metric).all()
    assert (many[2].metric == many[2].corrupt).all()
    assert ie.Runs(model, pairs).evaluations([]) == []


def test_a_circuit_of_another_graph_is_refused(pairs: ie.PromptPairs):
    other = ie.Circuit.from_edges(small_model("llama_grouped"), [("embed", "logits")])
    with pytest.raises(InputError, match="whose graph differs from that of memory/GPTNeoX"):
        ie.evaluate(small_model("gpt_neox"), other, pairs)
    serial = ie.Circuit.from_edges(small_model("llama"), [("embed", "logits")])
    with pytest.raises(InputError, match="whose graph differs from that of memory/GPTNeoX"):
        ie.evaluate(small_model("gpt_neox"), serial, pairs)


def test_a_curve_has_a_row_for_each_share_and_ends_at_the_whole_graph(pairs: ie.PromptPairs):
    model = small_model("gpt_neox")
    curve = ie.faithfulness_curve(model, score_edges(model, pairs, "eap"), pairs)
    frame = curve.to_frame()
    assert list(frame.columns) == [
        *("ranking", "share", "n_edges", "faithfulness", "ci_low", "ci_high", "kl", "accuracy")
    ]
    by = {name: rows.reset_index(drop=True) for name, rows in frame.groupby("ranking")}
    for rows in by.values():
        assert tuple(rows["share"]) == GRID
        assert rows["n_edges"].tolist() == [int(share * model.graph.n_edges) for share in GRID]
        assert rows["faithfulness"].iloc[-1] == pytest.approx(1, abs=1e-5)
        assert (rows["faithfulness"][rows["n_edges"] == 0] == 0).all()
    assert by["score"]["n_edges"].iloc[0] == 0
    assert curve.cpr == pytest.approx(np.trapezoid(by["score"]["faithfulness"], GRID))
    assert curve.cmd == pytest.approx(np.trapezoid(np.abs(1 - by["magnitude"]["faithfulness"]), GRID))


def test_the_circuits_of_a_curve_are_the_best_edges_by_score_and_by_magnitude(pairs: ie.PromptPairs):
    model = small_model("gpt_neox")
    scores = score_edges(model, pairs, "eap")
    curve = ie.faithfulness_curve(model, scores, pairs, shares=(0.1, 0.3))
    count = int(0.3 * model.graph.n_edges)
    for by, found in (("score", curve.by_score), ("magnitude", curve.by_magnitude)):
        expected = ie.evaluate(model, scores.top(count, by=by), pairs)
        np.testing.assert_allclose(found[1].metric, expected.metric, atol=1e-5)
    assert np.abs(curve.by_score[1].metric - curve.by_magnitude[1].metric).max() > 1e-3


def test_a_share_that_is_a_whole_number_of_edges_up_to_rounding_has_that_number(pairs: ie.PromptPairs):
    model = small_model("gpt_neox")
    n = model.graph.n_edges
    curve = ie.faithfulness_curve(
        model, score_edges(model, pairs, "eap"), pairs, shares=[k / n for k in range(1, n, 9)]
    )
    assert curve.n_edges == tuple(range(1, n, 9))


def test_random_circuits_have_the_given_size_and_lie_in_the_graph_and_follow_the_seed():
    graph = small_model("llama_grouped").graph
    circuits = random_circuits(graph, 30, 20, seed=1)
    assert {int(kept.sum()) for kept in circuits} == {30}
    assert not any((kept & ~graph.exists).any() for kept in circuits)
    assert len({kept.tobytes() for kept in circuits}) == 20
    assert (np.stack(circuits) == np.stack(random_circuits(graph, 30, 20, seed=1))).all()
    assert (np.stack(circuits) != np.stack(random_circuits(graph, 30, 20, seed=2))).any()


def test_random_circuits_take_every_edge_equally_often():
    graph = small_model("gpt2").graph
    share = np.mean(random_circuits(graph, graph.n_edges // 4, 400), 0)[graph.exists]
    # 400 draws: one standard error is 0.022. Over 350 edges the largest deviation is about three standard errors.
    assert share.mean() == pytest.approx(0.25, abs=0.01)
    assert np.abs(share - 0.25).max() < 0.1
