"""What holds for every probe on the shelf."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import interp_emerge as ie
from interp_emerge.core.errors import InputError
from interp_emerge.core.model import HookedModel
from interp_emerge.probing import LensScores, ProbeScores, UseScores, shelf, use
from interp_emerge.probing.base import Decoder, Intervention, Lens
from interp_emerge.probing.engines.trials import try_decoder
from tests.patching.test_contract import state_of
from tests.probing.blobs import blobs, design_of

DECODERS = [name for name in shelf.names() if isinstance(shelf[name], Decoder)]
LENSES = [name for name in shelf.names() if isinstance(shelf[name], Lens)]
INTERVENTIONS = [name for name in shelf.names() if isinstance(shelf[name], Intervention)]
BUDGET = 1 << 28


@pytest.fixture(scope="module")
def model() -> HookedModel:
    return ie.load_family("miniature").load("14k")


@pytest.fixture(scope="module")
def pairs(model: HookedModel) -> ie.PromptPairs:
    return ie.load_ability("indirect_object").sample(model, n=60)


def binary(pairs: ie.PromptPairs) -> pd.DataFrame:
    return pd.DataFrame(
        {"early name": (pairs.variables["receiver"] < pairs.variables["receiver"].median()).int().numpy()}
    )


def decoder_of(name: str) -> Decoder:
    found = shelf[name]
    assert isinstance(found, Decoder)
    return found


def test_every_probe_is_of_one_of_three_kinds():
    assert sorted(DECODERS + LENSES + INTERVENTIONS) == shelf.names()
    assert all((DECODERS, LENSES, INTERVENTIONS))


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_separable_classes_are_decoded_and_shuffled_labels_are_not(name: str, n_classes: int):
    x, labels = blobs(n_classes)
    found = try_decoder(decoder_of(name), x, design_of(labels), budget=BUDGET).hits.mean(-1)
    chance, error = 1 / n_classes, np.sqrt(1 / n_classes / len(labels))
    assert found[0, 0] >= 0.995
    assert abs(found[1, 0] - chance) < 4 * error
    assert abs(found[0, 1] - chance) < 4 * error


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_gives_the_same_numbers_again_and_its_final_probe_decodes_what_it_was_fitted_on(name: str):
    x, labels = blobs()
    one, other = (try_decoder(decoder_of(name), x, design_of(labels).only_true(), budget=BUDGET) for _ in range(2))
    np.testing.assert_array_equal(one.hits, other.hits)
    np.testing.assert_array_equal(one.fragility, other.fragility)
    scores = x[0] @ one.weight[0] + one.bias[0]
    assert (scores.argmax(1) == labels).float().mean() >= 0.995


@pytest.mark.parametrize("name", DECODERS)
def test_fewer_prompts_than_features_lose_nothing(name: str):
    x, labels = blobs(2, n=60, width=100, apart=12.0)
    assert try_decoder(decoder_of(name), x, design_of(labels), budget=BUDGET).hits[0, 0].mean() >= 0.9


def test_classes_without_any_spread_are_decoded_by_means_with_a_shared_covariance():
    labels = torch.arange(5).repeat(24)
    x = torch.randn(1, 5, 8)[:, labels]
    found = try_decoder(decoder_of("mass_mean"), x, design_of(labels), budget=BUDGET).hits.mean(-1)
    assert found[0, 0] == 1 and found[0, 1] < 0.5


@pytest.mark.parametrize("name", DECODERS)
def test_scores_save_and_load_and_apply(name: str, model: HookedModel, pairs: ie.PromptPairs, tmp_path: Path):
    before = state_of(model.hf)
    scores = ie.probe(model, pairs, variable="early name", labels=binary(pairs), method=name)
    assert state_of(model.hf) == before
    scores.save(tmp_path / "probes.safetensors")
    read = ProbeScores.load(tmp_path / "probes.safetensors")
    pd.testing.assert_frame_equal(read.to_frame(), scores.to_frame(), check_dtype=False)
    chart = scores.plot("early name").to_dict()
    drawn = next(iter(chart["datasets"].values()))
    levels = [row["level"] for row in drawn if row.get("of") == "this model"]
    assert levels == pytest.approx(scores.to_frame()["accuracy"].tolist())
    site = scores.probes[-1].site.name
    activations = torch.randn(7, model.d_model)
    assert torch.equal(read.apply(activations, site=site), scores.apply(activations, site=site))
    assert {*read.apply(activations, site=site).tolist()} <= {0, 1}
    with pytest.raises(InputError, match=f"reads {model.d_model} features"):
        scores.apply(torch.randn(7, model.d_model + 1), site=site)
    for bad in (torch.nan, torch.inf):
        with pytest.raises(InputError, match="are not finite"):
            scores.apply(torch.full((7, model.d_model), bad), site=site)


@pytest.mark.parametrize("name", LENSES)
def test_a_lens_leaves_the_model_and_agrees_with_it_in_the_end(name: str, model: HookedModel, pairs: ie.PromptPairs):
    before = state_of(model.hf)
    train = ie.load_ability("indirect_object").sample(model, n=40, seed=3).clean
    chosen = shelf[name]
    assert isinstance(chosen, Lens)
    sites = ["attn_out", "mlp_out"] if chosen.linear else ["resid_post"]
    groups = [ie.lens(model, group, method=name, sites=sites, train=train) for _, group in pairs.by_length()]
    assert state_of(model.hf) == before
    for scores in groups:
        assert isinstance(scores, LensScores)
        frame = scores.to_frame()
        assert np.isfinite(frame["logit_diff"]).all()
        if not chosen.linear:
            assert frame["divergence"].iloc[-1] == pytest.approx(0, abs=1e-4)
            assert frame["logit_diff"].iloc[-1] == pytest.approx(frame["final"].iloc[-1], abs=1e-3)


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_an_intervention_leaves_the_model_and_gives_the_same_again(
    name: str, model: HookedModel, pairs: ie.PromptPairs
):
    before = state_of(model.hf)
    given = {"variable": "early name", "labels": binary(pairs), "method": name, "placebos": 2, "steps": 2}
    one, other = (use(model, pairs, **given) for _ in range(2))
    assert state_of(model.hf) == before
    assert isinstance(one, UseScores)
    np.testing.assert_array_equal(one.per_pair, other.per_pair)
    assert np.isfinite(one.per_pair).all() and np.isfinite(one.placebos).all()
    frame = one.to_frame()
    assert (frame["null_share"] <= 1).all() and (frame["rank"] >= 1).all()
    assert frame["completeness"].dropna().between(0, 1).all()


@pytest.mark.parametrize("name", shelf.names())
def test_a_probe_given_to_another_function_names_the_right_one(name: str, model: HookedModel, pairs: ie.PromptPairs):
    asks = {"known": ie.probe, "read": ie.lens, "used": use}
    for kind, function in asks.items():
        if kind != shelf[name].asks:
            right = {"known": "ie.probe", "read": "ie.lens", "used": "ie.probing.use"}[shelf[name].asks]
            with pytest.raises(InputError, match=right):
                function(model, pairs, method=name)
