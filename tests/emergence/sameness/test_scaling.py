"""Measures of circuits over sizes: counts by hand, exact p-values, and verdicts of few sizes."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from interp_emerge.core.circuit import Circuit
from interp_emerge.core.errors import InputError
from interp_emerge.core.graph import Graph
from interp_emerge.emergence.sameness.matching import HeadFeatures
from interp_emerge.emergence.sameness.scaling import (
    UNITS,
    ScalingVerdict,
    SizedCircuit,
    circuit_scaling,
    scaling_trends,
)

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, parallel=False)
EDGES = [("embed", "a0.h0.v"), ("a0.h0", "a1.h1.k"), ("embed", "a1.h1.v"), ("a1.h1", "m1"), ("m1", "logits")]


def sized(*, features: bool = True) -> SizedCircuit:
    kept = GRAPH.edge_matrix(EDGES)
    strength = np.array([[0.9, 0.0], [0.8, 0.0], [0.0, 0.1], [0.0, 0.7]])
    return SizedCircuit(
        size="14k",
        seed=1,
        n_parameters=14_000,
        circuit=Circuit(graph=GRAPH, kept=kept, scores=np.zeros(kept.shape)),
        features=HeadFeatures(graph=GRAPH, roles=("previous_token", "induction"), strength=strength)
        if features
        else None,
    )


def series(values: dict[int, list[float]]) -> pd.DataFrame:
    rows = [(n, "edge_share", "all", value) for n, seeds in values.items() for value in seeds]
    return pd.DataFrame(rows, columns=["n_parameters", "quantity", "role", "value"])


def trend(values: dict[int, list[float]]) -> pd.Series:
    return scaling_trends(series(values)).iloc[0]


def test_the_measures_are_counted_by_hand():
    frame = circuit_scaling([sized()])
    assert [*frame.columns] == ["size", "seed", "n_parameters", "quantity", "role", "value", "unit"]
    found = frame.set_index(["quantity", "role"])["value"]
    assert found["n_edges", "all"] == 5 and found["edge_share", "all"] == 5 / GRAPH.n_edges
    assert found["n_nodes", "all"] == 3 and found["node_share", "all"] == 0.5
    assert found["n_heads", "all"] == 2 and found["head_share", "all"] == 0.5
    # a0.h1 has the role too, but is not in the circuit.
    assert found["n_heads", "previous_token"] == found["n_heads", "induction"] == 1
    assert (found["depth", "previous_token"], found["depth", "induction"]) == (0.25, 0.75)
    assert found["n_heads", "no role"] == 0 and np.isnan(found["depth", "no role"])
    assert set(frame["unit"]) == set(UNITS.values())
    assert set(circuit_scaling([sized(features=False)])["role"]) == {"all"}


def test_a_perfect_order_of_five_sizes_rises_with_the_exact_p_value():
    found = trend({n: [float(n) ** 0.5] for n in (3, 5, 7, 14, 25)})
    assert (found["rho"], found["p_value"], found["least_p"]) == (pytest.approx(1), 2 / 120, 2 / 120)
    assert found["verdict"] == ScalingVerdict.RISES and found["reason"] == ""
    assert trend({n: [-float(n)] for n in (3, 5, 7, 14, 25)})["verdict"] == ScalingVerdict.FALLS


def test_the_correlation_is_spearmans_of_the_means_over_seeds():
    values = {3: [1.0, 5.0], 5: [2.0], 7: [9.0, 1.0, 2.0], 14: [3.5], 25: [0.5]}
    found = trend(values)
    expected: Any = spearmanr([*values], [np.mean(seeds) for seeds in values.values()])
    assert found["rho"] == pytest.approx(expected.statistic)
    assert -1 <= found["ci_low"] <= found["rho"] <= found["ci_high"] <= 1
    assert found["verdict"] == ScalingVerdict.NO_TREND


def test_with_few_sizes_the_verdict_says_why_there_is_none():
    two = trend({3: [1.0], 5: [2.0]})
    assert (two["verdict"], two["reason"]) == (ScalingVerdict.UNDEFINED, "2 sizes, and at least 3 are needed")
    assert trend({3: [1.0], 5: [np.nan], 7: [2.0]})["n_sizes"] == 2
    three = trend({3: [1.0], 5: [2.0], 7: [3.0]})
    assert three["verdict"] == ScalingVerdict.CANNOT_BE_TOLD and "p = 0.33" in three["reason"]
    assert three["p_value"] == pytest.approx(1 / 3)
    constant = trend({3: [1.0], 5: [1.0], 7: [1.0]})
    assert constant["verdict"] == ScalingVerdict.UNDEFINED and "same at every size" in constant["reason"]


@pytest.mark.calibration
def test_many_sizes_are_permuted_at_random_and_keep_the_level():
    rng = np.random.default_rng(0)
    p_values = np.array([trend({n: [rng.normal()] for n in range(5)})["p_value"] for _ in range(100)])
    assert (p_values <= 0.05).mean() <= 0.12
    many = trend({n: [float(n)] for n in range(12)})
    assert many["p_value"] == many["least_p"] and many["verdict"] == ScalingVerdict.RISES


def test_circuits_and_features_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="no circuit was given; give one"):
        circuit_scaling([])
    larger = Graph(n_layers=3, n_heads=2, n_kv_heads=2, parallel=False)
    features = HeadFeatures(graph=larger, roles=(), strength=np.zeros((6, 0)))
    with pytest.raises(InputError, match="features given for 14k belong to a graph of another shape"):
        SizedCircuit(size="14k", seed=0, n_parameters=1, circuit=sized().circuit, features=features)
