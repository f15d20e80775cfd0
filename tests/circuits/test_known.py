"""Circuits known by construction do what they were built for, and methods find them or miss them for a known reason.

docs/ground_truth.md explains each miss.
"""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import interp_emerge as ie
from interp_emerge.circuits.known import GroundTruth, auroc, ground_truth, recovery_table, roc
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.families.handset import HandsetFamily
from interp_emerge.patching.base import EdgeScores, NodeScores
from tests.models.small_models import random_pairs, small_model

CONSTRUCTIONS = HandsetFamily().sizes
METHODS = ("acdc", "eap_ig", "exact_edges")
MISSED = ("backup", "exact_edges")
FOUND = [(name, method) for name in CONSTRUCTIONS for method in METHODS if (name, method) != MISSED]
NOTHING = 1e-3
"""In logits. A part that does nothing scores at most 1e-4, through the norms and e^-12 of attention. The weakest true
edge scores 3.3 if no backup makes up for it."""


@cache
def known(name: str) -> GroundTruth:
    return ground_truth(name, 24)


@cache
def edge_scores(name: str, method: str, **options: Any) -> EdgeScores:
    truth = known(name)
    scores = ie.score(truth.model, truth.pairs, method=method, **options)
    assert isinstance(scores, EdgeScores)
    return scores


def node_scores(name: str, method: str) -> dict[str, float]:
    truth = known(name)
    scores = ie.score(truth.model, truth.pairs, method=method)
    assert isinstance(scores, NodeScores)
    return dict(zip((node.name for node in scores.nodes), scores.scores, strict=True))


def edge_score(name: str, method: str, writer: str, reader: str, **more) -> float:
    scores = edge_scores(name, method, **more)
    return scores.scores[scores.graph.writer_names.index(writer), scores.graph.reader_names.index(reader)]


def without(truth: GroundTruth, kept: np.ndarray, *nodes: str) -> np.ndarray:
    """The edges without those that some nodes write."""
    return kept & ~np.isin(truth.model.graph.writer_names, nodes)[:, None]


@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_the_model_answers_every_clean_prompt_correctly_and_no_corrupted_one(name: str):
    truth = known(name)
    right = ie.evaluate(truth.model, truth.circuit, truth.pairs, metric="accuracy")
    assert right.clean.tolist() == right.metric.tolist() == [1] * 24
    assert right.corrupt.tolist() == [0] * 24


@pytest.mark.parametrize("name", CONSTRUCTIONS)
@pytest.mark.parametrize("ablation", ["resample", "mean_by_position"])
def test_the_true_circuit_is_faithful_on_every_pair(name: str, ablation):
    truth = known(name)
    result = ie.evaluate(truth.model, truth.circuit, truth.pairs, ablation=ablation)
    kept = (result.metric - result.corrupt) / (result.clean - result.corrupt)
    # The largest difference found is 3e-5.
    np.testing.assert_allclose(kept, 1, atol=1e-3)


@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_no_true_edge_can_be_dropped(name: str):
    truth = known(name)
    fewer = []
    for writer, reader in np.argwhere(truth.circuit.kept):
        fewer.append(truth.circuit.kept.copy())
        fewer[-1][writer, reader] = False
    left = [result.faithfulness for result in ie.Runs(truth.model, truth.pairs).evaluations(fewer)]
    assert max(left) < 0.7


@pytest.mark.parametrize(("name", "method"), FOUND)
def test_every_true_edge_is_ranked_above_all_others(name: str, method: str):
    truth, scores = known(name), edge_scores(name, method)
    assert auroc(scores, truth.circuit) >= 0.99
    assert auroc(scores, truth.circuit, level="nodes") >= 0.99
    assert scores.top(len(truth.circuit)) == truth.circuit
    others = np.abs(scores.scores[truth.model.graph.exists & ~truth.circuit.kept & ~truth.silent.kept])
    assert others.max() < NOTHING


def test_edges_that_a_backup_makes_up_for_have_no_exact_effect():
    for writer, reader in (("a0.h0", "a1.h0.k"), ("embed", "a1.h0.q")):
        assert abs(edge_score("backup", "exact_edges", writer, reader)) < NOTHING
        assert edge_score("backup", "acdc", writer, reader) > 3
    # Without the flag of the first head, both heads write the answer.
    assert edge_score("backup", "exact_edges", "a1.h0", "a2.h0.q") == pytest.approx(-10, abs=0.01)
    truth = known("backup")
    seen = edge_scores("backup", "exact_edges").top(4)
    assert ie.evaluate(truth.model, seen, truth.pairs).faithfulness < 0.01


def test_a_backup_head_is_silent_until_the_head_before_it_is_ablated():
    truth = known("backup")
    assert abs(node_scores("backup", "activation_patching")["a2.h0"]) < NOTHING
    assert abs(node_scores("backup", "ablation")["a2.h0"]) < NOTHING
    assert abs(node_scores("backup", "ablation")["a1.h0"]) < NOTHING
    heads = (["a2.h0"], ["a1.h0"], ["a1.h0", "a2.h0"])
    right = [ie.ablate(truth.model, some, truth.pairs, metric="accuracy").mean() for some in heads]
    assert right == [1, 1, 0]


def test_without_its_first_head_the_model_stays_faithful_and_the_circuit_does_not():
    truth = known("backup")
    everything = truth.model.graph.exists
    sets = [
        without(truth, everything, "a1.h0"),
        without(truth, truth.circuit.kept, "a1.h0"),
        without(truth, truth.circuit.kept | truth.silent.kept, "a1.h0"),
        without(truth, everything, "a1.h0", "a2.h0"),
    ]
    left = [result.faithfulness for result in ie.Runs(truth.model, truth.pairs).evaluations(sets)]
    assert left == pytest.approx([1, 0, 1, 0], abs=1e-3)


def test_the_gradient_at_a_saturated_softmax_sees_almost_nothing():
    exact = edge_score("induction", "exact_edges", "embed", "a1.h0.q")
    assert exact == pytest.approx(20 / 3, abs=0.01)
    assert 0 < edge_score("induction", "eap", "embed", "a1.h0.q") < 1e-3 * exact


def test_integrated_gradients_through_a_softmax_need_points_on_its_slope():
    exact = edge_score("induction", "exact_edges", "embed", "a1.h0.q")
    ratio = {steps: edge_score("induction", "eap_ig", "embed", "a1.h0.q", steps=steps) / exact for steps in (2, 5, 50)}
    assert ratio[2] < 0.05
    assert ratio[5] == pytest.approx(1.64, abs=0.05)
    assert ratio[50] == pytest.approx(1, abs=1e-3)


def test_dropping_the_gradient_through_the_only_later_layer_hides_a_head():
    scores = node_scores("induction", "atp_star")
    assert abs(scores["a0.h0"]) < 1e-12
    assert scores["a1.h0"] == pytest.approx(20, abs=0.01)


def test_direct_paths_to_the_logits_leave_out_effects_through_other_heads():
    scores = node_scores("induction", "path_patching")
    assert max(abs(scores["a0.h0"]), abs(scores["embed"])) < 1e-6
    assert scores["a1.h0"] == pytest.approx(20, abs=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_shared_keys_and_values_make_no_difference(method: str):
    apart, shared = ground_truth("induction"), ground_truth("induction_grouped")
    assert apart.pairs.fingerprint == shared.pairs.fingerprint
    effects = []
    for truth in (apart, shared):
        scores = ie.score(truth.model, truth.pairs, method=method)
        assert isinstance(scores, EdgeScores)
        effects.append(scores.scores[truth.circuit.kept])
    np.testing.assert_allclose(*effects, atol=0.01)


def scored(values: np.ndarray) -> tuple[EdgeScores, ie.Circuit]:
    """Invented scores of the first edges of a model, zero for all others; the first and the third are true."""
    model = small_model("gpt2", layers=1)
    at = np.argwhere(model.graph.exists)[: len(values)]
    scores, kept = np.zeros(model.graph.exists.shape), np.zeros_like(model.graph.exists)
    scores[tuple(at.T)] = values
    kept[tuple(at[[0, 2]].T)] = True
    circuit = ie.Circuit(graph=model.graph, kept=kept, scores=scores)
    return EdgeScores(graph=model.graph, scores=scores, standard_errors=0 * scores), circuit


def test_the_area_by_hand():
    scores, truth = scored(np.array([4.0, -3.0, 2.0, 1.0]))
    others = scores.graph.n_edges - 2
    assert auroc(scores, truth) == pytest.approx(1 - 1 / (2 * others))
    scores, truth = scored(np.array([0.0, 0.0, 0.0, 0.0]))
    assert auroc(scores, truth) == 0.5
    scores, truth = scored(np.array([-4.0, 3.0, 3.0, 0.0]))
    assert auroc(scores, truth) == pytest.approx(1 - 0.5 / (2 * others))


def test_the_area_lies_under_the_curve():
    for values in ([4.0, -3.0, 2.0, 1.0], [0.0, 2.0, 2.0, 1.0], [0.0, 0.0, 0.0, 0.0]):
        scores, truth = scored(np.array(values))
        curve = roc(scores, truth)
        ends = curve[["false_positive_rate", "true_positive_rate"]].iloc[[0, -1]]
        assert ends.to_numpy().tolist() == [[0, 0], [1, 1]]
        area = np.trapezoid(curve["true_positive_rate"], curve["false_positive_rate"])
        assert area == pytest.approx(auroc(scores, truth))


def test_scores_that_cannot_be_ranked_are_refused():
    scores, truth = scored(np.array([4.0, 3.0, 2.0, 1.0]))
    nodes = NodeScores(graph=scores.graph, per_pair=np.ones((1, len(scores.graph.writers))))
    with pytest.raises(InputError, match="scores of nodes cannot rank edges; give level='nodes'"):
        auroc(nodes, truth)
    with pytest.raises(InputError, match="none of the 23 edges that were scored are true; a ranking needs both kinds"):
        auroc(scores, replace(truth, kept=np.zeros_like(truth.kept)))
    with pytest.raises(InputError, match="scores that are not finite cannot be ranked"):
        auroc(replace(scores, scores=scores.scores + np.nan), truth)
    with pytest.raises(InputError, match="belong to graphs of different shapes"):
        auroc(scores, known("induction").circuit)
    placed = ie.score(small_model("gpt2", layers=1), random_pairs(2), method="eap", positions="all")
    with pytest.raises(InputError, match="score again without positions"):
        auroc(placed, truth)


def test_pairs_follow_the_seed_and_take_corruptions_in_turn():
    first, again, other = (ground_truth("chain", 6, seed=seed).pairs for seed in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.templates == ("first operand", "second operand") * 3
    with pytest.raises(InputError, match="2 pairs leave out a corruption of 'induction'; give at least 3"):
        ground_truth("induction", 2)
    with pytest.raises(UnknownNameError, match=r"did you mean 'backup'"):
        ground_truth("backups")


def test_the_table_has_a_row_for_each_method_and_nan_if_a_method_does_not_rank_edges():
    table = recovery_table(["duplicate_token"], ["ablation", "eap_ig", "random"], n=8)
    assert table["method"].tolist() == ["ablation", "eap_ig", "random"]
    assert (table["construction"] == "duplicate_token").all()
    by_method = table.set_index("method")
    assert np.isnan(by_method.loc["ablation", ["edge_auroc", "faithfulness"]].to_numpy(dtype=float)).all()
    assert by_method.loc["eap_ig", "edge_auroc"] == 1
    assert by_method.loc["eap_ig", "faithfulness"] == pytest.approx(1, abs=1e-3)
    assert 0.2 < by_method["edge_auroc"]["random"] < 0.8
