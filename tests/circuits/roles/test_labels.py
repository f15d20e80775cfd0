from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import interp_emerge as ie
from interp_emerge.circuits.known import GroundTruth, ground_truth
from interp_emerge.circuits.roles.labels import attention_at, effects_of_heads, label_heads
from interp_emerge.circuits.roles.table import role_table
from interp_emerge.core.errors import InputError, UnknownNameError
from tests.models.small_models import ARCHITECTURES, build, random_pairs, small_model, telling_pairs

ROLES = ("previous_token", "induction", "copying", "negative_name_mover")


@pytest.fixture(scope="module")
def truth() -> GroundTruth:
    return ground_truth("induction")


@pytest.fixture(scope="module")
def table(truth: GroundTruth) -> pd.DataFrame:
    return role_table(truth.model, roles=ROLES)


def test_the_heads_of_an_induction_circuit_made_by_hand_get_their_labels_only(truth: GroundTruth, table: pd.DataFrame):
    frame = label_heads(ie.Runs(truth.model, truth.pairs), truth.circuit, roles=ROLES, table=table)
    assert len(frame) == 2 * len(ROLES)
    labelled = frame[frame["label"]]
    assert {*zip(labelled["node"], labelled["role"], strict=True)} == {
        ("a0.h0", "previous_token"),
        ("a1.h0", "induction"),
        ("a1.h0", "copying"),
    }
    assert (frame["q_value"] < 1e-3).all()


def test_a_head_on_every_path_has_all_of_the_circuits_effect(truth: GroundTruth):
    whole = ie.evaluate(truth.model, truth.circuit, truth.pairs)
    effects = effects_of_heads(ie.Runs(truth.model, truth.pairs), truth.circuit).set_index("node")
    kept = whole.metric - whole.corrupt
    assert effects["effect"]["a1.h0"] == pytest.approx(kept.mean(), abs=1e-4)
    # The previous-token head carries the difference in the pairs with the corruption `key`, a third of all.
    assert effects["effect"]["a0.h0"] == pytest.approx(kept.mean() / 3, rel=0.01)
    assert (effects["effect_low"] <= effects["effect"]).all()
    assert (effects["effect"] <= effects["effect_high"]).all()


def test_a_behaviour_without_the_effect_of_the_role_gets_no_label(truth: GroundTruth, table: pd.DataFrame):
    shown = table.assign(plays=pd.array([True] * len(table), dtype="boolean"))
    frame = label_heads(ie.Runs(truth.model, truth.pairs), truth.circuit, roles=ROLES, table=shown)
    against = frame["role"] == "negative_name_mover"
    assert frame["label"][~against].all()
    assert not frame["agrees"][against].any() and not frame["label"][against].any()


def test_a_head_that_works_against_the_answer_gets_the_label_of_such_a_role():
    model = ie.hook(build("gpt2"))
    pairs = telling_pairs(model, 40)
    whole = ie.Circuit.from_edges(model, []).with_kept(model.graph.exists)
    harmful, useful = "a2.h1", "a2.h0"
    before = effects_of_heads(ie.Runs(model, pairs), whole).set_index("node")
    with torch.no_grad():
        # Only the sign of what this head writes changes.
        model.decoder.blocks[2].attention_out.weight().chunk(4, 1)[1].neg_()
    after = effects_of_heads(ie.Runs(model, pairs), whole).set_index("node")
    assert before["effect"][harmful] > 0 > after["effect"][harmful]
    assert before["effect"][useful] > 0 and after["effect"][useful] > 0
    assert max(after["q_value"][[harmful, useful]]) < 0.05
    roles = ["copying", "negative_name_mover", "copy_suppression"]
    rows = [(head, role) for role in roles for head in whole.heads]
    playing = pd.DataFrame(rows, columns=pd.Index(["node", "role"])).assign(plays=True, note="")
    frame = label_heads(ie.Runs(model, pairs), whole, roles=roles, table=playing)
    label = frame.set_index(["node", "role"])["label"]
    assert label[useful, "copying"] and not label[useful, "negative_name_mover"]
    assert label[harmful, "negative_name_mover"] and not label[harmful, "copying"]
    # Suppressing a prediction helps if the prediction is wrong.
    assert label[useful, "copy_suppression"] and label[harmful, "copy_suppression"]


def test_without_a_gap_effects_and_labels_are_undefined_with_the_reason(truth: GroundTruth, table: pd.DataFrame):
    same = replace(truth.pairs, corrupt=truth.pairs.clean)
    frame = label_heads(ie.Runs(truth.model, same), truth.circuit, roles=ROLES, table=table)
    assert frame[["effect", "p_value", "q_value"]].isna().all(axis=None)
    assert frame[["agrees"]].isna().all(axis=None) and not frame["label"].fillna(False).any()
    assert frame["note"].str.contains("effect undefined: clean-corrupt gap 0 is within noise").all()


def test_no_untrained_model_is_built_if_no_label_is_possible(
    truth: GroundTruth, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an untrained model was asked for")

    monkeypatch.setattr("interp_emerge.circuits.roles.table.untrained", refuse)
    same = replace(truth.pairs, corrupt=truth.pairs.clean)
    frame = label_heads(ie.Runs(truth.model, same), truth.circuit, roles=ROLES)
    measured = label_heads(ie.Runs(truth.model, same), truth.circuit, roles=ROLES, table=table)
    assert [*frame.columns] == [*measured.columns]
    assert (frame[["node", "layer", "index", "role"]] == measured[["node", "layer", "index", "role"]]).all(axis=None)
    undefined = ["score", "baseline", "clears_baseline", "attention", "plays", "effect", "agrees", "label"]
    assert frame[undefined].isna().all(axis=None)
    assert frame["note"].str.contains("role not measured").all()
    assert frame["note"].str.contains("effect undefined: clean-corrupt gap 0 is within noise").all()
    direct = ie.Circuit.from_edges(truth.model, [("embed", "logits")])
    none = label_heads(ie.Runs(truth.model, truth.pairs), direct, roles=ROLES)
    assert none.empty and [*none.columns] == [*measured.columns]
    with pytest.raises(UnknownNameError, match="unknown role 'inductoin'"):
        label_heads(ie.Runs(truth.model, truth.pairs), direct, roles=["inductoin"])
    # If labels are possible, untrained models are built.
    with pytest.raises(AssertionError, match="an untrained model was asked for"):
        label_heads(ie.Runs(truth.model, truth.pairs), truth.circuit, roles=ROLES)


def test_effects_are_undefined_if_the_circuit_keeps_nothing_of_the_gap(truth: GroundTruth):
    half = ie.Circuit.from_edges(truth.model, [("embed", "a0.h0.v"), ("a0.h0", "logits")])
    effects = effects_of_heads(ie.Runs(truth.model, truth.pairs), half)
    assert effects["effect"].isna().all()
    assert effects["effect_note"].str.contains(r"gap that the circuit keeps, .* is within noise").all()


def test_a_circuit_without_heads_has_no_rows(truth: GroundTruth, table: pd.DataFrame):
    direct = ie.Circuit.from_edges(truth.model, [("embed", "logits")])
    assert label_heads(ie.Runs(truth.model, truth.pairs), direct, roles=ROLES, table=table).empty
    assert attention_at(truth.model, truth.pairs, direct).empty


def test_a_table_of_other_roles_and_a_circuit_of_another_model_are_refused(truth: GroundTruth, table: pd.DataFrame):
    with pytest.raises(InputError, match=r"holds 0 rows for 2 heads and 1 roles; give the result of role_table"):
        label_heads(ie.Runs(truth.model, truth.pairs), truth.circuit, roles=["successor"], table=table)
    other, pairs = small_model("gpt2"), random_pairs()
    with pytest.raises(InputError, match="the circuit was found on a model whose graph differs from that of"):
        label_heads(ie.Runs(other, pairs), truth.circuit)
    with pytest.raises(InputError, match="the circuit was found on a model whose graph differs from that of"):
        attention_at(other, pairs, truth.circuit)
    with pytest.raises(UnknownNameError, match=r"unknown role 'inductoin'; did you mean 'induction'\?"):
        label_heads(ie.Runs(truth.model, truth.pairs), truth.circuit, roles=["inductoin"])


def test_an_induction_head_attends_to_the_token_after_the_first_occurrence(truth: GroundTruth):
    frame = attention_at(truth.model, truth.pairs, truth.circuit).set_index(["node", "position"])
    assert frame["attention"]["a1.h0", "after first occurrence"] == pytest.approx(1, abs=1e-3)
    assert frame["attention"]["a1.h0", "first occurrence"] == pytest.approx(0, abs=1e-3)
    keys = truth.pairs[np.array(truth.pairs.templates) == "key"]
    corrupt = attention_at(truth.model, keys, truth.circuit, prompts="corrupt").set_index(["node", "position"])
    assert corrupt["attention"]["a1.h0", "after first occurrence"] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_attention_at_positions_equals_the_patterns_of_transformer_lens(architecture: str):
    model = small_model(architecture)
    place = np.array([0, 1, 2, 3, 4, 5])
    pairs = telling_pairs(model)
    pairs = ie.PromptPairs(clean=pairs.clean, corrupt=pairs.corrupt, answer=pairs.answer, foil=pairs.foil,
                           positions={"here": place, "last": np.full(6, 6)})  # fmt: skip
    circuit = ie.Circuit.from_edges(model, [("a2.h1", "logits"), ("a0.h3", "m2")])
    _, cache = model.bridge.run_with_cache(pairs.clean)
    frame = attention_at(model, pairs, circuit, budget=10**6).set_index(["node", "position"])["attention"]
    for head, layer, index in (("a2.h1", 2, 1), ("a0.h3", 0, 3)):
        pattern = cache[f"blocks.{layer}.attn.hook_pattern"][:, index, -1]
        assert frame[head, "here"] == pytest.approx(float(pattern[range(6), place].mean()), abs=1e-5)
        assert frame[head, "last"] == pytest.approx(float(pattern[:, 6].mean()), abs=1e-5)


def test_pairs_without_named_positions_and_unknown_prompts_are_refused(truth: GroundTruth):
    with pytest.raises(InputError, match=r"name no positions; give PromptPairs\(positions="):
        attention_at(small_model("gpt2"), random_pairs(), ie.Circuit.from_edges(small_model("gpt2"), []))
    with pytest.raises(InputError, match=r"prompts='both' is unknown; give 'clean' or 'corrupt'"):
        attention_at(truth.model, truth.pairs, truth.circuit, prompts="both")
