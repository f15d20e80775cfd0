from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import interp_emerge as ie
from interp_emerge.abilities.metrics import bind_metric
from interp_emerge.caching.recording import record
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.patching.base import PatchingTask
from interp_emerge.patching.engines.options import NoOptions
from interp_emerge.patching.engines.resuming import BatchLimits, Change, Readout, UnfoldedRun, resume
from tests.models.small_models import FORMS, random_pairs, small_model


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def run_of(architecture: str) -> UnfoldedRun:
    model = small_model(architecture)
    return UnfoldedRun(model=model, recording=record(model, random_pairs().corrupt))


def from_the_start(model: HookedModel, layer: int, stream: Tensor) -> Tensor:
    """The last stream after all blocks, every position of every block computed."""
    for block in model.decoder.blocks[layer:]:
        attended = stream + block.attention_writes(block.attention.mix(*block.project(block.attention_norm(stream))))
        stream = attended + block.mlp_writes(stream if block.parallel else attended)
    return stream[:, -1]


def changed(run: UnfoldedRun, layer: int, rows: list[int], start: int, stop: int) -> tuple[Change, Tensor]:
    """A change of some positions of some rows, and the whole changed streams."""
    stream = run.before[layer][rows].clone()
    stream[:, start:stop] += torch.randn(stream[:, start:stop].shape)
    return Change(layer=layer, rows=torch.tensor(rows), start=start, stream=stream[:, start:stop]), stream


@pytest.mark.parametrize("architecture", FORMS)
def test_changes_at_different_layers_and_positions_end_where_a_whole_run_ends(architecture: str):
    run = run_of(architecture)
    spans = [(0, [0, 1, 5], 0, 7), (0, [2], 3, 4), (1, [2, 2, 4], 2, 7), (2, [0], 5, 6), (2, [3, 1], 6, 7)]
    both = [changed(run, *span) for span in spans]
    ended = resume(run, [change for change, _ in both])
    for (layer, rows, *_), (_, stream), found in zip(spans, both, ended, strict=True):
        expected = from_the_start(run.model, layer, stream)
        assert (expected - run.before[-1][rows, -1]).abs().max() > 2e-3
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_change_behind_the_last_block_is_read_at_the_last_position():
    run = run_of("gpt2")
    (at_end, stream), (before_end, _) = changed(run, 3, [0, 2], 4, 7), changed(run, 3, [0, 2], 4, 6)
    found = resume(run, [at_end, before_end])
    torch.testing.assert_close(found[0], stream[:, -1])
    torch.testing.assert_close(found[1], run.before[-1][[0, 2], -1])


@pytest.mark.parametrize("architecture", FORMS)
def test_a_run_unfolds_to_the_streams_that_it_had(architecture: str):
    run = run_of(architecture)
    logits = run.model.decoder.logits(run.before[-1][:, -1])
    torch.testing.assert_close(logits, run.model.logits(random_pairs().corrupt), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("metric", ["logit_diff", "brier", "prob_diff", "log_prob", "kl", "accuracy"])
@pytest.mark.parametrize("architecture", FORMS)
def test_rises_are_those_of_the_metric_on_all_logits(architecture: str, metric: str):
    run, pairs = run_of(architecture), random_pairs()
    bound = bind_metric(metric, run.model, pairs)
    readout = Readout(run, bound, budget=1)
    patched = run.before[-1][:, -1] + torch.randn(6, 24)
    found = readout.rises(
        3, torch.tensor([0] * 6 + [2]), torch.tensor([0, 1, 2, 3, 4, 5, 4]), torch.cat([patched, patched[4:5]])
    )
    expected = bound(run.model.decoder.logits(patched)) - bound(run.model.logits(random_pairs().corrupt))
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    np.testing.assert_allclose(found[2, 4], expected[4], atol=1e-5)
    assert not found[1].any()
    assert not found[2][[0, 1, 2, 3, 5]].any()


def test_a_function_of_ones_own_by_the_name_of_a_metric_reads_all_logits():
    def logit_diff(logits: Tensor, pairs: ie.PromptPairs) -> Tensor:
        return logits[:, -1]

    run = run_of("gpt2")
    readout = Readout(run, bind_metric(logit_diff, run.model, random_pairs()), budget=1 << 20)
    patched = run.before[-1][:, -1] + 1.0
    found = readout.rises(1, torch.zeros(6, dtype=torch.int64), torch.arange(6), patched)
    expected = (run.model.decoder.logits(patched) - run.model.logits(random_pairs().corrupt))[:, -1]
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_batches_grow_with_the_budget_and_a_budget_below_one_pair_is_refused():
    model, pairs = small_model("gpt2"), random_pairs()
    task = PatchingTask(model=model, pairs=pairs, metric=bind_metric("logit_diff", model, pairs), options=NoOptions())
    small, large = (BatchLimits.of(replace(task, budget=budget)) for budget in (300_000, 3_000_000))
    assert small.pairs < large.pairs == 6
    assert small.tokens < large.tokens
    assert small.bytes <= 300_000
    with pytest.raises(InputError, match=r"one pair needs about .* but only 1 bytes are allowed"):
        BatchLimits.of(replace(task, budget=1))
