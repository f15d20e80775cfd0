import math

import pandas as pd
import pytest

from interp_emerge.figures._page import json_for_script
from interp_emerge.report.text import cell, html_table, joined, number


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.12345, "0.123"), (-0.5, "−0.5"), (1280, "1,280"), (1.0, "1"), (math.nan, "undefined"), (None, "undefined")],
)
def test_numbers_to_three_digits_and_undefined_by_name(value, shown):
    assert number(value) == shown


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
