"""Lenses and sparse probes against TransformerLens, and identities of lenses."""

import numpy as np
import pytest
import torch
from transformer_lens.tools.analysis import sparse_probing
from transformer_lens.tools.analysis.logit_lens import logit_lens

import interp_emerge as ie
from interp_emerge.abilities.metrics import METRICS
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.model import HookedModel
from interp_emerge.probing import shelf
from interp_emerge.probing.base import Decoder
from interp_emerge.probing.engines.problems import Problem
from interp_emerge.probing.engines.trials import plain_basis
from tests.models.small_models import random_pairs, small_model
from tests.probing.blobs import blobs

ARCHITECTURES = ("gpt_neox", "gpt2", "llama_grouped")


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request: pytest.FixtureRequest) -> HookedModel:
    return small_model(request.param)


@pytest.fixture(scope="module")
def pairs() -> ie.PromptPairs:
    return random_pairs()


def test_the_logit_lens_is_that_of_transformer_lens(model: HookedModel, pairs: ie.PromptPairs):
    ours = ie.lens(model, pairs, sites="resid_pre")
    theirs = logit_lens(model.bridge, pairs.clean, positions=-1).values.float()
    for layer in range(model.graph.n_layers):
        logits = theirs[layer].reshape(len(pairs), -1)
        expected = METRICS["logit_diff"](logits, pairs)
        np.testing.assert_allclose(ours.per_pair[:, layer], expected.double().numpy(), atol=2e-4)


def test_contributions_of_all_parts_sum_to_the_logit_difference(model: HookedModel, pairs: ie.PromptPairs):
    parts = ie.lens(model, pairs, method="direct_logit_attribution", sites=["attn_out", "mlp_out"])
    start = ie.lens(model, pairs, method="direct_logit_attribution", sites="resid_pre")
    whole = ie.lens(model, pairs, method="direct_logit_attribution")
    np.testing.assert_allclose(whole.per_pair.sum(1), parts.per_pair.sum(1) + start.per_pair[:, 0], atol=1e-5)
    own = METRICS["logit_diff"](model.logits(pairs.clean), pairs).double().numpy()
    at_zero = model.decoder.logits(torch.zeros(1, model.d_model))
    constant = METRICS["logit_diff"](at_zero.expand(len(pairs), -1), pairs).detach().double().numpy()
    np.testing.assert_allclose(parts.per_pair.sum(1) + start.per_pair[:, 0] + constant, own, atol=2e-4)


def test_a_parallel_block_has_no_middle_of_the_stream(pairs: ie.PromptPairs):
    with pytest.raises(InputError, match="has parallel blocks, so it has no resid_mid; leave it out"):
        ie.lens(small_model("gpt_neox"), pairs, sites=["resid_mid", "resid_post"])


def test_a_position_is_known_once(pairs: ie.PromptPairs):
    model = ie.load_family("miniature").load("14k")
    with pytest.raises(UnknownNameError) as refused:
        ie.lens(model, ie.load_ability("induction").sample(model, n=8), positions="end")
    assert str(refused.value).count("last") == 1


def test_the_tuned_lens_is_no_worse_than_the_logit_lens(pairs: ie.PromptPairs):
    model = ie.load_family("miniature").load("14k")
    ability = ie.load_ability("induction")
    asked, train = ability.sample(model, n=64), ability.sample(model, n=96, seed=2).clean
    tuned = ie.lens(model, asked, method="tuned_lens", sites="resid_post", train=train).to_frame()
    plain = ie.lens(model, asked, sites="resid_post").to_frame()
    assert (tuned["divergence"] <= plain["divergence"] + 0.02).all()
    assert tuned["divergence"].iloc[0] < plain["divergence"].iloc[0]


def test_the_tuned_lens_wants_prompts_of_its_own(pairs: ie.PromptPairs):
    model = small_model("gpt2")
    for train, wanted in ((None, "give prompts of its own"), (pairs.clean, "among the pairs")):
        with pytest.raises(InputError, match=wanted):
            ie.lens(model, pairs, method="tuned_lens", train=train)
    with pytest.raises(InputError, match="reads the stream"):
        ie.lens(model, pairs, method="tuned_lens", sites="mlp_out", train=torch.cat([random_pairs().clean.flip(1)] * 2))


def test_a_sparse_probe_takes_the_units_that_transformer_lens_takes():
    x, labels = blobs(2, apart=2.0)
    turned = plain_basis(x)[1]
    chosen = shelf["k_sparse"]
    assert isinstance(chosen, Decoder)
    theirs = sparse_probing.fit_sparse_probe(x[0], labels, k=4, test_fraction=0.25, preprocess="standardize", seed=0)
    training = torch.zeros(1, x.shape[1], dtype=torch.bool)
    training[0, theirs.train_indices] = True
    problem = Problem(
        x=turned, labels=labels[None], n_classes=2, training=training, strengths=torch.full((2, 1, 1, 1), 4.0)
    )
    weight = chosen.fit(problem).weight[0, 0, 0, 0, :, 1]
    ours = weight.nonzero()[:, 0]
    assert len(ours) == 4
    assert len({*ours.tolist()} & {*theirs.selected_features.tolist()}) >= 3  # they scale by the training prompts alone
    assert {*ours.tolist()} >= {0, 1}
