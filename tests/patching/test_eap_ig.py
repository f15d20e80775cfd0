import numpy as np
import pytest
import torch

import interp_emerge as ie
from interp_emerge.abilities._metrics import bind_metric
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from tests.core.small_models import ARCHITECTURES, WIDTH, build, random_pairs, small_model
from tests.patching.scored import score_edges

STEPS = (1, 2, 4, 8)


def gentle(architecture: str) -> HookedModel:
    """A model whose embeddings lie close enough to each other that few steps see all of the curve between them."""
    hf = build(architecture).double()
    with torch.no_grad():
        hf.get_input_embeddings().weight.mul_(0.5).add_(torch.randn(WIDTH))
    return ie.hook(hf)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_embedding_accounts_for_the_whole_change_with_an_error_of_second_order(architecture: str):
    model, pairs = gentle(architecture), random_pairs()
    metric = bind_metric("logit_diff", model, pairs)
    with torch.no_grad():
        change = float((metric(model.logits(pairs.clean)) - metric(model.logits(pairs.corrupt))).mean())
    totals = [score_edges(model, pairs, "eap_ig", steps=steps).scores[0].sum() for steps in STEPS]
    errors = np.abs(np.array(totals) - change)
    order = -np.polyfit(np.log(STEPS), np.log(errors), 1)[0]
    # Fitted orders 2.0 to 2.1. A left sum would have order 1, and one point alone an error 60 times the last.
    assert 1.8 < order < 2.3
    assert errors[-1] < errors[0] / 40


def test_with_one_step_the_gradient_is_that_halfway():
    model, pairs = small_model("llama"), random_pairs()
    halfway = score_edges(model, pairs, "eap_ig", steps=1).scores
    assert np.abs(halfway - score_edges(model, pairs, "eap").scores).max() > 1e-3


def test_no_steps_at_all_are_refused():
    with pytest.raises(InputError, match="eap_ig needs at least 1 step, not 0"):
        ie.score(small_model("gpt2"), random_pairs(), method="eap_ig", steps=0)
