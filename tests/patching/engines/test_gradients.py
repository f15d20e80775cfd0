import pytest
import torch
from torch import Tensor

from interp_emerge import hook
from interp_emerge.abilities.metrics import bind_metric
from interp_emerge.patching.engines.gradients import (
    DecoderRun,
    ReaderGradients,
    differentiable_run,
    gradients_at,
    run_from,
)
from tests.models.small_models import DENSE_FORMS, FORMS, build, random_pairs, small_model
from tests.patching.interpolation import precisely


def logits_of(run: DecoderRun) -> Tensor:
    return run.decoder.logits(run.parts["resid_pre", 3][:, -1])


@pytest.mark.parametrize("architecture", FORMS)
@torch.no_grad()
def test_a_run_from_any_block_or_from_its_mlp_ends_in_the_models_own_logits(architecture: str):
    model, tokens = small_model(architecture), random_pairs().clean
    whole, expected = run_from(model.decoder, model.decoder.embed(tokens)), model.logits(tokens)
    torch.testing.assert_close(logits_of(whole), expected)
    for layer in range(4):
        above = run_from(model.decoder, whole.parts["resid_pre", layer], first=layer)
        torch.testing.assert_close(logits_of(above), expected)
        if layer < 3 and not model.graph.parallel:
            midway = run_from(model.decoder, whole.parts["resid_mid", layer], first=layer, midway=True)
            torch.testing.assert_close(logits_of(midway), expected)


@pytest.mark.parametrize("architecture", DENSE_FORMS)
def test_the_gradients_at_a_serial_or_parallel_blocks_readers_add_up_to_that_at_its_stream(architecture: str):
    model, pairs = hook(precisely(build(architecture))), random_pairs()
    metric = bind_metric("logit_diff", model, pairs)
    run = differentiable_run(model.decoder, model.decoder.embed(pairs.corrupt))
    sites = [("resid_pre", layer) for layer in (1, 2, 3)]
    gradients = ReaderGradients(model.decoder, metric, lambda values: values)
    with torch.no_grad():
        at_streams = [*gradients_at(run, metric, sites, again=True).values()]
        gradients.add(run)
        at_readers = gradients.of_layer(1).sum(0)
    # The gradient at a stream is the sum of those at its readers and that at the stream after the block.
    torch.testing.assert_close(at_readers + at_streams[1], at_streams[0])
    torch.testing.assert_close(gradients.at_logits()[0], at_streams[2])
