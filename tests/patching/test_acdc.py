import numpy as np
import pytest

import interp_emerge as ie
from interp_emerge.core.model import HookedModel
from interp_emerge.patching import acdc
from interp_emerge.patching.engines import circuit_run
from tests.models.small_models import FORMS, random_pairs, small_model
from tests.patching.scored import record_once, score_edges

CLOSE = 2e-5
"""Largest difference found 4e-6, on metrics up to 5."""


@pytest.fixture(scope="module")
def pairs() -> ie.PromptPairs:
    return random_pairs()


def one_by_one(model: HookedModel, pairs: ie.PromptPairs, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """The edges that are left, and the fall at every test, [pair, writer, reader], from one run for each edge."""
    graph, runs = model.graph, ie.Runs(model, pairs, record=record_once())
    left, falls = graph.exists.copy(), np.zeros((len(pairs), *graph.exists.shape))

    def value() -> np.ndarray:
        return runs.metric_of([left], 1)[0]

    current = value()
    for reader in reversed(range(len(graph.readers))):
        for writer in reversed(np.flatnonzero(graph.exists[:, reader])):
            left[writer, reader] = False
            without = value()
            falls[:, writer, reader] = current - without
            if falls[:, writer, reader].mean() < threshold:
                current = without
            else:
                left[writer, reader] = True
    return left, falls


@pytest.mark.parametrize(
    ("architecture", "threshold"), [("gpt_neox", 0.003), ("llama_grouped", 0.03), ("olmo2", -0.01)]
)
def test_several_edges_in_a_batch_score_as_one_test_at_a_time(
    architecture: str, threshold: float, pairs: ie.PromptPairs
):
    model = small_model(architecture, layers=2)
    left, falls = one_by_one(model, pairs, threshold)
    found = score_edges(model, pairs, "acdc", threshold=threshold)
    assert 10 < left.sum() < model.graph.n_edges - 10
    assert ((found.scores >= threshold)[model.graph.exists] == left[model.graph.exists]).all()
    assert found.per_pair is not None
    np.testing.assert_allclose(found.per_pair, falls[:, model.graph.exists], atol=CLOSE)


def test_how_many_edges_are_in_a_batch_changes_nothing(pairs: ie.PromptPairs, monkeypatch: pytest.MonkeyPatch):
    model = small_model("gpt2")
    found = []
    for tokens in (1, 200, 4000):
        monkeypatch.setattr(circuit_run, "BATCH_TOKENS", tokens)
        found.append(score_edges(model, pairs, "acdc", threshold=0.01))
    for other in found[1:]:
        assert (other.above(0.01).kept == found[0].above(0.01).kept).all()
        np.testing.assert_allclose(other.scores, found[0].scores, atol=CLOSE)


def test_chunks_of_pairs_are_decided_on_together(pairs: ie.PromptPairs):
    model = small_model("gemma2", layers=2)
    whole, in_parts = (score_edges(model, pairs, "acdc", budget=budget) for budget in (None, 400_000))
    assert np.abs(whole.scores).max() > 0.1
    np.testing.assert_allclose(whole.scores, in_parts.scores, atol=CLOSE)


@pytest.mark.parametrize("architecture", FORMS)
def test_where_no_edge_is_removed_the_falls_are_the_exact_effects_of_single_edges(
    architecture: str, pairs: ie.PromptPairs
):
    model = small_model(architecture)
    exact = score_edges(model, pairs, "exact_edges").scores
    found = score_edges(model, pairs, "acdc", threshold=-1000.0).scores
    assert np.abs(exact).max() > 0.08
    np.testing.assert_allclose(found, exact, atol=CLOSE)


@pytest.mark.parametrize("architecture", FORMS)
def test_the_falls_of_the_removed_edges_sum_to_what_the_circuit_lacks(architecture: str, pairs: ie.PromptPairs):
    model = small_model(architecture)
    scores = score_edges(model, pairs, "acdc", threshold=0.01)
    circuit = scores.above(0.01)
    (evaluation,) = ie.Runs(model, pairs).evaluations([circuit.kept])
    gone = model.graph.exists & (scores.scores < 0.01)
    assert gone.sum() > 20
    lacking = evaluation.clean.mean() - evaluation.metric.mean()
    assert scores.scores[gone].sum() == pytest.approx(lacking, abs=1e-4)


def test_where_every_edge_is_removed_only_those_into_the_logits_run_and_sum_to_the_gap(
    pairs: ie.PromptPairs, monkeypatch: pytest.MonkeyPatch
):
    model, rows = small_model("gpt2"), []
    run = acdc.run_circuits
    monkeypatch.setattr(acdc, "run_circuits", lambda recorded, kept: rows.append(len(kept)) or run(recorded, kept))
    scores = score_edges(model, pairs, "acdc", threshold=1000.0)
    assert sum(rows) == len(model.graph.writers)
    assert scores.above(1000.0).kept.sum() == 0
    assert not scores.scores[:, :-1].any()
    (evaluation,) = ie.Runs(model, pairs).evaluations([np.zeros_like(model.graph.exists)])
    assert scores.scores.sum() == pytest.approx((evaluation.clean - evaluation.corrupt).mean(), abs=CLOSE)


def test_with_the_divergence_as_metric_a_fall_is_its_rise(pairs: ie.PromptPairs):
    model = small_model("llama")
    scores = score_edges(model, pairs, "acdc", metric="kl")
    (evaluation,) = ie.Runs(model, pairs, metric="kl").evaluations([scores.above(acdc.Options.threshold).kept])
    assert evaluation.metric.mean() < 0
    gone = model.graph.exists & (scores.scores < acdc.Options.threshold)
    assert scores.scores[gone].sum() == pytest.approx(-evaluation.metric.mean(), abs=CLOSE)


def test_the_origin_records_the_threshold_also_where_it_was_not_given(pairs: ie.PromptPairs):
    model = small_model("gpt2")
    assert score_edges(model, pairs, "acdc").origin["threshold"] == 0.01
    assert score_edges(model, pairs, "acdc", threshold=0.5).origin["threshold"] == 0.5


def test_its_cost_is_at_most_one_pass_for_each_edge(pairs: ie.PromptPairs):
    model = small_model("gpt2")
    assert model.graph.n_edges / 3 < ie.estimate(model, pairs, method="acdc").passes - 2 < model.graph.n_edges
