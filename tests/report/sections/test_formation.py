"""Sentences on what a study found along training: they give the numbers of a table and the verdict on them."""

import numpy as np
import pandas as pd
import pytest

from interp_emerge.emergence.forming.loss_changes import LossVerdict
from interp_emerge.emergence.forming.order import LagVerdict
from interp_emerge.emergence.forming.tables import DependenceCriterion, DependenceVerdict
from interp_emerge.report.sections.formation import dependences, lags, losses, orders

RUN = {"size": "7k", "seed": 0}


def pair(before: float, after: float, tie: float, answer: str = "") -> pd.DataFrame:
    """The order of the ability (a) and a previous-token head (b)."""
    parts = {"quantity_a": "accuracy", "component_a": "model", "quantity_b": "previous_token", "component_b": "a0.h1"}
    return pd.DataFrame([{**RUN, **parts, "before": before, "after": after, "tie": tie, "answer": answer}])


def test_the_earlier_quantity_is_named_with_its_probability():
    (sentence,) = orders(pair(0.0, 0.98, 0.02))
    assert sentence == "At 7k: previous-token head a0.h1 before the ability (in 0.98 of bootstrap samples)."
    (reverse,) = orders(pair(1.0, 0.0, 0.0))
    assert reverse == "At 7k: the ability before previous-token head a0.h1 (in 1.00 of bootstrap samples)."


def test_an_undecided_order_gives_all_shares():
    (sentence,) = orders(pair(0.0, 0.1, 0.9, "cannot be told: both fall between step 1 and step 2"))
    assert sentence == (
        "At 7k: the ability and previous-token head a0.h1: cannot be told: both fall between step 1 and step 2 "
        "(of the bootstrap samples the ability first in 0.00, previous-token head a0.h1 first in 0.10, neither in "
        "0.90)."
    )


def test_an_order_of_too_few_prompts_has_no_shares():
    (sentence,) = orders(pair(np.nan, np.nan, np.nan, "4 prompts, 8 are needed"))
    assert "4 prompts, 8 are needed" in sentence and "first" not in sentence


def onset(kind: str, verdict: DependenceVerdict, step: float = 500, **other: object) -> dict[str, object]:
    interval = {"first_with": step, "ci_low": step, "ci_high": step + 250}
    about = {**RUN, "metric": "logit_diff", "kind": kind, "criterion": DependenceCriterion.ABOVE_RANDOM}
    return {**about, "n_random": 20, **interval, "verdict": verdict, **other}


def test_dependence_is_reported_for_the_edges_and_the_heads_of_a_circuit():
    rows = [
        onset("edges", DependenceVerdict.DEPENDS),
        onset("edges", DependenceVerdict.NOT_REACHED, np.nan, criterion=DependenceCriterion.HALF_OF_LAST),
        onset("circuit", DependenceVerdict.TOO_FEW, n_random=3),
    ]
    assert dependences(pd.DataFrame(rows)) == [
        "At 7k, without the circuit's edges, the ability loses more than without 20 random circuits from step 500 "
        "[500, 750] on; half of what it loses at the last step at no step (not reached).",
        "At 7k, without the circuit's heads, the ability loses more than without 3 random sets of heads from step 500 "
        "[500, 750] on, too few for p = 0.05.",
    ]


@pytest.mark.parametrize("verdict", [DependenceVerdict.NOT_REACHED, DependenceVerdict.LOST_AGAIN])
def test_a_dependence_without_an_onset_gives_its_verdict(verdict: DependenceVerdict):
    (sentence,) = dependences(pd.DataFrame([onset("edges", verdict, np.nan)]))
    assert f"({verdict})" in sentence and "nan" not in sentence


def test_an_undefined_dependence_has_no_step():
    (sentence,) = dependences(pd.DataFrame([onset("edges", DependenceVerdict.UNDEFINED, np.nan, n_random=1)]))
    assert "undefined" in sentence and "1 random circuit." in sentence and "step" not in sentence


def test_parts_are_counted_by_whether_they_come_before_the_ability():
    found = {
        "effect": [LagVerdict.LEADS, LagVerdict.LEADS, LagVerdict.LAGS],
        "edge effect": [LagVerdict.UNRESOLVED, LagVerdict.UNDEFINED],
        "copying": [LagVerdict.LEADS],
    }
    rows = [{**RUN, "quantity": quantity, "verdict": one} for quantity, many in found.items() for one in many]
    assert lags(pd.DataFrame(rows)) == [
        "At 7k, whether half of a part's final effect is reached before the ability or after it: of the circuit's 3 "
        "heads and MLPs, 2 certainly before it, 1 certainly after it; of the circuit's 2 edges, for 1 the order cannot "
        "be told, for 1 there is no final effect beyond noise, so no half of it."
    ]


def test_changes_of_the_loss_have_intervals_and_missing_ones_a_reason():
    run = pd.DataFrame([{"size": size, "seed": 0} for size in ("7k", "14k", "25k")])
    change = {**RUN, "before": 30, "after": 100, "ci_low": 30, "ci_high": 250, "verdict": LossVerdict.CHANGES}
    none = {"size": "14k", "seed": 0, "verdict": LossVerdict.NO_CHANGE}
    few = {"size": "25k", "seed": 0, "verdict": f"{LossVerdict.UNDEFINED}: 3 checkpoints, 6 are needed"}
    changed, unchanged, undefined = losses(pd.DataFrame([change, none, few]), run)
    assert changed == "Slope of the held-out loss at 7k: changes between steps 30 and 100 [30, 250]."
    assert unchanged == "Slope of the held-out loss at 14k: no change is seen."
    assert few["verdict"] in undefined
