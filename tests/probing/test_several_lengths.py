"""Pairs of several lengths are probed as pairs of one length are: those of one length run together, without padding."""

import numpy as np
import pytest
import torch

import interp_emerge as ie
from interp_emerge.abilities.metrics import METRICS
from interp_emerge.core.model import HookedModel
from interp_emerge.probing import use
from interp_emerge.probing.engines.activations import read_activations
from interp_emerge.probing.engines.changed_runs import ChangedRuns
from interp_emerge.probing.engines.sites import HIDDEN, KINDS, Places, Site, sites_of
from tests.models.small_models import small_model

N = 48


@pytest.fixture(scope="module")
def model() -> HookedModel:
    return small_model("gpt2")


@pytest.fixture(scope="module")
def pairs() -> ie.PromptPairs:
    """Random prompts of four to six tokens whose third token, one of two, is exchanged in the corrupted prompt."""
    rng = np.random.default_rng(0)
    clean = [rng.integers(9, 40, size=4 + row % 3).tolist() for row in range(N)]
    which = rng.permutation(N) % 2
    corrupt = [prompt.copy() for prompt in clean]
    for row in range(N):
        clean[row][2], corrupt[row][2] = 5 + int(which[row]), 6 - int(which[row])
    answers, foils = (1 + which).tolist(), (2 - which).tolist()
    return ie.PromptPairs(
        clean=clean,
        corrupt=corrupt,
        answer=answers,
        foil=foils,
        positions={"third": [2] * N},
        variables={"which": which.tolist()},
    )


def own_metric(model: HookedModel, pairs: ie.PromptPairs, side: str) -> np.ndarray:
    groups = [group for _, group in pairs.by_length()]
    return pairs.in_order([METRICS["logit_diff"](model.logits(getattr(one, side)), one).numpy() for one in groups])


@pytest.mark.parametrize("budget", [None, 40_000])
def test_a_changed_run_of_each_pair_is_that_of_its_own_length(
    model: HookedModel, pairs: ie.PromptPairs, budget: int | None
):
    """The corrupted run with the clean stream at its end has the metric of the clean run, for some of the pairs too."""
    clean = own_metric(model, pairs, "clean")
    places, site = Places.of(pairs, ["third", "last"]), Site(kind="resid_post", layer=model.graph.n_layers - 1)
    ends = read_activations(model, pairs, [site], places)[site]
    with torch.no_grad(), model.running():
        runs = ChangedRuns(model, pairs, "corrupt", "logit_diff", budget)
        np.testing.assert_allclose(runs.unchanged().numpy(), own_metric(model, pairs, "corrupt"), atol=1e-4)
        found = runs.metric(site, places.index["last"], ends[None])
        np.testing.assert_allclose(found[0].numpy(), clean, atol=1e-4)
        some = torch.arange(1, N, 5)
        found = runs.metric(site, places.index["last"], ends[some][None], some)
        np.testing.assert_allclose(found[0].numpy(), clean[some.numpy()], atol=1e-4)


def test_the_gradients_of_all_sites_at_once_are_those_of_each_site_alone(model: HookedModel, pairs: ie.PromptPairs):
    places = Places.of(pairs, ["third", "last"])
    sites = sites_of(model, [kind for kind in KINDS if kind != HIDDEN], places)
    values = read_activations(model, pairs, sites, places, side="corrupt")
    with model.running():
        runs = ChangedRuns(model, pairs, "corrupt", "logit_diff", 1 << 22)
        found = runs.gradients(sites, places)
        for site in sites[:: len(sites) // 7]:
            at = values[site].requires_grad_()
            expected = torch.autograd.grad(runs.metric(site, places.index[site.position], at[None]).sum(), at)[0]
            torch.testing.assert_close(found[site], expected, atol=1e-5, rtol=1e-3)


def test_use_and_lens_read_pairs_of_several_lengths(model: HookedModel, pairs: ie.PromptPairs):
    given = {"variable": "which", "positions": ["third", "last"], "placebos": 2, "steps": 2}
    frame = use(model, pairs, sites=["resid_pre", "resid_post"], **given).to_frame()
    embedded = frame[(frame["site"] == "resid_pre") & (frame["layer"] == 0)].set_index("position")
    gap = (own_metric(model, pairs, "clean") - own_metric(model, pairs, "corrupt")).mean()
    # The token is all that differs, and a probe's one direction holds all of the difference of two embeddings.
    assert embedded["effect"].to_dict() == pytest.approx({"third": gap, "last": 0}, abs=1e-3)
    for method in ("logit_lens", "direct_logit_attribution"):
        whole = ie.lens(model, pairs, method=method).per_pair
        parts = [ie.lens(model, group, method=method).per_pair for _, group in pairs.by_length()]
        np.testing.assert_allclose(whole, pairs.in_order(parts), atol=1e-4)
    tuned = ie.lens(model, pairs, method="tuned_lens", train=pairs_elsewhere(pairs)).to_frame()
    assert (tuned["divergence"] <= ie.lens(model, pairs).to_frame()["divergence"] + 0.02).all()


def pairs_elsewhere(pairs: ie.PromptPairs) -> ie.PromptPairs:
    prompts = [[7, *row[1:length]] for row, length in zip(pairs.prompts("clean"), pairs.lengths.tolist(), strict=True)]
    return ie.PromptPairs(clean=prompts, corrupt=prompts, answer=pairs.answer, foil=pairs.foil)


def test_halves_of_an_exchange_share_no_template(model: HookedModel, pairs: ie.PromptPairs):
    templates = [f"t{row % 4}" for row in range(N)]
    fields = {name: getattr(pairs, name) for name in ("answer", "foil", "positions", "variables")}
    prompts = {
        side: [row[:n] for row, n in zip(pairs.prompts(side), pairs.lengths.tolist(), strict=True)]
        for side in ("clean", "corrupt")
    }
    worded = ie.PromptPairs(**prompts, **fields, templates=templates)
    by_prompt, by_template = (
        use(model, worded, variable="which", held_out=held_out, placebos=1) for held_out in ("", "templates")
    )
    assert {*by_prompt.to_frame()["held_out"]} == {"prompts"}
    assert {*by_template.to_frame()["held_out"]} == {"templates"}
    assert not np.allclose(by_prompt.per_pair, by_template.per_pair)
