"""While the runs of some pairs are held, they are made once, and circuits have the values that they have otherwise."""

import numpy as np
import pytest
import torch

import interp_emerge as ie
from interp_emerge.circuits.running.evaluation import random_circuits
from interp_emerge.circuits.running.prepared import what_fits
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.ablation import Ablation
from tests.models.small_models import build, random_pairs, small_model


@pytest.fixture(scope="module")
def model() -> HookedModel:
    return small_model("llama_grouped")


class Recorder:
    """Records and counts."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self, model: HookedModel, tokens: torch.Tensor):
        self.n += 1
        return ie.record(model, tokens)


@pytest.mark.parametrize("ablation", ["resample", "zero"])
def test_calls_share_the_recorded_runs_while_they_are_held(model: HookedModel, ablation: Ablation):
    record, pairs = Recorder(), random_pairs(3, length=7) + random_pairs(2, length=5)
    runs = ie.Runs(model, pairs, ablation=ablation, record=record)
    circuits = random_circuits(model.graph, model.graph.n_edges // 2, 3)

    def values() -> np.ndarray:
        found = runs.evaluate(ie.Circuit(graph=model.graph, kept=circuits[0], scores=circuits[0].astype(float)))
        return np.stack([*(runs.metric_of([one], 1)[0] for one in circuits), found.metric, found.kl])

    apart = values()
    assert record.n == 4 * 4  # clean and corrupted prompts of two lengths, in each of four calls
    record.n = 0
    with runs.held():
        with runs.held():
            values()
        np.testing.assert_array_equal(values(), apart)
    assert record.n == 4
    values()
    assert record.n == 4 + 16


def test_what_does_not_fit_half_of_the_budget_is_not_held(model: HookedModel):
    record, pairs = Recorder(), random_pairs(4)
    fits = {budget: what_fits(model, {7: 4}, budget=budget) for budget in (1 << 22, 1 << 10)}
    assert fits == {1 << 22: (True, True), 1 << 10: (False, False)}
    (circuit,) = random_circuits(model.graph, model.graph.n_edges // 2, 1)
    runs = ie.Runs(model, pairs, budget=1 << 19, record=record)
    large = ie.Runs(model, pairs, record=record)
    with runs.held(), large.held():
        np.testing.assert_allclose(runs.metric_of([circuit], 1), large.metric_of([circuit], 1), atol=2e-5)


def test_weights_that_change_afterwards_are_noticed(model: HookedModel):
    runs, scale = ie.Runs(model, random_pairs(3)), 1.5
    (circuit,) = random_circuits(model.graph, model.graph.n_edges // 2, 1)
    with runs.held():
        before = runs.metric_of([circuit], 1)
    weight = next(model.hf.parameters())
    try:
        weight.data.mul_(scale)
        assert np.abs(runs.metric_of([circuit], 1) - before).max() > 1e-3
    finally:
        weight.data.div_(scale)


def test_what_the_model_was_is_not_remembered_when_its_weights_change() -> None:
    model, pairs = ie.hook(build("gpt_neox")), random_pairs(4, length=6)
    runs = ie.Runs(model, pairs)
    before = runs.gap
    with torch.no_grad():
        for weights in model.hf.parameters():
            weights.mul_(0.7)
    assert not np.allclose(runs.gap, before)
    np.testing.assert_array_equal(runs.gap, ie.Runs(model, pairs).gap)


def test_a_model_that_changes_while_its_runs_are_held_is_refused() -> None:
    model, pairs = ie.hook(build("gpt_neox")), random_pairs(4, length=6)
    runs, whole = ie.Runs(model, pairs), np.ones_like(model.graph.exists)
    with runs.held():
        runs.evaluations([whole])
        with torch.no_grad():
            next(iter(model.hf.parameters())).mul_(0.7)
        with pytest.raises(InputError, match="was changed while its runs were held"):
            runs.evaluations([whole])


@pytest.mark.parametrize("name", ["model", "pairs", "metric", "ablation", "seed", "budget", "record"])
def test_arguments_of_runs_cannot_be_set_and_results_not_be_written_into(model: HookedModel, name: str) -> None:
    runs = ie.Runs(model, random_pairs(2, length=5))
    with pytest.raises(InputError, match=f"runs keep their {name}"):
        setattr(runs, name, getattr(runs, name))
    with pytest.raises(ValueError, match="read-only"):
        runs.whole.clean[:] = 0
