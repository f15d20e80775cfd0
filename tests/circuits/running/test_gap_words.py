"""The reason why faithfulness is undefined is right wherever it is given: noise, a negative gap, one pair, NaN."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import interp_emerge as ie
from interp_emerge.circuits.finding.selection import smallest_faithful
from interp_emerge.circuits.known import GroundTruth, ground_truth
from interp_emerge.circuits.roles.labels import effects_of_heads
from interp_emerge.circuits.running.beyond_chance import CircuitVerdict, verdict_of
from interp_emerge.circuits.running.faithfulness import why_undefined
from interp_emerge.stats.intervals import not_above_zero
from tests.patching.scored import score_edges

NOISE = np.random.default_rng(0).normal(0, 1, 60)
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
        (np.array([3.0]), "is that of 1 pair, and fewer than 5 do not show how large the noise is"),
        (np.array([-3.0, -3.1, -2.9, -3.0]), "is that of 4 pairs, and fewer than 5"),
        (np.where(np.arange(60) == 7, np.nan, NOISE + 3), "is not finite"),
        (np.where(np.arange(60) == 7, np.inf, NOISE - 3), "is not finite"),
    ],
)
def test_the_reason_fits_the_gap(gap: np.ndarray, words: str):
    with np.errstate(invalid="ignore"):
        found = why_undefined(gap)
    assert found.startswith(words)
    assert bool(found) == bool(words)


@pytest.mark.parametrize("construction", ["induction", "induction_grouped", "duplicate_token", "backup", "chain"])
def test_an_evaluation_on_exchanged_pairs_has_a_negative_gap(construction: str):
    truth = ground_truth(construction)
    found = ie.evaluate(truth.model, truth.circuit, exchanged(truth.pairs))
    assert found.gap.high < 0
    assert not found.defined and np.isnan(found.faithfulness)
    assert f"clean-corrupt gap {found.gap.value:.3g} {NEGATIVE}" in repr(found)
    assert ie.evaluate(truth.model, truth.circuit, truth.pairs).why_undefined == ""


def test_a_single_pair_is_named_as_the_reason(truth: GroundTruth):
    found = ie.evaluate(truth.model, truth.circuit, truth.pairs[:1])
    assert f"gap {found.gap.value:.3g} is that of 1 pair, and fewer than 5" in repr(found)


def notes(truth: GroundTruth, pairs: ie.PromptPairs) -> dict[str, str]:
    """The reason that each result gives for a circuit on pairs without a usable gap."""
    model, circuit = truth.model, truth.circuit
    scores = score_edges(model, truth.pairs, method="eap")
    found = smallest_faithful(ie.Runs(model, pairs), scores)
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
        "dependence": ie.emergence.forming.dependence_at(ie.Runs(model, pairs), circuit)["note"].iloc[0],
        "selection": found.origin["selection"]["undefined"],
    }


def test_every_result_calls_a_negative_gap_negative_and_not_noise(truth: GroundTruth):
    for place, note in notes(truth, exchanged(truth.pairs)).items():
        assert NEGATIVE in note, place
        assert "within noise" not in note, place


def test_every_result_calls_noise_noise(truth: GroundTruth):
    both: dict[str, Any] = {
        name: np.concatenate([np.asarray(getattr(truth.pairs, name)), np.asarray(getattr(other, name))])
        for other in [exchanged(truth.pairs)]
        for name in ("clean", "corrupt", "answer", "foil")
    }
    mixed = ie.PromptPairs(**both)
    assert ie.evaluate(truth.model, truth.circuit, mixed).why_undefined == "is within noise"
    for place, note in notes(truth, mixed).items():
        assert "is within noise" in note, place
        assert "negative" not in note, place


def test_the_target_that_a_search_missed_is_explained_by_the_gap(truth: GroundTruth):
    found = ie.find_circuit(ie.Runs(truth.model, exchanged(truth.pairs)), method="eap")
    assert not len(found.circuit)
    assert f"undefined there, since the gap {NEGATIVE}" in str(
        ie.examine(ie.Runs(truth.model, truth.pairs), found.circuit, parts=[])
    )


def test_the_reason_for_a_negative_mean_does_not_mention_an_exchange():
    assert not_above_zero(NOISE - 3) == "is negative"
    assert not_above_zero(NOISE + 3) == ""
    assert not_above_zero(NOISE) == "is within noise"


def test_a_study_gives_the_reason_in_its_verdict():
    unknown: dict[str, float] = {"faithfulness": np.nan, "low": np.nan, "random_p95": np.nan, "target": 0.8}
    for why in ("is within noise", NEGATIVE):
        assert verdict_of(**unknown, why_undefined=why) == f"{CircuitVerdict.UNDEFINED}: the clean-corrupt gap {why}"
