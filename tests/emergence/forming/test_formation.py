"""Formation: what the parts of a final circuit do at a checkpoint is what scoring that checkpoint says."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import interp_emerge as ie
from interp_emerge.circuits.known import GroundTruth
from interp_emerge.circuits.roles.table import role_scores
from interp_emerge.emergence.forming.formation import (
    Formation,
    edges_over_steps,
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


def test_all_nodes_are_measured_as_scoring_the_model_and_its_roles_does(known: GroundTruth, formed: Formation):
    effects = ie.score(known.model, known.pairs, method="activation_patching").to_frame().set_index("node")
    columns = ["value", "ci_low", "ci_high"]
    found = formed.nodes[formed.nodes["quantity"] == "effect"].set_index("node")[columns]
    expected = effects[effects["kind"].isin(["head", "mlp"])][["score", "ci_low", "ci_high"]]
    assert found.index.tolist() == expected.index.tolist()
    np.testing.assert_allclose(found.to_numpy(), expected.to_numpy(), atol=1e-6)
    heads = [node for node in expected.index if node.startswith("a")]
    for role, scores in role_scores(known.model).items():
        own = formed.nodes[formed.nodes["quantity"] == role]
        assert own["node"].tolist() == heads
        np.testing.assert_allclose(own["value"], scores.mean(0), atol=1e-6)


def test_edges_of_a_step_are_its_strongest_and_those_that_left_keep_their_effect(known: GroundTruth, after: Formation):
    edges = after.edges
    absent = ~edges["score"].isin([edges["score"].max()]) & (edges["score"].abs() < 1e-3)
    writer, reader = edges[absent & (edges["writer"] == "embed")].iloc[0][["writer", "reader"]]
    own = (edges["writer"] == writer) & (edges["reader"] == reader)
    strong = replace(after, edges=edges.assign(score=edges["score"].where(~own, 50.0)))
    nothing = after.parts["quantity"] == "faithfulness"
    before = replace(after, parts=after.parts.assign(value=after.parts["value"].where(~nothing)))
    table = edges_over_steps({0: before, 1: strong, 2: after}, known.circuit)
    assert table[table["step"] == 0]["in_step_circuit"].isna().all(), "no gap, no circuit"
    (gone,) = {(row.writer, row.reader) for row in table[~table["in_last_circuit"]].itertuples()}
    assert gone == (writer, reader)
    found = table[(table["writer"] == writer) & (table["reader"] == reader)].set_index("step")
    assert found["in_step_circuit"].to_list()[1:] == [True, False]
    assert found["score"].to_list()[1:] == [50.0, pytest.approx(edges[own]["score"].iloc[0])]
    stays = table[table["in_last_circuit"]]
    assert {*zip(stays["writer"], stays["reader"], strict=True)} == {(e.writer, e.reader) for e in known.circuit.edges}


def test_the_heads_of_the_circuit_that_play_a_role_are_followed(known: GroundTruth):
    roles = ie.role_table(known.model, roles=("previous_token", "induction"))
    followed = heads_to_follow(roles, known.circuit)
    assert followed == [("previous_token", "a0.h0"), ("induction", "a1.h0")]
    assert not np.isin([head for _, head in followed], ["a0.h1", "a1.h1"]).any()


def test_all_heads_of_a_role_are_followed_the_strongest_first(known: GroundTruth):
    roles = pd.DataFrame({"role": "induction", "node": [*known.circuit.heads], "plays": True})
    roles["score"] = np.arange(len(roles)) / 10
    followed = heads_to_follow(roles, known.circuit)
    assert [head for _, head in followed] == [*known.circuit.heads][::-1]
