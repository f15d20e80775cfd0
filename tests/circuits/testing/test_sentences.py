from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import interp_emerge as ie
from interp_emerge.circuits.testing.completeness import Completeness, KnockOut
from interp_emerge.circuits.testing.examination import examine
from interp_emerge.circuits.testing.hypotheses import HypothesisTests
from interp_emerge.circuits.testing.minimality import Minimality, NodeEffect
from interp_emerge.circuits.testing.outcomes import Outcome
from interp_emerge.circuits.testing.sentences import sentences, small_tables
from interp_emerge.stats.intervals import Interval
from tests.models.small_models import small_model, telling_pairs

MODEL = small_model("gpt_neox")
PATH = ie.Circuit.from_edges(MODEL, [("embed", "a0.h1.v"), ("a0.h1", "a1.h0.v"), ("a1.h0", "logits")])
EMPTY = ie.Circuit.from_edges(MODEL, [])


def lines_of(tables: dict[str, pd.DataFrame], circuit: ie.Circuit = PATH, n: int = 6) -> list[str]:
    pairs = telling_pairs(MODEL, 6)[:n]
    found, without = ie.Runs(MODEL, pairs).evaluations([circuit.kept, circuit.complement().kept])
    return sentences(circuit, found, without, tables)


def table_of(*outcomes: Outcome) -> dict[str, pd.DataFrame]:
    return {"hypotheses": HypothesisTests(outcomes=outcomes, edges=pd.DataFrame(), alpha=0.05).to_frame()}


def knocked(strategy: str, *nodes: str, by: float = 0.1) -> KnockOut:
    interval = Interval(by, by - 0.05, by + 0.05)
    return KnockOut(strategy=strategy, nodes=nodes, f_circuit=0.5, f_model=0.6, interval=interval)


def complete(*knock_outs: KnockOut, n_pairs: int = 32) -> str:
    tables = {"completeness": Completeness(knock_outs=knock_outs, n_pairs=n_pairs).to_frame()}
    return lines_of(tables)[-1]


def minimal(inside: dict[str, float], outside: dict[str, float]) -> list[str]:
    def effects(of: dict[str, float]) -> tuple[NodeEffect, ...]:
        return tuple(NodeEffect(node=node, without=(), interval=Interval(x, x, x)) for node, x in of.items())

    return lines_of({"minimality": Minimality(inside=effects(inside), outside=effects(outside)).to_frame()})[2:]


def test_each_verdict_of_a_hypothesis_test_has_its_sentence():
    text = lines_of(
        table_of(
            Outcome(test="equivalence", p_value=0.65, n=64),
            Outcome(test="independence", p_value=1e-4, n=64),
            Outcome(test="sufficiency", p_value=1e-3, n=999, beaten=1.0),
            Outcome(test="partial_necessity", p_value=0.5, n=99, beaten=0.5),
            Outcome(test="minimality", n=0, note="the circuit is the whole graph"),
        )
    )[2:]
    assert text == [
        "Equivalence finds no evidence against the circuit (adjusted p = 1).",
        "Independence is rejected, which is evidence against the circuit (adjusted p = 0.0004).",
        "Sufficiency supports the circuit (adjusted p = 0.003, better than 100% of 999 random ones).",
        "Partial necessity cannot distinguish the circuit from chance (adjusted p = 1, better than 50% of 99 random "
        "ones).",
        "Minimality is undefined: the circuit is the whole graph.",
    ]


def test_the_note_of_a_test_that_is_defined_stands_after_its_p_value():
    (text,) = lines_of(table_of(Outcome(test="equivalence", p_value=0.65, n=64, note="60 of 64 pairs tie")))[2:]
    assert text.endswith("(adjusted p = 0.65; 60 of 64 pairs tie).")


def test_completeness_counts_the_sets_that_are_not_empty_and_names_the_pairs():
    none, random, greedy = knocked("none", by=0.3), knocked("random", "a0.h1"), knocked("greedy")
    assert complete(none, random, greedy) == (
        "On 32 pairs not used to choose the sets, circuit and model differ by 0.30 [0.25, 0.35] of the gap; knocking "
        "out 1 set of nodes gave no larger difference."
    )
    without_sets = complete(none, n_pairs=1)
    assert without_sets.startswith("On 1 pair, ") and without_sets.endswith("; no set was knocked out.")
    worst = complete(none, random, knocked("greedy", "a0.h1", "a1.h0", by=0.9))
    assert worst == (
        "On 32 pairs not used to choose the sets, circuit and model differ most without a0.h1 a1.h0 (greedy; 2 sets "
        "tried): the circuit keeps 0.50, the model 0.60; they differ by 0.90 [0.85, 0.95]."
    )


def test_minimality_names_the_nodes_that_do_no_more_than_random_ones_and_how_few_those_are():
    inside = {"a0.h1": 0.5, "a1.h0": 0.1}
    assert minimal(inside, {"m0": 0.2, "m1": 0.05}) == [
        "1 of the circuit's 2 nodes has a larger effect than all 2 random nodes added to it; the exceptions are a1.h0; "
        "with 2 random nodes no p-value is below 0.33."
    ]
    (one,) = minimal({"a0.h1": 0.5}, {"m0": 0.2})
    assert "the one random node added to it" in one and one.endswith("no p-value is below 0.5.")
    (many,) = minimal(inside, {f"m{i}": 0.01 for i in range(19)})
    assert "2 of the circuit's 2 nodes have" in many and "p-value" not in many and "exceptions" not in many
    (none,) = minimal(inside, {})
    assert "2 nodes" in none and "none was added" in none
    assert minimal({"a0.h1": np.nan}, {}) == []


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (
            {"faithfulness": 0.52, "sure": False},
            ["On the discovery pairs no circuit reached a faithfulness of 0.8; this one has 0.52."],
        ),
        (
            {"faithfulness": 0.85, "sure": True, "tried": [[1, 0.1], [9, 0.7412]]},
            [
                "On the discovery pairs no circuit reached a faithfulness of 0.8; this one has 0.85, with 0.74 at the "
                "lower end of its interval."
            ],
        ),
        (
            {"faithfulness": None, "sure": True, "tried": []},
            ["On the discovery pairs no circuit reached a faithfulness of 0.8: it is undefined there."],
        ),
        ({"faithfulness": 0.9, "reached": True}, []),
        ({"n_edges": 3, "reached": None}, []),
    ],
)
def test_a_target_that_was_not_reached_is_reported(selection: dict[str, Any], expected: list[str]):
    circuit = PATH.with_origin(selection={"target": 0.8, "reached": False} | selection)
    lines = lines_of({}, circuit)
    assert lines[: len(expected)] == expected
    assert "keep" in lines[len(expected)]


def test_an_empty_circuit_is_called_empty_and_a_single_edge_is_not_a_plural():
    assert lines_of({}, EMPTY)[0] == "The circuit is empty."
    direct = ie.Circuit.from_edges(MODEL, [("embed", "logits")])
    line = lines_of({}, direct)[0]
    assert line.startswith(f"1 of {MODEL.graph.n_edges:,} edges (")
    assert "keeps" in line and "; without it, " in line
    assert "(1 pair, resample ablation)" in lines_of({}, direct, n=1)[0]


def test_an_empty_circuit_is_examined_in_every_part():
    scores = ie.score(MODEL, telling_pairs(MODEL, 6), method="eap")
    found = examine(ie.Runs(MODEL, telling_pairs(MODEL, 6)), EMPTY, scores=scores, n_random=3, resamples=3)
    assert found.sentences[0] == "The circuit is empty."
    assert found.shown["roles of heads"].empty


def test_roles_of_a_head_come_by_how_clear_they_are_and_those_of_weights_alone_last():
    common = {"node": "a0.h1", "effect": 1.0, "effect_low": 0.5, "effect_high": 1.5, "q_value": 0.001}
    ends = {"weights": (9.0, 9.0), "faint": (0.2, 0.6), "clear": (0.8, 1.0), "absent": (-0.1, 0.1)}
    rows = [
        {**common, "role": role, "ci_low": low, "ci_high": high, "baseline": 0.1, "label": role != "absent"}
        for role, (low, high) in ends.items()
    ]
    evaluated = examine(ie.Runs(MODEL, telling_pairs(MODEL, 6)), PATH, parts=()).tables
    tables = {**evaluated, "roles": pd.DataFrame(rows).astype({"label": "boolean"})}
    assert small_tables(tables)["roles of heads"]["roles"].tolist() == ["clear faint weights"]


def test_the_strongest_edges_are_shown_and_an_empty_circuit_has_none():
    runs = ie.Runs(MODEL, telling_pairs(MODEL, 6))
    circuit = ie.score(MODEL, telling_pairs(MODEL, 6), method="eap").top(30)
    shown = examine(runs, circuit, parts=()).shown
    (name, edges), *_ = shown.items()
    assert name == f"the 20 strongest of {len(circuit)} edges" and [*edges] == ["writer", "reader", "score"]
    assert len(edges) == 20 and edges["score"].abs().is_monotonic_decreasing
    assert next(iter(examine(runs, PATH, parts=()).shown)) == "edges"
    assert "edges" not in examine(runs, EMPTY, parts=()).shown


def test_heads_whose_labels_are_undefined_are_not_shown_as_having_no_role():
    pairs = telling_pairs(MODEL, 6)
    same = replace(pairs, corrupt=pairs.clean)
    examined = examine(ie.Runs(MODEL, same), PATH, parts=("roles",))
    shown, tables = examined.shown["roles of heads"], examined.tables
    assert shown["roles"].tolist() == ["undefined", "undefined"] == shown["effect"].tolist()
    known = tables["roles"].assign(label=pd.array([False] * len(tables["roles"]), dtype="boolean"))
    assert small_tables(tables | {"roles": known})["roles of heads"]["roles"].tolist() == ["none", "none"]


def test_stability_is_reported_or_called_undefined():
    rows = pd.DataFrame({"quantity": ["jaccard", "random"], "value": np.nan, "ci_low": np.nan, "ci_high": np.nan})
    assert lines_of({"stability": rows})[-1].endswith("have no edge to compare, so stability is undefined.")
    rows[["value", "ci_low", "ci_high"]] = [[0.8, 0.7, 0.9], [0.1, np.nan, np.nan]]
    assert lines_of({"stability": rows})[-1] == (
        "Circuits selected in the same way on two independent sets of as many prompts have an expected Jaccard index "
        "of 0.80 [0.70, 0.90]; random circuits of the same sizes 0.10."
    )
