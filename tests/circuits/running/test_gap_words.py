"""Why faithfulness is undefined, in true words, wherever it is said: noise, a negative gap, one pair, no number."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import interp_emerge as ie
from interp_emerge.circuits.finding.selection import smallest_faithful
from interp_emerge.circuits.known import GroundTruth, ground_truth
from interp_emerge.circuits.roles.labels import effects_of_heads
from interp_emerge.circuits.running.beyond_chance import verdict_of
from interp_emerge.circuits.running.faithfulness import not_above_zero, why_undefined
from tests.patching.scored import score_edges

RNG = np.random.default_rng(0)
NOISE = RNG.normal(0, 1, 60)
NEGATIVE = "is negative: the whole model scores below the run with every edge ablated, so clean and corrupt may be exch"


@pytest.fixture(scope="module")
def truth() -> GroundTruth:
    return ground_truth("induction")


def exchanged(pairs: ie.PromptPairs) -> ie.PromptPairs:
    """The same pairs with clean and corrupt prompts exchanged, so that every gap has the other sign."""
    return replace(pairs, clean=pairs.corrupt, corrupt=pairs.clean)


@pytest.mark.parametrize(
    ("gap", "words"),
    [
        (NOISE + 3, ""),
        (NOISE - 3, NEGATIVE),
        (NOISE, "is within noise"),
        (NOISE - NOISE.mean() + 0.1, "is within noise"),
        (NOISE - NOISE.mean() - 0.1, "is within noise"),
        (np.zeros(60), "is within noise"),
        (np.full(60, -1e-3), NEGATIVE),
        (np.array([3.0]), "is that of a single pair, which does not show how large the noise is"),
        (np.array([-3.0]), "is that of a single pair"),
        (np.where(np.arange(60) == 7, np.nan, NOISE + 3), "is not finite"),
        (np.where(np.arange(60) == 7, np.inf, NOISE - 3), "is not finite"),
    ],
)
def test_the_words_are_those_of_the_gap(gap: np.ndarray, words: str):
    with np.errstate(invalid="ignore"):
        found = why_undefined(gap)
    assert found.startswith(words)
    assert bool(found) == bool(words)


@pytest.mark.parametrize("construction", ["induction", "induction_grouped", "duplicate_token", "backup", "chain"])
def test_an_evaluation_on_exchanged_pairs_says_that_the_gap_is_negative(construction: str):
    truth = ground_truth(construction)
    found = ie.evaluate(truth.model, truth.circuit, exchanged(truth.pairs))
    assert found.gap.high < 0
    assert not found.defined and np.isnan(found.faithfulness)
    assert f"clean-corrupt gap {found.gap.value:.3g} {NEGATIVE}" in repr(found)
    assert ie.evaluate(truth.model, truth.circuit, truth.pairs).why_undefined == ""


def test_a_single_pair_is_said_to_be_one(truth: GroundTruth):
    found = ie.evaluate(truth.model, truth.circuit, truth.pairs[:1])
    assert f"gap {found.gap.value:.3g} is that of a single pair, which does not show" in repr(found)


def notes(truth: GroundTruth, pairs: ie.PromptPairs) -> dict[str, str]:
    """What each place says about a circuit on pairs without a usable gap."""
    model, circuit = truth.model, truth.circuit
    scores = score_edges(model, truth.pairs, method="eap")
    found = smallest_faithful(ie.Runs(model, pairs), scores)
    in_matrix = ie.emergence.sameness.transfer_matrix({"a": circuit}, [("m", model)], lambda _: pairs, n_random=2)
    return {
        "examination": str(ie.examine(ie.Runs(model, pairs), circuit, parts=["hypotheses"], n_random=2)),
        "hypotheses": ie.circuits.testing.hypothesis_tests(ie.Runs(model, pairs), circuit, n_random=2)
        .to_frame()["note"]
        .iloc[0],
        "labels": effects_of_heads(ie.Runs(model, pairs), circuit)["effect_note"].iloc[0],
        "label_heads": ie.circuits.roles.label_heads(ie.Runs(model, pairs), circuit, roles=["induction"])["note"].iloc[
            0
        ],
        "transfer": ie.emergence.sameness.transfer({"a": circuit}, model, pairs)["note"].iloc[0],
        "transfer_matrix": in_matrix["note"].iloc[0],
        "dependence": ie.emergence.forming.dependence_at(ie.Runs(model, pairs), circuit)["note"].iloc[0],
        "selection": found.origin["selection"]["undefined"],
    }


def test_every_place_says_that_a_negative_gap_is_negative_and_none_calls_it_noise(truth: GroundTruth):
    for place, said in notes(truth, exchanged(truth.pairs)).items():
        assert NEGATIVE in said, place
        assert "within noise" not in said, place


def test_every_place_still_calls_noise_noise(truth: GroundTruth):
    both: dict[str, Any] = {
        name: np.concatenate([np.asarray(getattr(truth.pairs, name)), np.asarray(getattr(other, name))])
        for other in [exchanged(truth.pairs)]
        for name in ("clean", "corrupt", "answer", "foil")
    }
    mixed = ie.PromptPairs(**both)
    assert ie.evaluate(truth.model, truth.circuit, mixed).why_undefined == "is within noise"
    for place, said in notes(truth, mixed).items():
        assert "is within noise" in said, place
        assert "negative" not in said, place


def test_the_target_that_a_search_missed_is_explained_by_the_gap(truth: GroundTruth):
    found = ie.find_circuit(ie.Runs(truth.model, exchanged(truth.pairs)), method="eap")
    assert not len(found.circuit)
    assert f"faithfulness is undefined there, since the gap {NEGATIVE}" in str(
        ie.examine(ie.Runs(truth.model, truth.pairs), found.circuit, parts=[])
    )


def test_a_mean_below_zero_beyond_noise_is_negative_and_blames_no_exchange():
    assert not_above_zero(NOISE - 3) == "is negative"
    assert not_above_zero(NOISE + 3) == ""
    assert not_above_zero(NOISE) == "is within noise"


def test_a_study_names_the_reason_in_its_verdict():
    unknown: dict[str, float] = {"faithfulness": np.nan, "low": np.nan, "random_p95": np.nan, "target": 0.8}
    for why in ("is within noise", NEGATIVE):
        assert verdict_of(**unknown, why_undefined=why) == f"undefined: the clean-corrupt gap {why}"
