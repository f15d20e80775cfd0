import math

import pandas as pd
import pytest

from interp_emerge.figures._page import json_for_script
from interp_emerge.report.numbers import Kind, between, in_text, number, step
from interp_emerge.report.text import Because, cell, html_table, joined
from interp_emerge.stats.intervals import Interval


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.12345, "0.12"), (-0.5, "−0.50"), (1.0, "1.00"), (0.000167, "0.00017"), (-0.0001, "−0.00010"), (0.0, "0.00"),
     (1234.5, "1,234.50"), (math.nan, "undefined"), (None, "undefined"), (pd.NA, "undefined")],
)  # fmt: skip
def test_a_measured_value_has_two_decimals_and_more_only_if_it_would_show_as_zero(value, shown):
    assert number(value) == shown


def test_each_kind_of_number_has_one_form():
    assert number(2421, Kind.COUNT) == number(2421.0, Kind.COUNT) == "2,421"
    assert number(0.01198, Kind.SHARE) == "1.2%"
    assert [number(p, Kind.P_VALUE) for p in (0.00498, 0.0448, 1, 0.5624)] == ["0.005", "0.045", "1.00", "0.56"]
    assert step("5000") == step(5000.0) == "5,000" and step("14k") == "14k" and step(math.nan) == step("") == "never"


@pytest.mark.parametrize(
    ("ends", "shown"),
    [
        ((0.824, 0.783, 1.0), "0.82 [0.78, 1.00]"),
        ((-0.012, -0.05, 0.031), "−0.01 [−0.05, 0.03]"),
        ((0.0002, -0.0003, 0.0004), "0.00020 [−0.00030, 0.00040]"),
        ((0.4, math.nan, 1.0), "0.40 [undefined]"),
        ((math.nan, 0.0, 1.0), "undefined"),
        ((1.0, -math.inf, math.inf), "1.00 [−infinite, infinite]"),
    ],
)
def test_the_ends_of_an_interval_have_as_many_decimals_as_its_value(ends, shown):
    assert between(Interval(*ends)) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("29 of 2421 edges keep -0.01 [-0.05, 0.03]", "29 of 2,421 edges keep −0.01 [−0.05, 0.03]"),
        ("between step 2000 and step 3000, p = 1; p = 4.8e-05", "between step 2,000 and step 3,000, p = 1.00; p = "
        "0.000048"),
        ("induction-560k-step5000-seed0.json", "induction-560k-step5000-seed0.json"),
        ("0.12345 and 2,421 and a12.h3", "0.12345 and 2,421 and a12.h3"),
    ],
)  # fmt: skip
def test_numbers_in_sentences_get_the_same_forms_and_names_are_left_alone(text, shown):
    assert in_text(text) == shown
    assert in_text(shown) == shown


def test_a_cell_keeps_the_reason_why_it_has_no_number():
    table = html_table(
        pd.DataFrame(
            {"size": ["7k", "14k"], "a": [Because("none", "too few"), 0.5], "b": [Because("–", "too few"), 1.0]}
        ),
        {"size": "size", "a": "a", "b": "b"},
        numbers=("a", "b"),
    )
    assert table.rows == (("7k", "none", "–"), ("14k", "0.50", "1.00"))
    assert table.reasons() == {"too few": ["7k: a, b"]}


def test_a_missing_value_is_shown_as_its_column_says():
    table = html_table(
        pd.DataFrame({"first_with": [None, "200k"], "score": [math.nan, 0.25], "in": [True, False]}),
        {"first_with": "first", "score": "score", "in": "in"},
        {"first_with": "never"},
    )
    assert table.rows == (("never", "undefined", "yes"), ("200k", "0.25", "no"))
    assert table.numeric == (False, True, False)


def test_truth_values_are_words():
    assert [cell(True), cell(False)] == ["yes", "no"]


@pytest.mark.parametrize(("parts", "phrase"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), ("abc", "a, b and c")])
def test_lists_are_joined_as_a_phrase(parts, phrase):
    assert joined(parts) == phrase


def test_json_in_a_script_cannot_end_it():
    text = str(json_for_script({"<!--": "</script>&\u2028"}))
    assert not set("<>&\u2028") & set(text)


def test_json_in_a_script_refuses_numbers_that_are_not_finite():
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_for_script([math.nan])
