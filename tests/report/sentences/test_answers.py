"""Sentences made of tables: the numbers are the tables', and the words follow the verdicts."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from interp_emerge.core.graph import Graph
from interp_emerge.report.sentences.answers import answer, induction_edges
from interp_emerge.study.catalogue import all_tables

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, parallel=True)
MODEL = {"size": "large", "step": 9, "seed": 0}


def ability_row(name: str, size: str, n_parameters: int, value: float, *, control: bool = False) -> dict[str, Any]:
    about = {"size": size, "step": 9, "seed": 0, "n_parameters": n_parameters, "loss": 1.0, "ability": name}
    bounds = {"value": value, "ci_low": value - 0.01, "ci_high": value + 0.01, "chance": 0.1, "ceiling": 1.0}
    return {**about, **bounds, "control": control, "metric": "accuracy", "n_pairs": 64}


def onset_row(
    quantity: str, component: str, axis: str, ends: tuple[str, str], verdict: str, **more: str
) -> dict[str, Any]:
    ci = {"ci_low": ends[1], "ci_high": ends[1], "threshold": 0.5, "at": "" if axis == "size" else "large"}
    about = {"ability": "induction", "quantity": quantity, "component": component, "axis": axis}
    return {**about, **ci, "last_without": ends[0], "first_with": ends[1], "verdict": verdict, **more}


def role_row(node: str, role: str, score: float, *, clears: bool = True) -> dict[str, Any]:
    place = {"layer": int(node[1]), "index": int(node[4]), "node": node, "role": role}
    bounds = {"score": score, "ci_low": score, "ci_high": score, "baseline": 0.1}
    return {**MODEL, **place, **bounds, "clears_baseline": clears, "in_circuit": True}


def circuit_row(faithfulness: float) -> dict[str, Any]:
    counts = {"n_edges": 5, "n_graph_edges": GRAPH.n_edges, "edge_share": 5 / GRAPH.n_edges, "n_random": 100}
    judged = {"faithfulness": faithfulness, "ci_low": 0.8, "ci_high": 0.9, "random_median": 0.0, "random_p95": 0.2}
    judged |= {"kl": 0.1, "accuracy": 1.0, "accuracy_without": 0.0, "stability": 0.7}
    judged |= {"stability_low": 0.5, "stability_high": 0.9}
    named = {"ability": "induction", "method": "eap", "metric": "logit_diff", "clean": 1, "corrupt": 0}
    return {**MODEL, **counts, **judged, **named, "verdict": "", "file": ""}


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    edges = [("embed", "a0.h0.v"), ("a0.h0", "a1.h1.k"), ("a0.h1", "a1.h1.k"), ("a1.h1", "logits")]
    ablation = {**MODEL, "ability": "induction", "ci_low": 0.0, "ci_high": 1.0}
    rows: dict[str, list[dict[str, Any]]] = {
        "ability": [
            ability_row("induction", "small", 10, 0.1),
            ability_row("induction", "large", 99, 0.97),
            ability_row("markov", "small", 10, 0.8, control=True),
            ability_row("markov", "large", 99, 0.9, control=True),
        ],
        "circuits": [circuit_row(0.85)],
        "circuit_edges": [{**MODEL, "ability": "induction", "writer": w, "reader": r, "score": 1.0} for w, r in edges],
        "roles": [
            role_row("a0.h0", "previous_token", 0.9),
            role_row("a0.h1", "previous_token", 0.9, clears=False),
            role_row("a1.h1", "induction", 0.8),
        ],
        "onsets": [
            onset_row("accuracy", "model", "size", ("small", "large"), "emergent"),
            onset_row("accuracy", "model", "size", ("", "small"), "from the start", ability="markov"),
            onset_row("accuracy", "model", "step", ("3", "9"), "emergent"),
            onset_row("previous_token", "a0.h0", "step", ("1", "3"), "emergent"),
        ],
        "ablation": [
            {**ablation, "condition": "none", "draw": 0, "heads": "", "accuracy": 0.97},
            {**ablation, "condition": "circuit heads", "draw": 0, "heads": "a0.h0 a1.h1", "accuracy": 0.05},
            {**ablation, "condition": "random heads of the same layers", "draw": 0, "heads": "x y", "accuracy": 0.95},
        ],
    }
    return {name: pd.DataFrame(part, columns=list(all_tables()[name].columns)) for name, part in rows.items()}


def said(tables: dict[str, pd.DataFrame]) -> str:
    return " ".join(answer(tables, "induction", {"large": GRAPH}))


def test_the_answer_gives_onset_circuit_ablation_and_order(tables: dict[str, pd.DataFrame]) -> None:
    text = said(tables)

    assert "Induction emerges between small and large parameters" in text
    assert "0.97 [0.96, 0.98] at large; a guess scores 0.10" in text
    assert "keep 0.85 [0.80, 0.90]" in text and "keep at most 0.2." in text
    assert "from 0.97 to 0.05" in text and "leaves 0.95" in text
    assert text.index("previous token attention (a0.h0)") < text.index("steps 3 and 9, the ability")


def test_what_random_circuits_keep_is_not_rounded_to_nothing(tables: dict[str, pd.DataFrame]) -> None:
    tables["circuits"]["random_p95"] = 0.000137

    assert "keep at most 0.00014." in said(tables)


def test_the_control_is_said_not_to_be_emergent_and_the_opposite_would_be_called_wrong(
    tables: dict[str, pd.DataFrame],
) -> None:
    assert "markov is not called emergent (from the start)" in said(tables)

    tables["onsets"].loc[1, "verdict"] = "emergent"
    assert "markov is called emergent, which is wrong" in said(tables)


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("not reached", "is not reached at any size"),
        ("from the start", "from the smallest size on"),
        ("lost again", "lost again"),
    ],
)
def test_other_verdicts_have_their_own_words(verdict: str, words: str, tables: dict[str, pd.DataFrame]) -> None:
    tables["onsets"].loc[0, "verdict"] = verdict

    assert words in said(tables)


def test_seeds_that_disagree_are_counted(tables: dict[str, pd.DataFrame]) -> None:
    lacking = {**ability_row("induction", "large", 99, 0.2), "seed": 1}
    tables["ability"] = pd.concat([tables["ability"], pd.DataFrame([lacking])], ignore_index=True)

    assert "1 of 2 at large" in said(tables)
    assert "0.97, 0.20 by seed at large" in said(tables)


def test_without_a_circuit_the_answer_says_so(tables: dict[str, pd.DataFrame]) -> None:
    tables["circuits"]["faithfulness"] = np.nan

    assert "In no size is there a circuit to report" in said(tables)


def test_only_heads_that_clear_their_baseline_make_an_induction_edge(tables: dict[str, pd.DataFrame]) -> None:
    assert induction_edges(tables["roles"], tables["circuit_edges"], GRAPH) == [("a0.h0", "a1.h1.k")]
