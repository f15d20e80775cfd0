"""What a study found along training, in sentences: each says the numbers of its table, and what cannot be decided."""

import numpy as np
import pandas as pd

from interp_emerge.report.sections.formation import dependences, lags, losses, orders


def pair(before: float, after: float, tie: float, answer: str) -> pd.DataFrame:
    ends = {"quantity_a": "accuracy", "component_a": "model", "quantity_b": "previous_token", "component_b": "a0.h1"}
    return pd.DataFrame(
        [{"size": "7k", "seed": 0, **ends, "before": before, "after": after, "tie": tie, "answer": answer}]
    )


def test_what_comes_first_is_named_with_its_probability():
    (sentence,) = orders(pair(0.0, 0.98, 0.02, "previous_token a0.h1 before accuracy model"))
    assert sentence == "At 7k: previous-token head a0.h1 before the ability (probability 0.98)."
    (sentence,) = orders(pair(1.0, 0.0, 0.0, "accuracy model before previous_token a0.h1"))
    assert sentence == "At 7k: the ability before previous-token head a0.h1 (probability 1.00)."


def test_an_order_that_cannot_be_told_says_so():
    (sentence,) = orders(pair(0.0, 0.1, 0.9, "cannot be told: both fall between step 1 and step 2"))
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
    assert dependences(pd.DataFrame(rows)) == [
        "At 7k. With the edges of its circuit ablated it loses more than with 20 random choices from step 500 "
        "[500, 750] on, and half of the last loss at no step for good (not reached). With the heads of its circuit "
        "ablated it loses more than with 3 random choices from step 500 [500, 750] on, too few for p = 0.05."
    ]


def test_parts_are_counted_by_whether_they_come_before_the_ability():
    about = {"size": "7k", "seed": 0}
    found = {"effect": ["leads", "leads", "lags"], "edge effect": ["unresolved", "undefined"], "copying": ["leads"]}
    rows = [{**about, "quantity": quantity, "verdict": one} for quantity, many in found.items() for one in many]
    assert lags(pd.DataFrame(rows)) == [
        "At 7k, by their effects against the ability: of 3 heads and MLPs, 2 come before it, 1 after it; of 2 edges, 1 "
        "between the same checkpoints or not to be told, 1 end within noise."
    ]


def test_changes_of_the_loss_are_said_with_their_intervals_and_so_is_that_there_are_none():
    run = pd.DataFrame([{"size": size, "seed": 0} for size in ("7k", "14k", "25k")])
    change = {"size": "7k", "seed": 0, "before": 30, "after": 100, "ci_low": 30, "ci_high": 250, "verdict": "changes"}
    none = {"size": "14k", "seed": 0, "verdict": "no change seen"}
    few = {"size": "25k", "seed": 0, "verdict": "undefined: 3 checkpoints, 6 are needed"}
    assert losses(pd.DataFrame([change, none, few]), run) == [
        "At 7k, the held-out loss changes its slope between steps 30 and 100 [30, 250].",
        "At 14k, the held-out loss shows no change of slope.",
        "At 25k, the held-out loss has nothing to tell (undefined: 3 checkpoints, 6 are needed).",
    ]


def test_an_order_of_too_few_prompts_has_no_probabilities():
    table = pair(np.nan, np.nan, np.nan, "cannot be told: 4 prompts, 8 are needed")
    (said,) = orders(table)
    assert said.endswith("cannot be told: 4 prompts, 8 are needed.")
