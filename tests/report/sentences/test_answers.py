"""The answer of a study in sentences: numbers come from the tables, words from the verdicts."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from interp_emerge.core.graph import Graph
from interp_emerge.emergence.scale.onset import OnsetVerdict
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


def role_row(node: str, role: str, score: float, *, plays: bool = True) -> dict[str, Any]:
    place = {"layer": int(node[1]), "index": int(node[4]), "node": node, "role": role}
    bounds = {"score": score, "ci_low": score, "ci_high": score, "baseline": 0.1}
    return {**MODEL, **place, **bounds, "clears_baseline": True, "plays": plays, "in_circuit": True}


def circuit_row(faithfulness: float) -> dict[str, Any]:
    counts = {"n_edges": 5, "n_graph_edges": GRAPH.n_edges, "edge_share": 5 / GRAPH.n_edges, "n_random": 100}
    judged = {"faithfulness": faithfulness, "ci_low": 0.8, "ci_high": 0.9, "random_median": 0.0, "random_p95": 0.2,
              "random_kind": "random paths"}  # fmt: skip
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
            role_row("a0.h1", "previous_token", 0.9, plays=False),
            role_row("a1.h1", "induction", 0.8),
        ],
        "onsets": [
            onset_row("accuracy", "model", "size", ("small", "large"), OnsetVerdict.EMERGENT),
            onset_row("accuracy", "model", "size", ("", "small"), OnsetVerdict.FROM_THE_START, ability="markov"),
            onset_row("accuracy", "model", "step", ("3", "9"), OnsetVerdict.EMERGENT),
            onset_row("previous_token", "a0.h0", "step", ("1", "3"), OnsetVerdict.EMERGENT),
        ],
        "ablation": [
            {**ablation, "condition": "none", "draw": 0, "heads": "", "accuracy": 0.97},
            {**ablation, "condition": "circuit heads", "draw": 0, "heads": "a0.h0 a1.h1", "accuracy": 0.05},
            {**ablation, "condition": "random heads of the same layers", "draw": 0, "heads": "x y", "accuracy": 0.95},
        ],
    }
    return {name: pd.DataFrame(part, columns=list(all_tables()[name].columns)) for name, part in rows.items()}


def text_of(tables: dict[str, pd.DataFrame]) -> str:
    return " ".join(answer(tables, "induction", {"large": GRAPH}))


def test_the_answer_is_size_circuit_heads_and_order(tables: dict[str, pd.DataFrame]) -> None:
    assert answer(tables, "induction", {"large": GRAPH}) == [
        "Induction emerges between small and large parameters (95% interval of the first size with it [large, large]): "
        "accuracy on 64 prompts is 0.10 [0.09, 0.11] at small and 0.97 [0.96, 0.98] at large, where a guess scores "
        "0.10 and the ability counts as present above 0.50; the control markov is not called emergent.",
        f"At large, 5 of {GRAPH.n_edges} edges ({5 / GRAPH.n_edges:.1%}) keep 0.85 [0.80, 0.90] of the clean-corrupt "
        "gap on prompts that were not used to find them, where 95% of 100 random circuits of the same size keep at "
        "most 0.20.",
        "In this circuit, previous-token heads (a0.h0) feed the keys of induction heads (a1.h1); on the prompts that "
        "circuits are judged by, ablating its 2 heads changes accuracy from 0.97 [0.00, 1.00] to 0.05 [0.00, "
        "1.00], ablating as many random heads of the same layers to 0.95 (median of 1 draw, lowest 0.95).",
        "During training at large, these reach half of their final value: between steps 1 and 3, previous token "
        "attention (a0.h0); between steps 3 and 9, the ability.",
    ]


def test_compared_circuits_and_what_is_open_make_two_more_sentences(tables: dict[str, pd.DataFrame]) -> None:
    rows = [("s", "m", "edges", "same within a margin"), ("s", "m", "classes", "same within a margin")]
    rows += [("m", "l", "edges", "cannot be told"), ("m", "l", "classes", "different")]
    columns = pd.Index(["size_a", "size_b", "level", "verdict"])
    tables["comparisons"] = pd.DataFrame(rows, columns=columns).assign(seed_a=0, seed_b=0)
    tables["jump"] = pd.DataFrame([{"ability": "induction", "verdict": "undecided", "reason": "3 points"}])
    tables["lags"] = pd.DataFrame({"quantity": ["edge effect"] * 3, "verdict": ["unresolved", "lags", "undefined"]})
    sentences = answer(tables, "induction", {"large": GRAPH})
    assert len(sentences) == 6
    assert sentences[4:] == [
        "Circuits of neighbouring sizes compared, s with m: same within a margin; m with l: cannot be told by single "
        "edges and different by roles of their ends.",
        "Open: whether the jump is the model's or the metric's (3 points); whether the circuits of m and l are the "
        "same by single edges; for 1 of the 3 edges of all circuits, whether they form before the ability.",
    ]


def test_what_random_circuits_keep_is_not_rounded_to_nothing(tables: dict[str, pd.DataFrame]) -> None:
    tables["circuits"]["random_p95"] = 0.000137

    assert "keep at most 0.00014." in text_of(tables)


def test_a_control_that_is_called_emergent_is_an_error(tables: dict[str, pd.DataFrame]) -> None:
    tables["onsets"].loc[1, "verdict"] = OnsetVerdict.EMERGENT
    assert "markov is called emergent, which is wrong" in text_of(tables)


@pytest.mark.parametrize("verdict", [*OnsetVerdict])
def test_every_verdict_has_its_own_words(verdict: OnsetVerdict, tables: dict[str, pd.DataFrame]) -> None:
    def first_words(verdict: OnsetVerdict) -> str:
        tables["onsets"].loc[0, "verdict"] = verdict
        return answer(tables, "induction", {"large": GRAPH})[0]

    assert [first_words(other) for other in OnsetVerdict].count(first_words(verdict)) == 1


def test_seeds_that_disagree_are_counted(tables: dict[str, pd.DataFrame]) -> None:
    lacking = {**ability_row("induction", "large", 99, 0.2), "seed": 1}
    tables["ability"] = pd.concat([tables["ability"], pd.DataFrame([lacking])], ignore_index=True)

    assert "1 of 2 at large" in text_of(tables)
    assert "0.97, 0.20 by seed at large" in text_of(tables)


def test_quantities_between_the_same_checkpoints_have_no_order(tables: dict[str, pd.DataFrame]) -> None:
    assert "cannot be put in order" not in text_of(tables)
    tables["onsets"].loc[3, ["last_without", "first_with"]] = ["3", "9"]
    assert "cannot be put in order" in text_of(tables)


def test_without_a_circuit_the_answer_ends_with_that(tables: dict[str, pd.DataFrame]) -> None:
    tables["circuits"]["faithfulness"] = np.nan

    *_, last = answer(tables, "induction", {"large": GRAPH})
    assert "No size has a circuit" in last


def test_only_heads_that_clear_their_baseline_make_an_induction_edge(tables: dict[str, pd.DataFrame]) -> None:
    assert induction_edges(tables["roles"], tables["circuit_edges"], GRAPH) == [("a0.h0", "a1.h1.k")]


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.97, "is present at"), (0.2, "is absent at"), (0.5, "neither certainly present nor certainly")],
)
def test_a_study_of_one_size_says_nothing_about_scale(
    value: float, words: str, tables: dict[str, pd.DataFrame]
) -> None:
    tables["ability"] = pd.DataFrame([ability_row("induction", "large", 99, value)])
    first = answer(tables, "induction", {"large": GRAPH})[0]
    assert words in first
    assert first.count("at large") == 2
    assert "scale" not in first
    assert "counts as present above 0.50" in first


def test_nothing_is_absent_at_a_size_without_a_threshold(tables: dict[str, pd.DataFrame]) -> None:
    tables["ability"] = pd.DataFrame([ability_row("induction", "large", 99, 0.97)])
    tables["onsets"]["threshold"] = np.nan
    assert "neither certainly present nor certainly absent" in answer(tables, "induction", {"large": GRAPH})[0]


def test_without_a_circuit_each_size_has_its_reason_in_the_answer(tables: dict[str, pd.DataFrame]) -> None:
    lacking = [
        {**circuit_row(np.nan), "size": size, "verdict": f"no circuit: {why}"}
        for size, why in (("small", "lacks it"), ("large", "lacks it"), ("huge", "the gap is 0"))
    ]
    tables["circuits"] = pd.DataFrame(lacking)
    *_, last = answer(tables, "induction", {})
    assert last == "No size has a circuit to report: small and large: lacks it; huge: the gap is 0."


def test_few_ablated_heads_are_named_and_many_are_counted(tables: dict[str, pd.DataFrame]) -> None:
    assert "(a1.h1); on the prompts that circuits are judged by, ablating its 2 heads changes" in text_of(tables)
    tables["ablation"].loc[1, "heads"] = "a0.h0 a0.h1"
    assert "its 2 heads (a0.h0, a0.h1) changes" in text_of(tables)
    tables["ablation"].loc[1, "heads"] = " ".join(f"a{n}.h0" for n in range(9))
    assert "its 9 heads changes" in text_of(tables)


def test_a_circuit_of_a_large_part_of_the_graph_is_said_to_locate_little(tables: dict[str, pd.DataFrame]) -> None:
    for edge_share, n_edges, said in ((0.2, 5, False), (0.1, 500, False), (0.2, 500, True)):
        tables["circuits"][["edge_share", "n_edges"]] = [edge_share, n_edges]
        assert ("locates little" in text_of(tables)) is said


def test_where_the_circuit_costs_no_more_than_random_parts_is_open(tables: dict[str, pd.DataFrame]) -> None:
    about = {"ability": "induction", "metric": "logit_diff", "criterion": "above random"}
    found = [("edges", "s", "not reached"), ("edges", "m", "depends"), ("edges", "l", "undecided"), ("head", "s", "x")]
    found += [("circuit", "s", "too few random choices"), ("circuit", "m", "from the start")]
    rows = [{**about, "kind": kind, "size": size, "verdict": verdict} for kind, size, verdict in found]
    tables["dependence_onsets"] = pd.DataFrame([*rows, {**rows[0], "size": "m", "criterion": "half of last"}])
    assert text_of(tables).endswith(
        "whether the ability depends more on the circuit than on random edges at s and l and on random heads at s."
    )
    tables["dependence_onsets"] = tables["dependence_onsets"].assign(verdict="depends")
    assert "random edges at" not in text_of(tables)
