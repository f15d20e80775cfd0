import json

import numpy as np
import pandas as pd
import pytest

from interp_emerge.figures._rows import equal, extent, records


def test_records_are_plain_json_to_the_last_digit_with_null_for_undefined():
    frame = pd.DataFrame({"a": [0.1 + 0.2, np.nan, np.inf], "b": np.array([1, 2, 3]), "c": [True, False, True]})
    frame["d"] = ["x", None, "z"]
    assert json.loads(json.dumps(records(frame), allow_nan=False)) == [
        {"a": 0.1 + 0.2, "b": 1, "c": True, "d": "x"},
        {"a": None, "b": 2, "c": False, "d": None},
        {"a": None, "b": 3, "c": True, "d": "z"},
    ]


def test_a_filter_takes_numbers_as_pandas_holds_them():
    assert equal(size="1m", seed=np.int64(3)).to_dict() == {
        "and": [{"field": "size", "equal": "1m"}, {"field": "seed", "equal": 3}]
    }


@pytest.mark.parametrize(
    ("values", "include", "domain"),
    [
        ([0.2, 0.4], (), [0.2, 0.4]),
        ([0.2, np.nan], (0.0, 1.0), [0, 1]),
        ([np.nan], (), [0, 1]),
        ([3.0], (), [2.5, 3.5]),
    ],
)
def test_an_extent_is_finite_whatever_is_undefined(values, include, domain):
    assert extent(pd.DataFrame({"v": values}), ["v"], include=include) == domain
