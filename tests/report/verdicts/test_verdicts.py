"""Verdicts as tables: the numbers are those of the study's tables, and what is undefined is called undefined."""

from typing import Any

import numpy as np
import pandas as pd

from interp_emerge.emergence.forming.tables import DEPENDENCE, DependenceCriterion, DependenceVerdict
from interp_emerge.report.sections.scale import jumps
from interp_emerge.report.text import HtmlTable
from interp_emerge.report.verdicts.circuits import ablation_table, same_table
from interp_emerge.report.verdicts.formation import dependence_table, first_table, lag_table, order_of
from interp_emerge.report.verdicts.scale import concentration, jump_table


def rows(table: HtmlTable | None) -> list[dict[str, str]]:
    assert table is not None
    return [dict(zip([name for name, _ in table.columns], row, strict=True)) for row in table.rows]


def jump(**more: Any) -> dict[str, Any]:
    row = {"ability": "two_hop", "axis": "parameters", "metric": "accuracy", "shape": "undecided", "reason": ""}
    ends = {"concentration": 0.0, "concentration_low": 0.0, "concentration_high": 0.0, "rise": 0.5, "width": 0.3}
    return {**row, **ends, "verdict": "undecided", **more}


def test_a_concentration_is_undefined_with_two_points_and_without_a_rise():
    assert concentration(jump(width=1.0)) == "undefined"
    assert concentration(jump(rise=0.0)) == "undefined"
    assert concentration(jump(rise=np.nan)) == "undefined"
    assert concentration(jump(concentration=0.4, concentration_high=0.6)) == "0.40 [0.00, 0.60]"
    (sentence,) = jumps(pd.DataFrame([jump(width=1.0)]))
    assert "concentration undefined" in sentence and "0.00" not in sentence


def test_a_jump_has_one_row_an_ability_and_what_only_jumps_have_is_left_out_without_one():
    found = [jump(width=1.0), jump(metric="log_prob", concentration=0.2)]
    (row,) = rows(jump_table(pd.DataFrame(found)))
    assert (row["ability"], row["accuracy"], row["concentration of accuracy"]) == ("two hop", "undecided", "undefined")
    assert row["concentration of log_prob"].startswith("0.20") and row["shared"] == "–"


def order(a: str, b: str, before: float, after: float) -> dict[str, Any]:
    return {"size": "7k", "seed": 0, "quantity_a": a, "quantity_b": b, "before": before, "after": after}


def test_the_order_is_given_where_it_is_sure_for_every_pair_of_heads():
    told = [order("accuracy", "previous_token", 0, 1), order("previous_token", "induction", 0.98, 0)]
    told += [order("accuracy", "induction", 0, 0)]
    assert order_of(pd.DataFrame(told)) == (
        "previous token before induction; previous token before ability; induction and ability cannot be told"
    )
    mixed = [order("previous_token", "induction", 1, 0), order("previous_token", "induction", 0, 0)]
    assert order_of(pd.DataFrame(mixed)) == "depend on the head"


def test_the_first_head_of_a_role_gives_the_steps():
    about = {"ability": "induction", "axis": "step", "at": "7k", "verdict": "learned"}
    onsets = [
        {**about, "quantity": "induction", "component": "a1.h0", "last_without": "500", "first_with": "750"},
        {**about, "quantity": "induction", "component": "a1.h1", "last_without": "250", "first_with": "500"},
        {
            **about,
            "quantity": "accuracy",
            "component": "model",
            "last_without": "",
            "first_with": "",
            "verdict": "lost",
        },
    ]
    (row,) = rows(first_table(pd.DataFrame(onsets), pd.DataFrame([order("accuracy", "induction", 0, 0)]), "induction"))
    assert row["induction"] == "250 to 500 (a1.h1)"
    assert (row["ability"], row["copying"], row["order"]) == ("lost", "none", "cannot be told")


def test_parts_are_counted_by_their_lag():
    lags = pd.DataFrame(
        {"size": "7k", "seed": 0, "quantity": ["effect", "effect", "edge effect"], "verdict": ["leads", "lags", "lags"]}
    )
    (row,) = rows(lag_table(lags))
    assert (row["nodes"], row["nodes, before"], row["nodes, after"]) == ("2", "1", "1")
    assert (row["edges"], row["edges, after"], row["edges, cannot be told"]) == ("1", "1", "0")
    assert "seed" not in row


def test_a_dependence_gives_its_doubt_and_one_without_an_onset_its_verdict():
    about = {"size": "7k", "seed": 0, "metric": "logit_diff", "n_random": 3, "ci_low": 500, "ci_high": np.nan}
    found = [
        {**about, "kind": "edges", "criterion": DependenceCriterion.ABOVE_RANDOM, "first_with": 500,
         "verdict": DependenceVerdict.TOO_FEW},
        {**about, "kind": "edges", "criterion": DependenceCriterion.HALF_OF_LAST, "first_with": np.nan,
         "verdict": DependenceVerdict.LOST_AGAIN},
    ]  # fmt: skip
    (row,) = rows(dependence_table(pd.DataFrame(found), DEPENDENCE.empty))
    assert row["edges, above random"] == "500 [500, never], too few random choices"
    assert row["edges, half"] == "lost again" and row["heads, half"] == "none"


def test_an_ablation_is_compared_with_random_heads():
    about = {"size": "7k", "seed": 0, "heads": "a0.h0", "ci_low": 0.0, "ci_high": 0.1}
    random = "random heads of the same layers"
    found = [{**about, "condition": "none", "accuracy": 0.9}, {**about, "condition": "circuit heads", "accuracy": 0.05}]
    found += [{**about, "condition": random, "accuracy": value} for value in (0.7, 0.8, 0.9)]
    (row,) = rows(ablation_table(pd.DataFrame(found)))
    assert (row["whole"], row["without the heads"]) == ("0.90 [0.00, 0.10]", "0.05 [0.00, 0.10]")
    assert (row["without random heads"], row["lowest"], row["draws"]) == ("0.80", "0.70", "3")


def test_a_comparison_without_its_null_is_undefined():
    about = {"size_a": "7k", "seed_a": 0, "size_b": "14k", "seed_b": 0, "level": "edges", "verdict": "different",
             "sentence": ""}  # fmt: skip
    across = {**about, "comparison": "across", "index": 0.5, "low": 0.4, "high": 0.6, "p_value_verdict": 0.01}
    (row,) = rows(same_table(pd.DataFrame([across])))
    assert (row["sizes"], row["index"], row["random circuits"]) == ("7k and 14k", "0.50 [0.40, 0.60]", "undefined")
