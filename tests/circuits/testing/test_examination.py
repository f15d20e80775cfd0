import json

import numpy as np
import pandas as pd
import pytest

import interp_emerge as ie
from interp_emerge.circuits.finding.find import find_circuit
from interp_emerge.circuits.running.ablation import heads_to_ablate
from interp_emerge.circuits.running.evaluation import GRID
from interp_emerge.circuits.testing.examination import PARTS, Examination, examine
from interp_emerge.circuits.testing.outcomes import HypothesisVerdict
from interp_emerge.core.errors import InputError, UnknownNameError
from tests.models.small_models import small_model


@pytest.fixture(scope="module")
def examined() -> Examination:
    """The circuit of the smallest bundled model that has induction, on pairs that it was not found on."""
    model = ie.load_family("miniature").load("25k")
    ability = ie.load_ability("induction")
    found = find_circuit(ie.Runs(model, ability.sample(model, 32, seed=1000)))
    held_out = ability.sample(model, 32, seed=2000)
    return examine(ie.Runs(model, held_out), found.circuit, scores=found.scores, n_random=120, resamples=20)


def test_every_part_has_its_tables(examined: Examination):
    assert {*PARTS} <= {*examined.tables}
    assert {"evaluation", "edges", "edge_frequencies"} <= {*examined.tables}
    assert not any(table.empty for table in examined.tables.values())


def test_a_circuit_that_holds_keeps_the_gap_leaves_none_and_beats_random_circuits(examined: Examination):
    assert examined.evaluation.faithfulness > 0.8
    assert examined.without.faithfulness < 0.2
    assert examined.tables["hypotheses"].set_index("test")["supports"]["sufficiency"]


def test_heads_labelled_induction_attend_as_such_on_the_prompts_of_the_ability_too(examined: Examination):
    labels, attention = examined.tables["roles"], examined.tables["attention"]
    induction = labels[(labels["role"] == "induction") & labels["label"].fillna(False)]
    there = attention[attention["position"] == "after first occurrence"].set_index("node")
    others = there.drop(induction["node"])
    assert len(induction) and len(others)
    assert (there.loc[induction["node"], "ci_low"] > induction["baseline"].iloc[0]).all()
    assert there.loc[induction["node"], "attention"].min() > 0.5 > others["attention"].max()


def test_areas_composition_and_backup_are_those_of_their_own_functions(examined: Examination):
    areas = examined.tables["areas"].set_index("quantity")["value"]
    composition = examined.tables["composition"]
    curves = {name: rows["faithfulness"] for name, rows in examined.tables["curve"].groupby("ranking")}
    assert areas["cpr"] == pytest.approx(np.trapezoid(curves["score"], GRID))
    assert areas["cmd"] == pytest.approx(np.trapezoid(np.abs(1 - curves["magnitude"]), GRID))
    assert {*zip(composition["writer"], composition["reader"], strict=True)} == {
        (edge.writer, edge.reader) for edge in examined.circuit.edges if edge.writer[0] == edge.reader[0] == "a"
    }
    assert not set(examined.tables["backup"]["node"]) & set(heads_to_ablate(examined.circuit))


def test_the_table_of_ablations_has_the_evaluation_among_its_rows(examined: Examination):
    rows = examined.tables["ablations"].set_index(["ablation", "level"])
    assert rows.loc[("resample", "edges"), "faithfulness"] == examined.evaluation.faithfulness
    assert len(rows) == 8


def test_sentences_hold_the_numbers_of_the_tables(examined: Examination):
    text = "\n".join(examined.sentences)
    low, high = examined.evaluation.ci
    assert f"{examined.evaluation.faithfulness:.2f} [{low:.2f}, {high:.2f}] of the clean-corrupt gap" in text
    for test in ("Equivalence", "Independence", "Sufficiency", "Partial necessity", "Minimality"):
        assert f"{test} " in text
    jaccard = examined.tables["stability"].set_index("quantity").loc["jaccard", "value"]
    assert f"Jaccard index of {jaccard:.2f} [" in text
    areas = examined.tables["areas"].set_index("quantity")["value"]
    assert f"CPR is {areas['cpr']:.2f} [" in text
    assert f"Of {len(examined.tables['backup'])} other heads" in text


def test_heads_are_shown_with_the_roles_that_they_are_labelled_with(examined: Examination):
    shown = examined.shown["roles of heads"].set_index("head")
    labels = examined.tables["roles"]
    for head in examined.circuit.heads:
        given = labels[(labels["node"] == head) & labels["label"].fillna(False)]["role"].tolist()
        assert {*str(shown.loc[head, "roles"]).split()} == {*(given or ["none"])}
    assert shown["roles"].str.contains("induction").any() and shown["roles"].str.contains("previous_token").any()


def test_as_json_it_holds_the_circuit_and_all_tables(examined: Examination):
    content = json.loads(json.dumps(examined.to_dict()))
    assert content["circuit"] == json.loads(examined.circuit.to_json())
    assert {*examined.tables} <= {*content}
    assert len(content["roles"]) == len(examined.tables["roles"])


def test_a_part_that_is_left_out_is_not_run():
    model = small_model("gpt2")
    pairs = ie.PromptPairs(clean=[[1, 2, 3, 4]] * 4, corrupt=[[5, 2, 3, 4]] * 4, answer=[7] * 4, foil=[8] * 4)
    circuit = ie.Circuit.from_edges(model, [("embed", "a0.h1.k"), ("a0.h1", "logits")])
    assert [*examine(ie.Runs(model, pairs), circuit, parts=()).tables] == ["evaluation"]
    assert [*examine(ie.Runs(model, pairs), circuit, parts=("ablations",)).tables] == ["evaluation", "ablations"]
    with pytest.raises(UnknownNameError, match="did you mean 'minimality'"):
        examine(ie.Runs(model, pairs), circuit, parts=("minimal",))
    with pytest.raises(InputError, match="the circuit was found on a model whose graph differs from that of"):
        examine(ie.Runs(small_model("llama_grouped"), pairs), circuit)


def test_without_a_gap_results_are_undefined_and_the_divergence_is_given():
    model = small_model("gpt2")
    tokens = np.arange(1, 33).reshape(8, 4)
    pairs = ie.PromptPairs(clean=tokens, corrupt=tokens[::-1].copy(), answer=[7, 8] * 4, foil=[8, 7] * 4)
    nothing = examine(ie.Runs(model, pairs), ie.Circuit.from_edges(model, [("embed", "logits")]), parts=("hypotheses",))
    assert np.isnan(nothing.evaluation.faithfulness)
    first, *others = nothing.sentences
    assert first.startswith("The model prefers the answer as much after the corrupted prompts as after the clean ones")
    assert f" {nothing.evaluation.divergence.value:.3g} nats" in others[0]
    assert nothing.tables["hypotheses"]["p_value"].isna().all()
    assert (nothing.tables["hypotheses"]["verdict"] == HypothesisVerdict.UNDEFINED).all()
    assert all("undefined" in sentence for sentence in others) and len(others) == 2, "one line for all tests"
    assert isinstance(nothing.shown["what is kept"], pd.DataFrame)
    assert nothing.shown["what is kept"].loc[0, "faithfulness"] == "undefined"
