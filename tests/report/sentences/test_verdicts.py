"""Sentences of a study beyond onsets: each says the numbers of its table, and what cannot be told."""

from typing import Any

import numpy as np
import pandas as pd

from interp_emerge.report.sentences import verdicts


def jump(metric: str, shape: str, verdict: str, reason: str = "") -> dict[str, Any]:
    concentration = {"concentration": 0.75, "concentration_low": 0.6, "concentration_high": 0.9}
    return {
        "ability": "fact_recall",
        "axis": "parameters",
        "metric": metric,
        "shape": shape,
        "verdict": verdict,
        "reason": reason,
    } | concentration


def test_a_jump_is_said_with_the_shapes_that_it_rests_on():
    verdict = "sharp under thresholding only"
    table = pd.DataFrame([jump("accuracy", "sharp", verdict), jump("log_prob", "spread", verdict)])
    assert verdicts.jumps({"jump": table}) == [
        "Fact recall over parameters: sharp under thresholding only; accuracy sharp, concentration 0.75 [0.60, 0.90]; "
        "log_prob spread, concentration 0.75 [0.60, 0.90]."
    ]


def test_why_a_jump_is_undecided_is_said():
    table = pd.DataFrame([jump("accuracy", "undecided", "undecided at this resolution", "there are 3 points")])
    assert "undecided at this resolution (there are 3 points);" in verdicts.jumps({"jump": table})[0]


def test_an_ability_whose_sizes_have_no_order_has_a_reason_and_no_shapes():
    row = {"ability": "two_hop", "axis": "tokens", "metric": np.nan, "verdict": "undecided", "reason": "as many tokens"}
    table = pd.DataFrame([{**row, "shape": np.nan, "form": np.nan, "weight": np.nan}])
    sentence = "Two hop over training tokens: undecided (as many tokens)."
    assert verdicts.jumps({"jump": table}) == [sentence]
    assert verdicts.trends({"trends": table}) == [sentence]
    assert verdicts.correlations({"correlations": table}) == [sentence.replace("undecided", "undefined")]


def fits(metric: str, weights: dict[str, float], verdict: str, reason: str = "") -> list[dict[str, Any]]:
    about = {"ability": "two_hop", "axis": "flops", "metric": metric, "verdict": verdict, "reason": reason}
    return [{**about, "form": form, "weight": weight} for form, weight in weights.items()]


def test_a_form_is_said_with_its_weight_and_what_it_leaves_open():
    rows = fits(
        "accuracy", {"constant": 0.02, "power_law": 0.98, "sigmoid": np.nan}, "power_law", "too few for sigmoid"
    )
    rows += fits("log_prob", {"constant": 0.4, "power_law": 0.6}, "cannot be told", "0.60 and 0.40")
    assert verdicts.trends({"trends": pd.DataFrame(rows)}) == [
        "Two hop over training FLOPs: accuracy power law (weight 0.98; too few for sigmoid), log_prob cannot be told "
        "(0.60 and 0.40)."
    ]


def test_correlations_are_said_down_the_ladder():
    about = {"ability": "two_hop", "axis": "loss", "reason": ""}
    ends = {"per_prompt": 0.5, "per_prompt_low": 0.4, "per_prompt_high": 0.6}
    rows = [{**about, **ends, "metric": "log_prob"}, {**about, **dict.fromkeys(ends, np.nan), "metric": "accuracy"}]
    assert verdicts.correlations({"correlations": pd.DataFrame(rows)}) == [
        "Two hop over held-out loss: log_prob 0.50 [0.40, 0.60], accuracy undefined."
    ]


def test_only_sizes_whose_runs_disagree_are_named():
    columns = ["ability", "size", "n_seeds", "n_success", "p", "ci_low", "ci_high", "values"]
    rows = [("two_hop", "7k", 3, 1, 1 / 3, 0.01, 0.91, "0.88 0.22 0.09"), ("two_hop", "14k", 3, 3, 1, 0.29, 1, "1 1 1")]
    (sentence,) = verdicts.seeds({"seeds": pd.DataFrame(rows, columns=columns)})
    assert sentence == "Two hop at 7k: 1 of 3 training runs have it (P 0.33 [0.01, 0.91]; accuracies 0.88 0.22 0.09)."


def pair(before: float, after: float, tie: float, answer: str) -> pd.DataFrame:
    ends = {"quantity_a": "accuracy", "component_a": "model", "quantity_b": "previous_token", "component_b": "a0.h1"}
    return pd.DataFrame(
        [{"size": "7k", "seed": 0, **ends, "before": before, "after": after, "tie": tie, "answer": answer}]
    )


def test_what_comes_first_is_named_with_its_probability():
    (sentence,) = verdicts.orders({"order": pair(0.0, 0.98, 0.02, "previous_token a0.h1 before accuracy model")})
    assert sentence == "At 7k: previous-token head a0.h1 before the ability (probability 0.98)."
    (sentence,) = verdicts.orders({"order": pair(1.0, 0.0, 0.0, "accuracy model before previous_token a0.h1")})
    assert sentence == "At 7k: the ability before previous-token head a0.h1 (probability 1.00)."


def test_an_order_that_cannot_be_told_says_so():
    (sentence,) = verdicts.orders({"order": pair(0.0, 0.1, 0.9, "cannot be told: both fall between step 1 and step 2")})
    assert sentence == (
        "At 7k: the ability and previous-token head a0.h1: cannot be told: both fall between step 1 and step 2 "
        "(the ability first 0.00, previous-token head a0.h1 first 0.10, same gap 0.90)."
    )


def test_each_part_of_the_circuit_has_its_own_null_and_what_never_comes_is_said():
    common = {"size": "7k", "seed": 0, "metric": "logit_diff", "n_random": 20, "ci_low": 500, "ci_high": 750}
    never = {"first_with": np.nan, "ci_low": np.nan, "ci_high": np.nan, "verdict": "not reached"}
    rows = [
        {**common, "kind": "edges", "criterion": "above random", "first_with": 500, "verdict": "depends"},
        {**common, "kind": "edges", "criterion": "half of last", **never},
        {
            **common,
            "kind": "circuit",
            "criterion": "above random",
            "n_random": 3,
            "first_with": 500,
            "verdict": "too few random choices",
        },
    ]
    assert verdicts.dependences({"dependence_onsets": pd.DataFrame(rows)}) == [
        "At 7k. With the edges of its circuit ablated it loses more than with 20 random choices from step 500 "
        "[500, 750] on, and half of the last loss at no step for good (not reached). With the heads of its circuit "
        "ablated it loses more than with 3 random choices from step 500 [500, 750] on, too few for p = 0.05."
    ]


def test_parts_are_counted_by_whether_they_come_before_the_ability():
    about = {"size": "7k", "seed": 0}
    found = {"effect": ["leads", "leads", "lags"], "edge effect": ["unresolved", "undefined"], "copying": ["leads"]}
    rows = [{**about, "quantity": quantity, "verdict": one} for quantity, many in found.items() for one in many]
    assert verdicts.lags({"lags": pd.DataFrame(rows)}) == [
        "At 7k, by their effects against the ability: of 3 heads and MLPs, 2 come before it, 1 after it; of 2 edges, 1 "
        "between the same checkpoints or not to be told, 1 end within noise."
    ]


def test_changes_of_the_loss_are_said_with_their_intervals_and_so_is_that_there_are_none():
    run = pd.DataFrame([{"size": size, "seed": 0} for size in ("7k", "14k", "25k")])
    change = {"size": "7k", "seed": 0, "before": 30, "after": 100, "ci_low": 30, "ci_high": 250, "verdict": "changes"}
    none = {"size": "14k", "seed": 0, "verdict": "no change seen"}
    few = {"size": "25k", "seed": 0, "verdict": "undefined: 3 checkpoints, 6 are needed"}
    assert verdicts.losses({"lags": run, "loss_changes": pd.DataFrame([change, none, few])}) == [
        "At 7k, the held-out loss changes its slope between steps 30 and 100 [30, 250].",
        "At 14k, the held-out loss shows no change of slope.",
        "At 25k, the held-out loss has nothing to tell (undefined: 3 checkpoints, 6 are needed).",
    ]


def test_an_order_of_too_few_prompts_has_no_probabilities():
    table = pair(np.nan, np.nan, np.nan, "cannot be told: 4 prompts, 8 are needed")
    (said,) = verdicts.orders({"order": table})
    assert said.endswith("cannot be told: 4 prompts, 8 are needed.")


def test_each_comparison_is_said_once():
    row = {
        "size_a": "7k",
        "seed_a": 0,
        "size_b": "14k",
        "seed_b": 0,
        "level": "edges",
        "sentence": "differs (p = 0.01)",
    }
    assert verdicts.comparisons({"comparisons": pd.DataFrame([row, row])}) == ["7k and 14k, edges: differs (p = 0.01)."]
