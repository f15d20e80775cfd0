"""The tests of circuits reject true null hypotheses at the rate that they state."""

import numpy as np
import pytest
from scipy.stats import binomtest, kstest

import interp_emerge as ie
from interp_emerge.circuits.finding.random_paths import random_connected_circuits
from interp_emerge.circuits.testing.hypotheses import (
    equivalence,
    hypothesis_tests,
    independence,
    partial_necessity,
    sufficiency,
)
from tests.models.small_models import small_model, telling_pairs


def not_more_often_than(rate: float, p_values: np.ndarray) -> bool:
    """Whether a test that keeps its rate gives this many small p-values with a chance above one in a thousand."""
    return bool(binomtest(int((p_values <= rate).sum()), len(p_values), rate, alternative="greater").pvalue > 1e-3)


@pytest.mark.calibration
@pytest.mark.parametrize("share", [0.4, 0.5, 0.55, 0.6])
def test_equivalence_rejects_true_nulls_no_more_often_than_its_level(share: float):
    rng = np.random.default_rng(1)
    better = rng.random((600, 100)) < share
    p_values = np.array([equivalence(np.where(row, 1.0, -1.0), np.zeros(100)).p_value for row in better])
    assert not_more_often_than(0.05, p_values)
    if share in (0.4, 0.6):
        # At the edge of the null the rate comes close to the level, up to the steps of the binomial.
        assert np.mean(p_values <= 0.05) > 0.02
    assert np.mean([equivalence(row, np.zeros(100)).p_value <= 0.05 for row in rng.random((50, 100)) - 0.2]) > 0.9


@pytest.mark.calibration
def test_independence_rejects_independent_draws_at_its_level():
    rng = np.random.default_rng(2)
    p_values = np.array(
        [
            independence(rng.exponential(1, 30), rng.normal(0, 1, 30), n_permutations=99, seed=seed).p_value
            for seed in range(300)
        ]
    )
    assert not_more_often_than(0.05, p_values)
    assert kstest(p_values - rng.random(300) / 100, "uniform").pvalue > 1e-3


@pytest.mark.calibration
@pytest.mark.slow
def test_random_circuits_are_called_sufficient_or_necessary_at_the_level():
    model, sets = small_model("gpt_neox", layers=2), 80
    graph, rng = model.graph, np.random.default_rng(3)
    circuits = random_connected_circuits(graph, 24, 20 * sets, seed=4)
    kept, left = (
        ie.Runs(model, telling_pairs(model, 8)).evaluations(of)
        for of in (circuits, [graph.exists & ~k for k in circuits])
    )
    clean = kept[0].clean
    inside, outside = (np.stack([run.metric for run in runs]).reshape(sets, 20, -1) for runs in (kept, left))
    # Of each twenty random circuits, the first is tested and ranked among the other nineteen.
    enough = np.array([sufficiency(runs[0], runs[1:], clean).p_value for runs in inside])
    needed = np.array([partial_necessity(runs[0], runs[1:], clean).p_value for runs in outside])
    for p_values in (enough, needed):
        assert not_more_often_than(0.05, p_values)
        assert kstest(p_values - rng.random(sets) / 20, "uniform").pvalue > 1e-3


@pytest.mark.calibration
@pytest.mark.slow
def test_edges_of_random_circuits_are_rarely_called_needed_and_never_all_at_once():
    """An edge of a random circuit is drawn nearly, but not exactly, as the edges that it is ranked among."""
    model, rng = small_model("gpt_neox", layers=2), np.random.default_rng(3)
    pairs, of_an_edge, of_all = telling_pairs(model, 8), [], []
    for seed, kept in enumerate(random_connected_circuits(model.graph, 24, 40, seed=1000)):
        circuit = ie.Circuit(graph=model.graph, kept=kept, scores=np.zeros(kept.shape))
        found = hypothesis_tests(ie.Runs(model, pairs, seed=seed), circuit, n_random=1, n_inflated=39, n_permutations=1)
        of_an_edge.append(rng.choice(found.edges["p_value"]))
        of_all.append(found.outcomes[-1].p_value)
    assert not_more_often_than(0.05, np.array(of_an_edge))
    assert min(of_all) > 0.05
