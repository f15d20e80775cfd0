"""Circuits carried into other models: nothing changes in its own one, planted heads are found, wrong ones fail."""

import gc
import weakref
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import interp_emerge as ie
from interp_emerge.circuits.known import GroundTruth
from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph
from interp_emerge.core.model import HookedModel
from interp_emerge.emergence.sameness.matching import HeadFeatures, Match, head_features, match_heads
from interp_emerge.emergence.sameness.transfer_by_match import COLUMNS, _exchanged, _renamed, transfer_by_match
from interp_emerge.patching.base import EdgeScores

MOVED = [[1, 2, 0], [2, 0, 1]]
"""For each layer, which head of the model with 14k parameters stands at each place once its heads are moved."""
ROLES = ("previous_token", "induction")


def load(size: str, seed: int = 0) -> HookedModel:
    return ie.load_family("miniature").load(size, "last", seed)


def held_out(model: HookedModel) -> ie.PromptPairs:
    return ie.load_ability("induction").sample(model, 32, 2000)


def with_heads_moved(model: HookedModel) -> HookedModel:
    """The same function of its input, its heads under other names."""
    hf = deepcopy(model.hf)
    with torch.no_grad():
        for layer, order in zip(hf.gpt_neox.layers, MOVED, strict=True):
            attention, n = layer.attention, len(order)
            for weight in (attention.query_key_value.weight, attention.query_key_value.bias):
                weight.copy_(weight.reshape(n, -1, *weight.shape[1:])[order].reshape(weight.shape))
            out = attention.dense.weight
            out.copy_(out.reshape(len(out), n, -1)[:, order].reshape(out.shape))
    return ie.hook(hf, tokenizer=model.tokenizer, prepend_bos=model.bos)


@pytest.fixture(scope="module")
def models() -> dict[str, HookedModel]:
    """Two sizes, another seed of one of them, a model without the ability, and one with its heads exchanged."""
    found = {"none": load("5k"), "small": load("7k"), "large": load("14k"), "seed": load("14k", 2)}
    return found | {"moved": with_heads_moved(found["large"])}


@pytest.fixture(scope="module")
def circuits(models: dict[str, HookedModel]) -> dict[str, Circuit]:
    labels = ("none", "small", "large", "seed")
    pairs = {label: ie.load_ability("induction").sample(models[label], 32, 1000) for label in labels}
    return {label: ie.find_circuit(ie.Runs(models[label], pairs[label]), n_edges=3).circuit for label in labels}


@pytest.fixture(scope="module")
def features(models: dict[str, HookedModel]) -> dict[str, HeadFeatures]:
    found = {}
    for label, model in models.items():
        scores = ie.score(model, ie.load_ability("induction").sample(model, 32, 1000), method="eap_ig")
        assert isinstance(scores, EdgeScores)
        found[label] = head_features(model, scores)
    return found


@pytest.fixture(scope="module")
def truth() -> GroundTruth:
    return ie.circuits.ground_truth("induction_distractors", 12)


def described(graph: Graph, *, induction: float = 0.9) -> HeadFeatures:
    """Two previous-token heads in the first layer, and one induction head in the second one."""
    strength = np.zeros((graph.n_layers * graph.n_heads, 2))
    strength[[0, 1], 0], strength[graph.n_heads, 1] = (0.9, 0.5), induction
    return HeadFeatures(graph=graph, roles=ROLES, strength=strength)


def cell(frame: pd.DataFrame, source: str, to: str, way: str) -> dict[str, Any]:
    (row,) = frame[(frame["from"] == source) & (frame["to"] == to) & (frame["way"] == way)].to_dict("records")
    return {str(column): value for column, value in row.items()}


def test_a_circuit_carried_to_its_own_model_keeps_what_it_keeps(
    models: dict[str, HookedModel], circuits: dict[str, Circuit], features: dict[str, HeadFeatures]
):
    found = transfer_by_match(circuits, features, [("large", models["large"])], held_out, n_random=3)
    assert [*found] == [*COLUMNS] and len(found) == 1 + 2 * len(circuits)
    expected = ie.evaluate(models["large"], circuits["large"], held_out(models["large"]))
    for way in ("own", "matched heads"):
        row = cell(found, "large", "large", way)
        assert row["faithfulness"] == pytest.approx(expected.faithfulness, abs=1e-5)
        assert (row["ci_low"], row["ci_high"]) == pytest.approx(expected.ci, abs=1e-5)
        assert (row["n_edges"], row["share"]) == (3, 3 / models["large"].graph.n_edges)
        assert (row["unmatched"], row["ambiguous"], row["note"]) == (0, 0, "")


def test_heads_that_are_exchanged_are_found_and_a_wrong_match_keeps_nothing(
    models: dict[str, HookedModel], circuits: dict[str, Circuit], features: dict[str, HeadFeatures]
):
    large, moved = {"large": circuits["large"]}, [("moved", models["moved"])]
    found = transfer_by_match(large, features, moved, held_out)
    own = ie.evaluate(models["large"], circuits["large"], held_out(models["large"])).faithfulness
    row = cell(found, "large", "moved", "matched heads")
    assert own > 0.9 and row["faithfulness"] == pytest.approx(own, abs=1e-5)
    assert row["renamed_median"] < 0.1 and row["p_value"] == pytest.approx(1 / 21)

    def wrong(a: HeadFeatures, b: HeadFeatures) -> Match:
        right = match_heads(a, b)
        turned = right.partner.reshape(2, 3)[:, [1, 2, 0]].reshape(-1)
        return replace(right, partner=turned)

    lost = cell(transfer_by_match(large, features, moved, held_out, match=wrong), "large", "moved", "matched heads")
    assert lost["n_edges"] == row["n_edges"] and lost["faithfulness"] == pytest.approx(0, abs=0.05)
    assert lost["renamed_p_value"] > 0.2


def test_a_circuit_of_another_seed_fails_by_head_names_and_works_by_match(
    models: dict[str, HookedModel], circuits: dict[str, Circuit], features: dict[str, HeadFeatures]
):
    by_name = ie.evaluate(models["seed"], circuits["large"], held_out(models["seed"])).faithfulness
    found = transfer_by_match(circuits, features, [("seed", models["seed"])], held_out, n_random=3)
    assert by_name == pytest.approx(0, abs=0.05)
    for source in ("small", "large"):
        for way in ("matched heads", "roles"):
            assert cell(found, source, "seed", way)["faithfulness"] > 0.9


def test_roles_take_every_edge_of_the_circuits_classes_and_leave_heads_without_a_role(truth: GroundTruth):
    graph = truth.model.graph
    features = {"a": described(graph), "b": described(graph)}
    found = transfer_by_match({"a": truth.circuit}, features, [("b", truth.model)], lambda model: truth.pairs)
    row = cell(found, "a", "b", "roles")
    # Both previous-token heads stand in for the one of the circuit: its value and its edge to the key are two each.
    assert (row["n_edges"], row["unmatched"]) == (7, 0) and np.isnan(row["ambiguous"])
    assert row["faithfulness"] == pytest.approx(1, abs=1e-4) and row["p_value"] == pytest.approx(1 / 21)
    features["b"] = described(graph, induction=0)
    row = cell(
        transfer_by_match({"a": truth.circuit}, features, [("b", truth.model)], lambda model: truth.pairs),
        "a", "b", "roles",
    )  # fmt: skip
    assert (row["n_edges"], row["unmatched"], row["faithfulness"]) == (2, pytest.approx(4 / 5), 0)
    assert row["note"] == "nothing is kept: no path from the embedding to the logits was carried over"
    features["a"] = described(graph, induction=0)
    row = cell(
        transfer_by_match({"a": truth.circuit}, features, [("b", truth.model)], lambda model: truth.pairs),
        "a", "b", "roles",
    )  # fmt: skip
    assert (row["n_edges"], row["unmatched"]) == (2, pytest.approx(4 / 5))


def test_shares_without_a_partner_and_with_several_candidates_are_in_the_table(truth: GroundTruth):
    graph = truth.model.graph
    features = {"a": described(graph), "b": described(graph, induction=0)}

    def strict(a: HeadFeatures, b: HeadFeatures) -> Match:
        return match_heads(a, b, most=0.05)

    frame = transfer_by_match(
        {"a": truth.circuit}, features, [("b", truth.model)], lambda model: truth.pairs, match=strict
    )
    row = cell(frame, "a", "b", "matched heads")
    assert (row["n_edges"], row["unmatched"], row["ambiguous"]) == (1, pytest.approx(4 / 5), 0)
    alike = HeadFeatures(graph=graph, roles=ROLES, strength=np.ones((8, 2)))
    frame = transfer_by_match(
        {"a": truth.circuit}, {"a": alike, "b": alike}, [("b", truth.model)], lambda model: truth.pairs, n_random=2
    )
    assert cell(frame, "a", "b", "matched heads")["ambiguous"] == 1


def test_in_a_model_without_a_gap_all_is_undefined(
    models: dict[str, HookedModel], circuits: dict[str, Circuit], features: dict[str, HeadFeatures]
):
    found = transfer_by_match(circuits, features, [("none", models["none"])], held_out)
    numbers = ["faithfulness", "ci_low", "ci_high", "random_p95", "p_value", "renamed_p95", "renamed_p_value"]
    assert len(found) == 1 + 2 * len(circuits) and found[numbers].isna().all(axis=None)
    assert found["note"].str.fullmatch(r"undefined: the clean-corrupt gap of -?[\d.e-]+ is within noise").all()


def test_a_model_without_a_circuit_is_a_place_to_carry_others_to(
    models: dict[str, HookedModel], circuits: dict[str, Circuit], features: dict[str, HeadFeatures]
):
    empty = {"large": circuits["large"].with_kept(np.zeros_like(circuits["large"].kept))}
    for given in ({}, empty):
        labelled = {"small": circuits["small"], **given}
        found = transfer_by_match(labelled, features, [("large", models["large"])], held_out, n_random=2)
        own = cell(found, "large", "large", "own")
        assert own["note"] == "undefined: the model has no circuit of its own" and np.isnan(own["faithfulness"])
        assert set(found["from"]) == {"small", "large"} and len(found) == 3
        assert cell(found, "small", "large", "matched heads")["faithfulness"] > 0.9


def test_the_order_of_circuits_and_models_and_the_budget_change_no_number(
    models: dict[str, HookedModel], circuits: dict[str, Circuit], features: dict[str, HeadFeatures]
):
    places = [(label, models[label]) for label in ("small", "seed")]
    first = transfer_by_match(circuits, features, places, held_out, n_random=4)
    turned = transfer_by_match(
        dict(reversed([*circuits.items()])), features, places[::-1], held_out, n_random=4, budget=4_000_000
    )
    by = ["from", "to", "way"]
    left, right = (frame.sort_values(by, ignore_index=True) for frame in (first, turned))
    pd.testing.assert_frame_equal(left, right, rtol=1e-5, atol=1e-5)
    other = transfer_by_match(circuits, features, places, held_out, n_random=4, seed=1)
    np.testing.assert_allclose(other["faithfulness"], first["faithfulness"], atol=1e-5)
    assert not np.allclose(other["random_p95"], first["random_p95"])


@pytest.mark.parametrize("n_kv_heads", [6, 3, 1])
def test_exchanged_heads_keep_their_layers_their_edges_and_their_shared_keys(n_kv_heads: int):
    graph = Graph(n_layers=3, n_heads=6, n_kv_heads=n_kv_heads, parallel=False)
    kept = np.random.default_rng(0).random(graph.exists.shape) < 0.3 * graph.exists
    drawn = [*_renamed(kept, graph, 10, seed=0)]
    for renamed, again in zip(drawn, _renamed(kept, graph, 10, seed=0), strict=True):
        assert (renamed == again).all() and renamed.sum() == kept.sum() == (renamed & graph.exists).sum()
        assert graph.prune(renamed).sum() == graph.prune(kept).sum()
    assert len({renamed.tobytes() for renamed in drawn}) == 10
    turn = np.roll(np.arange(6), 6 // n_kv_heads)
    groups = np.roll(np.arange(n_kv_heads), 1)
    orders = {"head": [turn] * 3, "q": [turn] * 3, "k": [groups] * 3, "v": [groups] * 3}
    writers, readers = (_exchanged(nodes, orders) for nodes in (graph.writers, graph.readers))
    assert (graph.owner[np.ix_(readers, writers)] == graph.owner).all()
    assert (graph.exists[np.ix_(writers, readers)] == graph.exists).all()


def test_models_that_are_loaded_on_the_way_are_held_one_at_a_time(
    circuits: dict[str, Circuit], features: dict[str, HeadFeatures]
):
    held: list[weakref.ref] = []

    def loader(label: str, size: str) -> tuple[str, Callable[[], HookedModel]]:
        def loaded() -> HookedModel:
            gc.collect()
            assert not any(reference() for reference in held)
            model = load(size)
            held.append(weakref.ref(model))
            return model

        return label, loaded

    transfer_by_match(circuits, features, [loader("small", "7k"), loader("large", "14k")], held_out, n_random=1)
    assert len(held) == 2


def test_what_cannot_be_carried_is_refused(truth: GroundTruth):
    features, own = {"own": described(truth.model.graph)}, [("own", truth.model)]
    circuit = {"own": truth.circuit}

    def pairs(model: HookedModel) -> ie.PromptPairs:
        return truth.pairs

    with pytest.raises(InputError, match="no circuit with an edge was given; give at least one"):
        transfer_by_match({}, features, own, pairs)
    with pytest.raises(InputError, match="no model was given; give at least one as"):
        transfer_by_match(circuit, features, [], pairs)
    with pytest.raises(InputError, match="two models are labelled 'own'; give each a label of its own"):
        transfer_by_match(circuit, features, own * 2, pairs, n_random=1)
    with pytest.raises(InputError, match="n_random=0: give at least one random circuit"):
        transfer_by_match(circuit, features, own, pairs, n_random=0)
    with pytest.raises(InputError, match="no features were given for 'own'; give head_features of that model"):
        transfer_by_match(circuit, {}, own, pairs)
    with pytest.raises(InputError, match="no features were given for 'other'; give head_features"):
        transfer_by_match(circuit, features, [("other", truth.model)], pairs)
    small = described(Graph(n_layers=2, n_heads=2, n_kv_heads=2, parallel=False))
    with pytest.raises(
        InputError, match="features given for 'own' belong to a graph of another shape than its circuit"
    ):
        transfer_by_match(circuit, {"own": small}, own, pairs)
    with pytest.raises(InputError, match=r"features given for 'b' belong to a graph of another shape than handset"):
        transfer_by_match(circuit, features | {"b": small}, [("b", truth.model)], pairs)
