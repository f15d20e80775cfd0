"""Circuits run in other models: in its own one it is plain evaluation, and without a gap nothing is defined."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

import interp_emerge as ie
from interp_emerge.circuits.finding.random_paths import random_connected_circuits
from interp_emerge.circuits.known import GroundTruth
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.emergence.sameness.transfer import COLUMNS, transfer
from tests.models.small_models import small_model, telling_pairs


@pytest.fixture(scope="module")
def truth() -> GroundTruth:
    return ie.circuits.ground_truth("induction_distractors", 12)


@pytest.fixture(scope="module")
def circuits(truth: GroundTruth) -> dict[str, ie.Circuit]:
    """The circuit, its complement, and a distractor with edges of the same shape."""
    edges = [("embed", "a0.h1.v"), ("a0.h1", "a1.h1.k"), ("embed", "a1.h1.q"), ("embed", "a1.h1.v")]
    distractor = ie.Circuit.from_edges(truth.model, [*edges, ("a1.h1", "logits")])
    return {"true": truth.circuit, "complement": truth.circuit.complement(), "distractor": distractor}


def cell(frame: pd.DataFrame, circuit: str, model: str) -> pd.Series:
    (row,) = frame[(frame["circuit"] == circuit) & (frame["model"] == model)].to_dict("records")
    return pd.Series(row)


def test_a_circuit_in_its_own_model_is_its_own_evaluation(truth: GroundTruth, circuits: dict[str, ie.Circuit]):
    found = transfer(circuits, [("own", truth.model)], truth.pairs, n_random=1)
    assert [*found] == [*COLUMNS]
    for label, circuit in circuits.items():
        row, expected = cell(found, label, "own"), ie.evaluate(truth.model, circuit, truth.pairs)
        assert row["faithfulness"] == pytest.approx(expected.faithfulness)
        assert (row["ci_low"], row["ci_high"]) == pytest.approx(expected.ci)
        assert row["accuracy"] == pytest.approx(expected.accuracy.value)
        assert row["n_edges"] == len(circuit)
        assert row["model_accuracy"] == 1


def test_one_model_is_labelled_with_its_spec_and_without_random_circuits_their_columns_are_empty(
    truth: GroundTruth, circuits: dict[str, ie.Circuit]
):
    alone = transfer(circuits, truth.model, truth.pairs, n_random=0)
    assert [*alone] == [*COLUMNS] and {*alone["model"]} == {str(truth.model.spec)}
    assert {*alone["metric"]} == {"logit_diff"} and {*alone["ablation"]} == {"resample"}
    assert alone[["random_median", "random_p95", "p_value"]].isna().all(axis=None)
    labelled = transfer(circuits, [("own", truth.model)], lambda model: truth.pairs, n_random=2)
    drop = ["model", "random_median", "random_p95", "p_value"]
    pd.testing.assert_frame_equal(alone.drop(columns=drop), labelled.drop(columns=drop))
    assert labelled["p_value"].between(1 / 3, 1).all() and labelled["random_p95"].dtype == float


def test_the_true_circuit_keeps_all_and_beats_random_ones_of_its_size(
    truth: GroundTruth, circuits: dict[str, ie.Circuit]
):
    alike = {label: circuits[label] for label in ("true", "distractor")}
    found = transfer(alike, [("own", truth.model)], lambda model: truth.pairs)
    row = cell(found, "true", "own")
    assert row["faithfulness"] == pytest.approx(1, abs=1e-4)
    assert row["random_median"] == pytest.approx(0, abs=1e-3)
    assert row["p_value"] == pytest.approx(1 / 21)
    distractor = cell(found, "distractor", "own")
    assert distractor["faithfulness"] == pytest.approx(0, abs=1e-3)
    assert (distractor["random_median"], distractor["random_p95"]) == (row["random_median"], row["random_p95"])


@pytest.mark.calibration
def test_p_values_of_random_connected_circuits_are_uniform():
    model = small_model("gpt2")
    pairs, p_values = telling_pairs(model, 8), []
    for seed in range(12):
        # Circuits that are compared with the same random ones have dependent p-values, so few of them share a draw.
        drawn = random_connected_circuits(model.graph, 30, 5, seed=1000 + seed)
        circuits = {
            f"{i}": ie.Circuit(graph=model.graph, kept=kept, scores=np.zeros(kept.shape))
            for i, kept in enumerate(drawn)
        }
        found = transfer(circuits, [("own", model)], lambda model: pairs, n_random=19, seed=seed)
        assert found["faithfulness"].nunique() == 5
        p_values += [*found["p_value"]]
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_the_order_of_models_and_circuits_changes_no_number(truth: GroundTruth, circuits: dict[str, ie.Circuit]):
    drawn = ie.load_family("handset").load("induction_distractors", 0)
    models = [("set", truth.model), ("drawn", drawn)]
    first = transfer(circuits, models, lambda model: truth.pairs, n_random=3)
    turned = transfer(dict(reversed([*circuits.items()])), models[::-1], lambda model: truth.pairs, n_random=3)
    by = ["circuit", "model"]
    left, right = (frame.sort_values(by, ignore_index=True) for frame in (first, turned))
    pd.testing.assert_frame_equal(left, right)


def test_in_a_model_without_a_gap_faithfulness_is_undefined(truth: GroundTruth):
    same = replace(truth.pairs, corrupt=truth.pairs.clean)
    row = cell(transfer({"true": truth.circuit}, [("own", truth.model)], same), "true", "own")
    assert np.isnan([row["faithfulness"], row["ci_low"], row["ci_high"], row["random_p95"], row["p_value"]]).all()
    assert row["accuracy"] == 1
    assert row["note"] == "undefined: the clean-corrupt gap of 0 is within noise"


def test_in_a_graph_of_another_shape_faithfulness_is_undefined(truth: GroundTruth):
    larger = ie.circuits.ground_truth("backup", 12)
    labelled = {"small": truth.circuit, "large": larger.circuit}
    of = {truth.model.graph: truth.pairs, larger.model.graph: larger.pairs}
    found = transfer(
        labelled, [("small", truth.model), ("large", larger.model)], lambda model: of[model.graph], n_random=2
    )
    assert found["faithfulness"].isna().tolist() == [False, True, True, False]
    assert cell(found, "small", "large")["note"] == "undefined: the circuit belongs to a graph of another shape"
    assert cell(found, "small", "small")["note"] == ""


def test_templates_are_measured_separately(truth: GroundTruth):
    truth = ie.circuits.ground_truth("induction", 3 * len(truth.pairs))
    without_previous = truth.circuit.without(["a0.h0"])
    found = transfer(
        {"half": without_previous}, [("own", truth.model)], lambda model: truth.pairs, by_template=True, n_random=2
    )
    kept = found.set_index("template")["faithfulness"]
    assert kept.to_dict() == pytest.approx({"key": 0, "query": 1, "value": 1}, abs=1e-3)
    unnamed = replace(truth.pairs, templates=())
    with pytest.raises(InputError, match="the pairs name no templates; give"):
        transfer({"half": without_previous}, [("own", truth.model)], lambda model: unnamed, by_template=True)


def test_models_that_are_loaded_on_the_way_are_held_one_at_a_time(truth: GroundTruth):
    held: list[weakref.ref] = []

    def load() -> HookedModel:
        gc.collect()
        assert not any(reference() for reference in held)
        model = ie.load_family("handset").load("induction_distractors")
        held.append(weakref.ref(model))
        return model

    transfer({"true": truth.circuit}, [(f"{i}", load) for i in range(3)], lambda model: truth.pairs, n_random=1)
    assert len(held) == 3


def test_what_cannot_be_compared_is_refused(truth: GroundTruth):
    own = [("own", truth.model)]
    with pytest.raises(InputError, match="no circuit was given; give at least one with its label"):
        transfer({}, own, lambda model: truth.pairs)
    with pytest.raises(InputError, match="no model was given; give at least one as"):
        transfer({"true": truth.circuit}, [], lambda model: truth.pairs)
    with pytest.raises(InputError, match="two models are labelled 'own'; give each a label of its own"):
        transfer({"true": truth.circuit}, own * 2, lambda model: truth.pairs, n_random=1)
    with pytest.raises(InputError, match=r"n_random=-1: give the number of random circuits .* 0 for none"):
        transfer({"true": truth.circuit}, own, truth.pairs, n_random=-1)
    other = ie.Circuit.from_edges(small_model("gpt2"), [("embed", "logits")])
    (note,) = transfer({"other": other}, own, lambda model: truth.pairs)["note"]
    assert note.endswith("graph of another shape")
