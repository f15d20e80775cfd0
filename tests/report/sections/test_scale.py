"""Sentences on what a study found over scale: they give the numbers of a table and the verdict on them."""

from typing import Any

import numpy as np
import pandas as pd

from interp_emerge.emergence.scale.rise import RiseShape
from interp_emerge.emergence.scale.tables import MirageVerdict
from interp_emerge.emergence.scale.trends import TrendVerdict
from interp_emerge.report.sections.scale import correlations, jumps, seeds, trends


def jump(metric: str, shape: RiseShape, verdict: MirageVerdict, reason: str = "") -> dict[str, Any]:
    concentration = {"concentration": 0.75, "concentration_low": 0.6, "concentration_high": 0.9}
    about = {"ability": "fact_recall", "axis": "parameters", "metric": metric}
    shared = {"shared": 0.2, "shared_low": 0.1, "shared_high": 0.3}
    earlier = {"earlier": 0.4, "earlier_low": 0.35, "earlier_high": 0.45}
    return {**about, "shape": shape, "verdict": verdict, "reason": reason, **concentration, **shared, **earlier}


def test_a_jump_is_given_with_the_shape_under_each_metric():
    verdict = MirageVerdict.METRIC
    table = pd.DataFrame([jump("accuracy", RiseShape.SHARP, verdict), jump("log_prob", RiseShape.SPREAD, verdict)])
    assert jumps(table) == [
        "Fact recall over parameters: the jump is the metric's; accuracy is sharp, concentration 0.75 [0.60, 0.90]; "
        "log_prob is spread, concentration 0.75 [0.60, 0.90]; log_prob shares 0.20 [0.10, 0.30] of the jump, and makes "
        "0.40 [0.35, 0.45] of its rise before."
    ]


def test_an_undecided_jump_has_its_reason():
    verdict = MirageVerdict.UNDECIDED
    (sentence,) = jumps(pd.DataFrame([jump("accuracy", RiseShape.UNDECIDED, verdict, "there are 3 points")]))
    assert f"{verdict} (there are 3 points)" in sentence


def test_an_ability_whose_sizes_have_no_order_has_a_reason_and_no_shapes():
    row = {"ability": "two_hop", "axis": "tokens", "metric": np.nan, "verdict": "undecided", "reason": "as many tokens"}
    table = pd.DataFrame([{**row, "shape": np.nan, "form": np.nan, "weight": np.nan}])
    sentence = "Two hop over training tokens: undecided (as many tokens)."
    assert jumps(table) == [sentence]
    assert trends(table) == [sentence]
    assert correlations(table) == [sentence.replace("undecided", "undefined")]


def fits(metric: str, weights: dict[str, float], verdict: TrendVerdict, reason: str = "") -> list[dict[str, Any]]:
    about = {"ability": "two_hop", "axis": "flops", "metric": metric, "verdict": verdict, "reason": reason}
    return [{**about, "form": form, "weight": weight} for form, weight in weights.items()]


def test_a_form_is_given_with_its_weight_and_its_reservations():
    weights = {"constant": 0.02, "power_law": 0.98, "sigmoid": np.nan}
    rows = fits("accuracy", weights, TrendVerdict.POWER_LAW, "too few for sigmoid")
    rows += fits("log_prob", {"constant": 0.4, "power_law": 0.6}, TrendVerdict.CANNOT_BE_TOLD, "0.60 and 0.40")
    assert trends(pd.DataFrame(rows)) == [
        "Two hop over training FLOPs: accuracy power law (weight 0.98; too few for sigmoid), log_prob cannot be told "
        "(0.60 and 0.40)."
    ]


def test_correlations_of_all_metrics_are_in_one_sentence():
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
    assert sentence == (
        "Two hop at 7k: 1 of 3 training runs have it (share 0.33 [0.01, 0.91] of such runs; accuracies 0.88, 0.22, "
        "0.09 by seed)."
    )
