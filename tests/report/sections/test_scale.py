"""What a study found over scale, in sentences: each says the numbers of its table, and what cannot be decided."""

from typing import Any

import numpy as np
import pandas as pd

from interp_emerge.report.sections.scale import correlations, jumps, seeds, trends


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
    assert jumps(table) == [
        "Fact recall over parameters: sharp under thresholding only; accuracy sharp, concentration 0.75 [0.60, 0.90]; "
        "log_prob spread, concentration 0.75 [0.60, 0.90]."
    ]


def test_why_a_jump_is_undecided_is_said():
    table = pd.DataFrame([jump("accuracy", "undecided", "undecided at this resolution", "there are 3 points")])
    assert "undecided at this resolution (there are 3 points);" in jumps(table)[0]


def test_an_ability_whose_sizes_have_no_order_has_a_reason_and_no_shapes():
    row = {"ability": "two_hop", "axis": "tokens", "metric": np.nan, "verdict": "undecided", "reason": "as many tokens"}
    table = pd.DataFrame([{**row, "shape": np.nan, "form": np.nan, "weight": np.nan}])
    sentence = "Two hop over training tokens: undecided (as many tokens)."
    assert jumps(table) == [sentence]
    assert trends(table) == [sentence]
    assert correlations(table) == [sentence.replace("undecided", "undefined")]


def fits(metric: str, weights: dict[str, float], verdict: str, reason: str = "") -> list[dict[str, Any]]:
    about = {"ability": "two_hop", "axis": "flops", "metric": metric, "verdict": verdict, "reason": reason}
    return [{**about, "form": form, "weight": weight} for form, weight in weights.items()]


def test_a_form_is_said_with_its_weight_and_what_it_leaves_open():
    rows = fits(
        "accuracy", {"constant": 0.02, "power_law": 0.98, "sigmoid": np.nan}, "power_law", "too few for sigmoid"
    )
    rows += fits("log_prob", {"constant": 0.4, "power_law": 0.6}, "cannot be told", "0.60 and 0.40")
    assert trends(pd.DataFrame(rows)) == [
        "Two hop over training FLOPs: accuracy power law (weight 0.98; too few for sigmoid), log_prob cannot be told "
        "(0.60 and 0.40)."
    ]


def test_correlations_are_said_down_the_ladder():
    about = {"ability": "two_hop", "axis": "loss", "reason": ""}
    ends = {"per_prompt": 0.5, "per_prompt_low": 0.4, "per_prompt_high": 0.6}
    rows = [{**about, **ends, "metric": "log_prob"}, {**about, **dict.fromkeys(ends, np.nan), "metric": "accuracy"}]
    assert correlations(pd.DataFrame(rows)) == [
        "Two hop over held-out loss: log_prob 0.50 [0.40, 0.60], accuracy undefined."
    ]


def test_only_sizes_whose_runs_disagree_are_named():
    columns = ["ability", "size", "n_seeds", "n_success", "p", "ci_low", "ci_high", "values"]
    rows = [("two_hop", "7k", 3, 1, 1 / 3, 0.01, 0.91, "0.88 0.22 0.09"), ("two_hop", "14k", 3, 3, 1, 0.29, 1, "1 1 1")]
    (sentence,) = seeds(pd.DataFrame(rows, columns=columns))
    assert sentence == "Two hop at 7k: 1 of 3 training runs have it (P 0.33 [0.01, 0.91]; accuracies 0.88 0.22 0.09)."
