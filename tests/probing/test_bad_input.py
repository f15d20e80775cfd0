"""Bad input gets one line that says what was given, what was wanted and what to do."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import interp_emerge as ie
from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.core.model import HookedModel
from interp_emerge.probing import ProbeScores, use
from tests.models.small_models import small_model

N = 40


@pytest.fixture(scope="module")
def model() -> HookedModel:
    return small_model("gpt2")


def pairs_of(n: int = N, **more: Any) -> ie.PromptPairs:
    rng = np.random.default_rng(0)
    clean = rng.integers(5, 40, size=(n, 6))
    corrupt = clean.copy()
    corrupt[:, 2] = 4
    return ie.PromptPairs(clean=clean, corrupt=corrupt, answer=[1, 2] * (n // 2), foil=[3] * n, **more)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"variable": "foil"}, "is 3 in all 40 pairs; a probe needs at least two values"),
        ({"variable": "x", "labels": {"x": np.arange(N)}}, "40 classes in 40 pairs; .* at least two pairs a class"),
        ({"variable": "x", "labels": {"x": [0, 1]}}, "has 2 labels for 40 pairs; give one for each"),
        ({"variable": "x", "labels": {"x": [None, *[1] * (N - 1)]}}, "has no value for 1 pairs"),
        ({"variable": "x", "labels": {"x": [np.inf, *[1.5] * (N - 1)]}}, "not finite"),
        ({"variable": "x", "labels": {"x": np.linspace(0, 1, N)}}, "real values.*use method='ridge'"),
        ({"variable": "x", "labels": {"x": [1e20, *[1e21] * (N - 1)]}}, "has 1e[+]20.* not exactly represented"),
        ({"variable": "x", "labels": {"x": [10**20, *[1] * (N - 1)]}}, "not exactly represented"),
        ({"variable": "x", "labels": {"x": [1, "1"] * (N // 2)}}, "has text beside numbers, such as '1' and 1"),
        ({"variable": "x", "labels": {"x": [0.5] * N}, "method": "ridge"}, "is 0.5 in all 40 pairs"),
        ({"variable": "x", "labels": {"x": 3}}, "is 3; give a list with one label for each pair"),
        ({"variable": "x", "labels": {"x": [[0, 1]] * N}}, r"has shape \[40, 2\]; give one label"),
        ({"variable": "x", "labels": "labels.txt"}, "read from .csv or .parquet"),
        ({"variable": "x", "labels": "nowhere.csv"}, "labels cannot be read from nowhere.csv"),
        ({"positions": "9"}, "position 9 is beyond prompts of 6 tokens"),
        ({"variable": "token+1"}, "pair 0 has no token at position 6"),
        ({"sites": ()}, "no site to probe"),
        ({"positions": ()}, "no positions"),
        ({"variable": ()}, "no variable; name at least one"),
        ({"layers": ()}, "no layers; name at least one from 0 to"),
        ({"folds": 2}, "folds cannot be 2; give a whole number of at least 3"),
    ],
)
def test_what_cannot_be_probed_is_refused_in_one_line(model: HookedModel, given: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message) as refused:
        ie.probe(model, pairs_of(), **given)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "given", [{"variable": "answr"}, {"sites": "resid"}, {"positions": "end"}, {"method": "logistics"}]
)
def test_unknown_names_get_a_suggestion(model: HookedModel, given: dict[str, Any]):
    with pytest.raises(UnknownNameError, match=r"known: "):
        ie.probe(model, pairs_of(), **given)


def test_a_variable_that_the_wording_gives_away_is_refused(model: HookedModel):
    by_template: dict[str, Any] = {"templates": ["a", "b"] * (N // 2)}
    with pytest.raises(InputError, match="may read the wording"):
        ie.probe(model, pairs_of(**by_template))
    several = pairs_of(templates=["a", "b", "c", "d"] * (N // 4))
    scores = ie.probe(model, several, method="nearest_centroid").to_frame()
    assert {*scores["held_out"]} == {"templates"} and {*scores["n_groups"]} == {4}
    with pytest.raises(InputError, match="may read the wording"):
        ie.probe(model, several, held_out="prompts")


def test_values_that_are_never_in_training_are_refused(model: HookedModel):
    with pytest.raises(InputError, match="is never in training; hold out something else"):
        ie.probe(model, pairs_of(), held_out="answer")


def test_activations_that_are_not_finite_are_named(model: HookedModel):
    from interp_emerge.caching.recording import Recording, record

    def broken(of: HookedModel, tokens: torch.Tensor) -> Recording:
        found = record(of, tokens)
        return Recording(activations={name: value * torch.nan for name, value in found.activations.items()})

    with pytest.raises(InputError, match=r"activations at resid_pre.0@last are not finite"):
        ie.probe(model, pairs_of(), record=broken)


def test_few_pairs_or_hidden_units_cannot_be_exchanged(model: HookedModel):
    with pytest.raises(InputError, match="too few to find directions"):
        use(model, pairs_of(10))
    with pytest.raises(InputError, match="mlp_hidden cannot be replaced"):
        use(model, pairs_of(), sites="mlp_hidden")


def test_files_that_are_not_probes_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"ends in '.csv'; give a name that ends in .safetensors"):
        ProbeScores.load(tmp_path / "x.csv")
    with pytest.raises(InputError, match="cannot read probes"):
        ProbeScores.load(tmp_path / "x.safetensors")


def test_real_values_and_tables_are_decoded(model: HookedModel, tmp_path: Path):
    pairs = pairs_of(200)
    numbers = pd.DataFrame({"of token": pairs.clean[:, -1].numpy() * 0.1 + 0.05})
    numbers.to_csv(tmp_path / "labels.csv", index=False)
    given: dict[str, Any] = {"variable": "of token", "method": "ridge", "sites": "resid_pre"}
    scores = ie.probe(model, pairs, labels=tmp_path / "labels.csv", **given)
    frame = scores.to_frame()
    assert frame["measure"].iloc[0] == "variance explained"
    assert frame["accuracy"].iloc[0] > 0.8 and frame["shuffled"].iloc[0] < 0.2
    assert frame["ci_low"].iloc[0] <= frame["accuracy"].iloc[0] <= frame["ci_high"].iloc[0]
    assert frame["gain"].iloc[0] == pytest.approx(0, abs=1e-6)  # the first site is the embedding itself


def test_labels_of_pairs_are_classes_by_their_text(model: HookedModel):
    pairs = pairs_of(variables={"place": ["north", "south"] * (N // 2)})
    scores = ie.probe(model, pairs, variable="place", method="nearest_centroid")
    assert scores.probes[0].classes == ("north", "south")


def test_activations_on_disk_give_the_same_numbers(model: HookedModel):
    pairs = pairs_of(100)
    given: dict[str, Any] = {"method": "nearest_centroid", "sites": ["resid_post", "z", "k"]}
    in_memory = ie.probe(model, pairs, **given).to_frame()
    on_disk = ie.probe(model, pairs, budget=1 << 16, **given).to_frame()
    pd.testing.assert_frame_equal(in_memory, on_disk, atol=1e-6)


def test_every_kind_of_site_is_read_as_the_model_has_it(model: HookedModel):
    from interp_emerge.probing.engines.activations import read_activations
    from interp_emerge.probing.engines.sites import HIDDEN, KINDS, Places, sites_of

    pairs = pairs_of()
    places = Places.of(pairs, ["3", "-1"])
    sites = sites_of(model, KINDS, places)
    assert {site.kind for site in sites} == {*KINDS}
    found = read_activations(model, pairs, sites, places)
    _, cache = model.run_with_cache(pairs.clean)
    _, lens_cache = model.bridge.run_with_cache(pairs.clean)
    for site in sites:
        kept = lens_cache[f"blocks.{site.layer}.mlp.hook_post"] if site.kind == HIDDEN else cache[site.kind, site.layer]
        at = kept[:, int(site.position)]
        expected = at if site.head is None else at[:, site.head]
        torch.testing.assert_close(found[site], expected.float(), atol=1e-5, rtol=1e-5)


def test_a_run_continued_from_a_site_is_the_run_with_the_activation_replaced(model: HookedModel):
    from interp_emerge.probing.engines.continuing import Continuation
    from interp_emerge.probing.engines.sites import HIDDEN, KINDS, Places, sites_of

    pairs = pairs_of(4)
    places = Places.of(pairs, ["3", "-1"])
    with torch.no_grad(), model.running():
        run = Continuation(model, pairs.clean)
        for site in sites_of(model, [kind for kind in KINDS if kind != HIDDEN], places):
            _, cache = model.run_with_cache(pairs.clean)
            new = torch.randn(2, 4, cache[site.kind, site.layer].shape[-1])
            logits = model.decoder.logits(run.last(site, places.index[site.position], new))
            name = next(one for one in cache if cache[one] is cache[site.kind, site.layer])
            at = (slice(None), int(site.position)) + (() if site.head is None else (site.head,))
            for version in (0, 1):
                value = cache[name].clone()
                value[at] = new[version]
                expected = model.run_with_hooks(pairs.clean, [(name, partial(instead, value))])[:, -1]
                torch.testing.assert_close(logits[version], expected, atol=1e-4, rtol=1e-4)


def instead(value: torch.Tensor, _: torch.Tensor, hook: Any) -> torch.Tensor:
    return value


def test_a_place_or_variable_under_two_names_is_probed_once_and_said(
    model: HookedModel, caplog: pytest.LogCaptureFixture
):
    names = {"kind": ["b", "a"] * (N // 2), "size": [*range(8)] * (N // 8)}
    found = ie.probe(
        model, pairs_of(), variable=["answer", "kind", "size"], labels=names, positions=["last", "-1", "5", "3"],
        method="mass_mean", layers=[0],
    ).to_frame()  # fmt: skip
    assert found.value_counts(["variable", "position"]).to_dict() == {
        ("answer", "last"): 1, ("answer", "3"): 1, ("size", "last"): 1, ("size", "3"): 1,
    }  # fmt: skip
    said = [record.getMessage() for record in caplog.records]
    assert "position '-1' is the same token as 'last' in every pair, and is left out" in said
    assert "variable 'kind' divides the pairs at 3 as 'answer' does, and is left out there" in said
    assert len(said) == 4


def test_classes_rarer_than_folds_are_said_once(model: HookedModel, caplog: pytest.LogCaptureFixture):
    labels = {"x": [*range(16)] * 3}
    given = {"variable": "x", "labels": labels, "positions": ["last", "3"], "method": "mass_mean", "layers": [0]}
    ie.probe(model, pairs_of(48), **given)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("variable 'x': the rarest of its 16 classes has 3 of 48 pairs, fewer than the 5 folds")
    caplog.clear()
    ie.probe(model, pairs_of(48), **{**given, "folds": 3})
    assert not caplog.records
