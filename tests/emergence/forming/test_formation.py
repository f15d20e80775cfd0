"""Formation: what the parts of a final circuit do at a checkpoint is what scoring that checkpoint says."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import interp_emerge as ie
from interp_emerge.circuits.known import GroundTruth
from interp_emerge.emergence.forming.formation import (
    Formation,
    formation_at,
    formation_turnover,
    heads_to_follow,
    summarise_formation,
)


@pytest.fixture(scope="module")
def known() -> GroundTruth:
    return ie.circuits.ground_truth("induction_distractors", 12)


@pytest.fixture(scope="module")
def formed(known: GroundTruth) -> Formation:
    return formation_at(known.model, known.circuit, [("previous_token", "a0.h0")], known.pairs, steps=20)


@pytest.fixture(scope="module")
def after(known: GroundTruth) -> Formation:
    return formation_at(known.model, known.circuit, [], known.pairs)


def test_a_part_has_the_effect_that_scoring_the_model_gives_it(known: GroundTruth, formed: Formation):
    means = formed.parts.groupby(["quantity", "component"])["value"].mean()
    nodes = ie.score(known.model, known.pairs, method="activation_patching").to_frame().set_index("node")["score"]
    assert means["effect"].to_dict() == pytest.approx({head: nodes[head] for head in known.circuit.heads})
    edges = ie.score(known.model, known.pairs, method="eap_ig", steps=20).to_frame()
    named = dict(zip(edges["writer"] + " → " + edges["reader"], edges["score"], strict=True))
    assert means["edge effect"].to_dict() == pytest.approx(
        {f"{edge.writer} → {edge.reader}": named[f"{edge.writer} → {edge.reader}"] for edge in known.circuit.edges}
    )
    assert formed.edges["score"].to_numpy() == pytest.approx(edges["score"].to_numpy())


def test_the_known_circuit_is_faithful_and_its_head_attends_to_the_token_before(formed: Formation):
    summary: Any = summarise_formation(formed.parts).set_index(["quantity", "component"])
    assert summary.loc[("faithfulness", "circuit"), "value"] == pytest.approx(1, abs=1e-3)
    role = summary.loc[("previous_token", "a0.h0")]
    assert role["value"] > 0.99
    assert role["ci_low"] <= role["value"] <= role["ci_high"]


def test_without_a_gap_faithfulness_is_undefined_and_there_is_no_circuit(known: GroundTruth, after: Formation):
    before = ie.load_family("handset").load("induction_distractors", 0)
    nothing = formation_at(before, known.circuit, [], known.pairs)
    assert nothing.parts[nothing.parts["quantity"] == "faithfulness"]["value"].isna().all()
    table = formation_turnover({0: nothing, 1: after, 2: after}, known.circuit)
    assert table["note"].tolist() == ["no circuit at this step", "the first circuit", ""]
    last = table.iloc[-1]
    assert (last["jaccard"], last["rank_correlation"], last["mass_shared"]) == pytest.approx((1, 1, 1))
    assert (last["born"], last["lost"]) == ("", "")
    assert last["p_value"] < 0.05


def test_a_head_that_takes_over_is_born_and_the_one_it_replaces_is_lost(known: GroundTruth, after: Formation):
    swapped = {"a0.h0": "a0.h1", "a0.h1": "a0.h0"}
    edges = after.edges.copy()
    edges["key"] = [
        (swapped.get(writer, writer), swapped.get(reader[:5], reader[:5]) + reader[5:])
        for writer, reader in zip(edges["writer"], edges["reader"], strict=True)
    ]
    score = dict(zip(edges["key"], edges["score"], strict=True))
    moved = after.edges.assign(score=[score[edge] for edge in zip(edges["writer"], edges["reader"], strict=True)])
    last = formation_turnover({1: after, 2: replace(after, edges=moved)}, known.circuit).iloc[-1]
    assert (last["born"], last["lost"]) == ("a0.h1", "a0.h0")
    assert 0 < last["jaccard"] < 1


def test_the_strongest_heads_of_each_role_above_the_baseline_are_followed(known: GroundTruth):
    roles = ie.role_table(known.model, roles=("previous_token", "induction"))
    followed = heads_to_follow(roles, known.circuit)
    assert followed == [("previous_token", "a0.h0"), ("induction", "a1.h0")]
    assert not np.isin([head for _, head in followed], ["a0.h1", "a1.h1"]).any()
