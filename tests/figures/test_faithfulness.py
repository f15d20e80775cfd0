import numpy as np
import pandas as pd
import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.figures.faithfulness import faithfulness
from tests.figures.drawn import assert_same_rows, dataset, encodings, parts
from tests.figures.invented import circuits

VALUES = ["size", "seed", "faithfulness", "ci_low", "ci_high", "random_median", "random_p95"]


def test_points_intervals_and_random_quantiles_are_the_tables_rows():
    chart = faithfulness(circuits())
    assert_same_rows(dataset(chart), circuits(), VALUES)
    assert [encoding["y"]["field"] for encoding in encodings(chart, "point")] == ["faithfulness"]
    assert [encoding["y"]["field"] for encoding in encodings(chart, "tick")] == ["random_median", "random_p95"]
    (bar,) = [encoding for encoding in encodings(chart, "rule") if "y2" in encoding]
    assert (bar["y"]["field"], bar["y2"]["field"]) == ("ci_low", "ci_high")


def test_an_undefined_faithfulness_is_said_in_its_place():
    chart = faithfulness(circuits())
    (text,) = encodings(chart, "text")
    assert text["text"] == {"value": "undefined"}
    assert "!isValid(datum.faithfulness)" in parts(chart.to_dict(), "filter")
    assert dataset(chart)["faithfulness"].isna().sum() == circuits()["faithfulness"].isna().sum() > 0


def test_seeds_of_a_size_stand_side_by_side_around_its_middle():
    drawn = dataset(faithfulness(circuits()))
    assert drawn.loc[drawn["size"] == "200k", "offset"].tolist() == [-1, 0, 1]
    assert drawn.loc[drawn["size"] == "1m", "offset"].tolist() == [0]


def test_a_study_whose_every_value_is_undefined_still_draws():
    chart = faithfulness(circuits().assign(faithfulness=np.nan, ci_low=np.nan, ci_high=np.nan))
    assert [0.0, 1.0] in parts(chart.to_dict(), "domain")


def test_circuits_of_several_methods_are_not_laid_over_each_other():
    with pytest.raises(InputError, match="values of 'method'"):
        faithfulness(pd.concat([circuits(), circuits().assign(method="eap")]))
