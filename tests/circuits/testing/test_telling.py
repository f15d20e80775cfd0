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
from interp_emerge.circuits.testing.telling import sentences, small_tables
from interp_emerge.stats.intervals import Interval
from tests.models.small_models import small_model, telling_pairs

MODEL = small_model("gpt_neox")
PATH = ie.Circuit.from_edges(MODEL, [("embed", "a0.h1.v"), ("a0.h1", "a1.h0.v"), ("a1.h0", "logits")])
EMPTY = ie.Circuit.from_edges(MODEL, [])


def told(tables: dict[str, pd.DataFrame], circuit: ie.Circuit = PATH, n: int = 6) -> list[str]:
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
    return told(tables)[-1]


def minimal(inside: dict[str, float], outside: dict[str, float]) -> list[str]:
    def effects(of: dict[str, float]) -> tuple[NodeEffect, ...]:
        return tuple(NodeEffect(node=node, without=(), interval=Interval(x, x, x)) for node, x in of.items())

    return told({"minimality": Minimality(inside=effects(inside), outside=effects(outside)).to_frame()})[2:]


def test_only_a_rejected_test_is_said_to_speak_for_or_against_the_circuit():
    text = told(
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
        "Independence speaks against the circuit (adjusted p = 0.0004).",
        "Sufficiency supports the circuit (adjusted p = 0.003, beyond 100% of 999 random ones).",
        "Partial necessity cannot tell the circuit from chance (adjusted p = 1, beyond 50% of 99 random ones).",
        "Minimality is undefined: the circuit is the whole graph.",
    ]


def test_notes_of_defined_tests_are_told_such_as_ties():
    (text,) = told(table_of(Outcome(test="equivalence", p_value=0.65, n=64, note="60 of 64 pairs tie")))[2:]
    assert text == "Equivalence finds no evidence against the circuit (adjusted p = 0.65; 60 of 64 pairs tie)."


def test_sets_that_are_empty_are_not_counted_and_the_pairs_are_told():
    none, random, greedy = knocked("none", by=0.3), knocked("random", "a0.h1"), knocked("greedy")
    assert complete(none, random, greedy) == (
        "On 32 pairs, which did not choose the sets, circuit and model differ by 0.30 [0.25, 0.35] as they are; by no "
        "more without any of 1 set of nodes."
    )
    assert complete(none, n_pairs=1) == (
        "On 1 pair circuit and model differ by 0.30 [0.25, 0.35] as they are; no set was knocked out."
    )
    worst = complete(none, random, knocked("greedy", "a0.h1", "a1.h0", by=0.9))
    assert worst == (
        "On 32 pairs, which did not choose the sets, the circuit is most incomplete without a0.h1 a1.h0 (greedy), of 2 "
        "sets: it keeps 0.50, the model 0.60; they differ by 0.90 [0.85, 0.95]."
    )


def test_few_nodes_outside_are_told_and_none_at_all_too():
    inside = {"a0.h1": 0.5, "a1.h0": 0.1}
    assert minimal(inside, {"m0": 0.2, "m1": 0.05}) == [
        "1 of the circuit's 2 nodes does more than any of 2 random nodes added to it; not so a1.h0; so few give no "
        "p-value below 0.33."
    ]
    assert minimal({"a0.h1": 0.5}, {"m0": 0.2}) == [
        "1 of the circuit's 1 node does more than the one node outside that was added to it; so few give no p-value "
        "below 0.5."
    ]
    many = {f"m{i}": 0.01 for i in range(19)}
    assert minimal(inside, many) == ["2 of the circuit's 2 nodes do more than any of 19 random nodes added to it."]
    assert minimal(inside, {}) == ["No node outside was added, to compare the circuit's 2 nodes with."]
    assert minimal({"a0.h1": np.nan}, {}) == []


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        ({"faithfulness": 0.52, "sure": False}, ["The target of 0.8 was not reached on the discovery pairs: 0.52."]),
        (
            {"faithfulness": 0.85, "sure": True, "tried": [[1, 0.1], [9, 0.7412]]},
            [
                "The target of 0.8 was not reached on the discovery pairs: 0.85, and 0.74 at the lower end of its "
                "interval."
            ],
        ),
        (
            {"faithfulness": None, "sure": True, "tried": []},
            ["The target of 0.8 was not reached on the discovery pairs: faithfulness is undefined there."],
        ),
        ({"faithfulness": 0.9, "reached": True}, []),
        ({"n_edges": 3, "reached": None}, []),
    ],
)
def test_a_target_that_was_not_reached_is_told(selection: dict[str, Any], said: list[str]):
    circuit = PATH.with_origin(selection={"target": 0.8, "reached": False} | selection)
    assert told({}, circuit)[: len(said)] == said
    assert "keep" in told({}, circuit)[len(said)]


def test_an_empty_circuit_is_called_empty_and_a_single_edge_is_no_plural():
    assert told({}, EMPTY)[0] == "The circuit is empty."
    direct = ie.Circuit.from_edges(MODEL, [("embed", "logits")])
    assert told({}, direct)[0].startswith(f"1 of {MODEL.graph.n_edges:,} edges (")
    assert "keeps" in told({}, direct)[0] and "; without it " in told({}, direct)[0]
    assert "(1 pair, resample ablation)" in told({}, direct, n=1)[0]


def test_an_empty_circuit_is_examined_in_every_part():
    scores = ie.score(MODEL, telling_pairs(MODEL, 6), method="eap")
    found = examine(ie.Runs(MODEL, telling_pairs(MODEL, 6)), EMPTY, scores=scores, n_random=3, resamples=3)
    assert found.sentences[0] == "The circuit is empty."
    assert found.shown["roles of heads"].empty


def test_heads_whose_labels_are_undefined_are_not_said_to_have_no_role():
    pairs = telling_pairs(MODEL, 6)
    same = replace(pairs, corrupt=pairs.clean)
    shown = examine(ie.Runs(MODEL, same), PATH, parts=("roles",)).shown["roles of heads"]
    assert shown["roles"].tolist() == ["undefined", "undefined"] == shown["effect"].tolist()
    tables = examine(ie.Runs(MODEL, same), PATH, parts=("roles",)).tables
    known = tables["roles"].assign(label=pd.array([False] * len(tables["roles"]), dtype="boolean"))
    assert small_tables(tables | {"roles": known})["roles of heads"]["roles"].tolist() == ["none", "none"]


def test_stability_that_is_undefined_is_said_to_be():
    rows = pd.DataFrame({"quantity": ["jaccard", "random"], "value": np.nan, "ci_low": np.nan, "ci_high": np.nan})
    assert told({"stability": rows})[-1] == (
        "The circuits selected alike from bootstrap samples of the discovery pairs have no edge to compare: stability "
        "is undefined."
    )
