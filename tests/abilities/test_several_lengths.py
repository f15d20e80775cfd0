"""Pairs of several lengths in one set: what runs them gives each pair the value that it has on its own."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import interp_emerge as ie
from interp_emerge.abilities.metrics import FROM_LOGITS, metrics_of_clean
from interp_emerge.core.model import HookedModel
from interp_emerge.emergence.scale.continuations.tasks import several_tokens
from interp_emerge.emergence.scale.pass_until import answer_sampler
from interp_emerge.patching import shelf
from interp_emerge.patching.ablation import ABLATIONS, MEANS, ablate
from interp_emerge.patching.base import EdgeScores, NodeScores
from interp_emerge.patching.scoring import estimate, joined_edges
from tests.models.small_models import random_pairs, small_model

LENGTHS = (7, 4, 7, 5, 4)
"""Number of tokens of each pair."""
JOINTLY = ("acdc",)
"""Methods that decide on all pairs together."""
ROUNDING = 3e-6
"""Batches of other sizes round differently: by up to 7e-7 on one processor and 1.4e-6 with older vector instructions,
in scores of up to 1.6. Scores of another pair differ by 0.35 or more."""


def mixed() -> ie.PromptPairs:
    """One pair of each of `LENGTHS`, with positions, variables and continuations."""
    single = [random_pairs(1, length=length, seed=row) for row, length in enumerate(LENGTHS)]
    return ie.PromptPairs(
        clean=[pair.clean[0].tolist() for pair in single],
        corrupt=[pair.corrupt[0].tolist() for pair in single],
        answer=[int(pair.answer[0]) for pair in single],
        foil=[int(pair.foil[0]) for pair in single],
        templates=[f"{length} tokens" for length in LENGTHS],
        positions={"last": [-1] * len(LENGTHS), "second": [1] * len(LENGTHS)},
        variables={"length": LENGTHS},
        continuation=[[int(pair.answer[0]), row] for row, pair in enumerate(single)],
    )


@pytest.fixture
def pairs() -> ie.PromptPairs:
    return mixed()


@pytest.fixture(scope="module")
def model() -> HookedModel:
    return small_model("gpt_neox")


def each(pairs: ie.PromptPairs) -> list[ie.PromptPairs]:
    return [pairs[row] for row in range(len(pairs))]


def test_groups_hold_pairs_of_one_length_and_their_values_return_to_the_order_of_the_pairs(pairs: ie.PromptPairs):
    groups = pairs.by_length()
    assert [(rows.tolist(), group.length) for rows, group in groups] == [([1, 4], 4), ([3], 5), ([0, 2], 7)]
    assert pairs.in_order([group.lengths.numpy() for _, group in groups]).tolist() == [*LENGTHS]
    assert repr(pairs).startswith("PromptPairs(5 pairs of 4 to 7 tokens")


def test_a_part_of_one_length_is_what_it_would_be_without_the_others(pairs: ie.PromptPairs):
    (part,) = pairs[3:4].by_length()
    assert part[1].clean.shape == (1, 5) and part[1].positions["last"].tolist() == [4]
    assert pairs[[0, 2]].fingerprint == mixed()[[0, 2]].fingerprint != pairs.fingerprint


def test_rows_may_be_arrays_of_several_lengths():
    lists = ie.PromptPairs(clean=[[5, 6], [5, 6, 7]], corrupt=[[5, 7], [5, 7, 7]], answer=[8, 8], foil=[9, 9])
    clean, corrupt = ([np.array(row) for row in rows] for rows in ([[5, 6], [5, 6, 7]], [[5, 7], [5, 7, 7]]))
    assert ie.PromptPairs(clean=clean, corrupt=corrupt, answer=[8, 8], foil=[9, 9]).fingerprint == lists.fingerprint


def test_a_part_has_the_fingerprint_of_the_same_pairs_on_their_own():
    prompts: Any = {"clean": [[5, 6], [5, 6]], "corrupt": [[5, 7], [5, 7]], "foil": [9, 9]}
    pairs = ie.PromptPairs(**prompts, answer=[[8], [8, 4]])
    alone = ie.PromptPairs(clean=[[5, 6]], corrupt=[[5, 7]], foil=[9], answer=[8])
    assert pairs[0].fingerprint == alone.fingerprint != pairs[1].fingerprint
    assert pairs[0].answer.tolist() == [8]


def test_an_ability_may_draw_pairs_of_several_lengths(model: HookedModel, pairs: ie.PromptPairs):
    induction = ie.load_ability("induction")
    ability = replace(induction, draw=lambda _model, n, _rng: pairs[:n])
    drawn = ability.sample(model, 4)
    assert drawn.lengths.tolist() == [7, 4, 7, 5] and drawn.ability == "induction"
    assert pairs.ability == ""


def test_parts_that_need_means_over_prompts_are_left_out_of_an_examination(model: HookedModel, pairs: ie.PromptPairs):
    runs = ie.Runs(model, pairs)
    examined = ie.examine(runs, ie.Circuit.from_nodes(model, ["a0.h1"]), parts=["ablations"])
    assert {*examined.tables["ablations"]["ablation"]} == {"zero", "resample"}


def test_a_role_that_needs_means_over_prompts_is_undefined_with_the_reason(model: HookedModel, pairs: ie.PromptPairs):
    table = ie.role_table(model, pairs=pairs, roles=["function_vector"])
    assert table["score"].isna().all()
    assert table["note"].str.contains("the mean over clean prompts needs prompts of one length").all()


def test_there_is_no_array_of_prompts_to_be_found(pairs: ie.PromptPairs):
    assert not hasattr(pairs, "clean") and hasattr(pairs[0], "clean")


@pytest.mark.parametrize("name", ["clean", "corrupt", "length"])
def test_what_is_one_array_needs_one_length(name: str, pairs: ie.PromptPairs):
    with pytest.raises(
        ie.InterpEmergeError, match=rf"pairs\.{name} needs prompts of one length, and these have 4 to 7"
    ):
        getattr(pairs, name)


@pytest.mark.parametrize(
    ("method", "positions"),
    [
        (name, positions)
        for name in shelf.names()
        for positions in (None, ("last", "1", "-2"))
        if name not in (*JOINTLY, "random") and (positions is None or "positions" in shelf[name].declared)
    ],
)
def test_scores_of_each_pair_are_those_of_the_pair_alone(
    method: str, positions: Any, model: HookedModel, pairs: ie.PromptPairs
):
    found = ie.score(model, pairs, method=method, positions=positions)
    assert found.positions == positions and found.per_pair is not None
    for row, pair in enumerate(each(pairs)):
        alone = ie.score(model, pair, method=method, positions=positions).per_pair
        assert alone is not None
        np.testing.assert_allclose(found.per_pair[row], alone[0], rtol=1e-4, atol=ROUNDING)
    assert (found.origin["n_pairs"], found.origin["prompts"]) == (5, pairs.fingerprint)
    assert found.origin["method"] == method


def test_without_the_values_of_pairs_mean_and_standard_error_are_the_same(model: HookedModel, pairs: ie.PromptPairs):
    whole = ie.score(model, pairs, method="eap")
    assert isinstance(whole, EdgeScores) and whole.per_pair is not None
    parts = []
    for _, group in pairs.by_length():
        part = ie.score(model, group, method="eap")
        assert isinstance(part, EdgeScores)
        parts.append(part)
    pooled = joined_edges(parts, pairs, budget=0)
    assert pooled.per_pair is None
    np.testing.assert_allclose(pooled.scores, whole.scores, atol=1e-7)
    np.testing.assert_allclose(pooled.standard_errors, whole.standard_errors, atol=1e-7)


def test_random_scores_do_not_depend_on_the_lengths(model: HookedModel, pairs: ie.PromptPairs):
    one, several = (ie.score(model, some, method="random", seed=3) for some in (pairs[[0, 2]], pairs))
    assert np.array_equal(one.scores, several.scores)
    assert isinstance(several, EdgeScores) and not several.standard_errors.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "acdc"}, "method 'acdc' with these options needs prompts of one length"),
        (
            {"method": "ablation", "ablation": "mean"},
            "method 'ablation' with these options needs prompts of one length",
        ),
        ({"method": "eap", "positions": "all"}, "positions='all' needs prompts of one length"),
        ({"method": "eap", "positions": "4"}, "position 4 is beyond the prompts' 4 tokens; give 0 to 3"),
    ],
)
def test_what_mixes_pairs_or_positions_is_refused(
    options: dict[str, Any], message: str, model: HookedModel, pairs: ie.PromptPairs
):
    for run in (ie.score, estimate):
        with pytest.raises(ie.InterpEmergeError, match=re.escape(message)):
            run(model, pairs, **options)


def test_an_estimate_covers_all_lengths(model: HookedModel, pairs: ie.PromptPairs):
    whole = estimate(model, pairs, method="eap")
    assert whole.bytes == max(estimate(model, group, method="eap").bytes for _, group in pairs.by_length())
    assert whole.seconds > 0 and whole.passes == pytest.approx(estimate(model, pairs[0], method="eap").passes, rel=0.5)


@pytest.mark.parametrize("ablation", [name for name in ABLATIONS if name not in MEANS])
def test_a_circuit_keeps_of_each_pair_what_it_keeps_of_the_pair_alone(
    ablation: Any, model: HookedModel, pairs: ie.PromptPairs
):
    circuit = ie.Circuit.from_nodes(model, ["a0.h1", "m1"])
    found = ie.Runs(model, pairs, ablation=ablation).evaluate(circuit)
    alone = [ie.Runs(model, pair, ablation=ablation).evaluate(circuit) for pair in each(pairs)]
    for name in ("metric", "clean", "corrupt", "kl", "right"):
        of_each = np.concatenate([getattr(one, name) for one in alone])
        np.testing.assert_allclose(getattr(found, name), of_each, rtol=1e-4, atol=ROUNDING)
    assert found.templates == pairs.templates


@pytest.mark.parametrize("ablation", [name for name in ABLATIONS if name not in MEANS])
def test_ablated_nodes_change_each_pair_as_the_pair_alone(ablation: Any, model: HookedModel, pairs: ie.PromptPairs):
    found = ablate(model, ["a0.h1", "m1"], pairs, ablation=ablation)
    alone = np.concatenate([ablate(model, ["a0.h1", "m1"], pair, ablation=ablation) for pair in each(pairs)])
    np.testing.assert_allclose(found, alone, rtol=1e-4, atol=ROUNDING)


@pytest.mark.parametrize("ablation", MEANS)
def test_a_mean_over_prompts_of_several_lengths_is_refused(ablation: Any, model: HookedModel, pairs: ie.PromptPairs):
    with pytest.raises(ie.InterpEmergeError, match=f"ablation '{ablation}' needs prompts of one length"):
        ablate(model, ["m1"], pairs, ablation=ablation)
    with pytest.raises(ie.InterpEmergeError, match=f"ablation '{ablation}' needs prompts of one length"):
        ie.Runs(model, pairs, ablation=ablation)


def test_metrics_of_each_pair_are_those_of_the_pair_alone(model: HookedModel, pairs: ie.PromptPairs):
    found = metrics_of_clean(model, pairs, FROM_LOGITS)
    for metric, values in found.items():
        alone = np.concatenate([metrics_of_clean(model, pair, [metric])[metric] for pair in each(pairs)])
        np.testing.assert_allclose(values, alone, rtol=1e-5, atol=1e-7)


def test_continuations_of_each_pair_are_those_of_the_pair_alone(model: HookedModel, pairs: ie.PromptPairs):
    found = several_tokens(model, pairs)
    alone = [several_tokens(model, pair) for pair in each(pairs)]
    assert np.array_equal(found.guess, np.concatenate([one.guess for one in alone]))
    np.testing.assert_allclose(found.log_prob, np.concatenate([one.log_prob for one in alone]), rtol=1e-5)
    assert np.array_equal(found.truth[:, 1], np.arange(5))


def test_samples_pass_as_often_as_the_answers_are_probable(model: HookedModel, pairs: ie.PromptPairs):
    passed = answer_sampler(model, pairs)(200_000, np.random.default_rng(0)).mean()
    assert passed == pytest.approx(metrics_of_clean(model, pairs, ["prob"])["prob"].mean(), abs=0.003)


def test_attention_at_positions_is_the_mean_over_all_pairs(model: HookedModel, pairs: ie.PromptPairs):
    circuit = ie.Circuit.from_nodes(model, ["a0.h1", "a1.h0"])
    found = ie.circuits.roles.attention_at(model, pairs, circuit)
    alone = pd.concat([ie.circuits.roles.attention_at(model, pair, circuit) for pair in each(pairs)])
    expected = alone.groupby(["node", "position"], sort=False)["attention"].mean()
    np.testing.assert_allclose(found["attention"], expected, rtol=1e-5)


def test_a_circuit_is_found_and_tested_on_pairs_of_several_lengths():
    rows = [random_pairs(12, length=length, seed=length) for length in (6, 9)]
    pairs = ie.PromptPairs(
        clean=[prompt for group in rows for prompt in group.clean.tolist()],
        corrupt=[prompt for group in rows for prompt in group.corrupt.tolist()],
        answer=torch.cat([group.answer for group in rows]),
        foil=torch.cat([group.foil for group in rows]),
    )
    model = small_model("gpt_neox")
    finding, testing = pairs.split()
    found = ie.find_circuit(ie.Runs(model, finding), method="eap", n_edges=6)
    evaluation = ie.Runs(model, testing).evaluate(found.circuit)
    assert {*testing.lengths.tolist()} == {6, 9} and len(evaluation.metric) == len(testing)
    scores = ie.score(model, finding, method="eap")
    assert isinstance(scores, EdgeScores) and not isinstance(scores, NodeScores)
    assert found.circuit.kept.sum() <= 6 and np.array_equal(found.circuit.kept, scores.top(6).kept)
