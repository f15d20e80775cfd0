import pandas as pd
import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.figures.ablation import ablation
from tests.figures.drawn import assert_same_rows, dataset, encodings, parts
from tests.figures.invented import ablation as invented

VALUES = ["size", "seed", "condition", "draw", "heads", "accuracy", "ci_low", "ci_high"]


def test_points_are_the_tables_rows():
    chart = ablation(invented())
    assert_same_rows(dataset(chart), invented(), VALUES)
    assert [encoding["y"]["field"] for encoding in encodings(chart, "point")] == ["accuracy"]


def test_random_draws_get_a_mean_and_the_others_an_interval():
    chart = ablation(invented())
    drawn = dataset(chart)
    assert set(drawn.loc[drawn["repeated"], "condition"]) == {"random heads of the same layers"}
    (mean,) = encodings(chart, "tick")
    assert (mean["y"]["aggregate"], mean["y"]["field"]) == ("mean", "accuracy")
    (bar,) = encodings(chart, "rule")
    assert (bar["y"]["field"], bar["y2"]["field"]) == ("ci_low", "ci_high")


def test_the_untouched_model_comes_first_whatever_the_order_of_the_table():
    spec = ablation(invented().iloc[::-1]).to_dict()
    assert parts(spec, "xOffset")[0]["sort"][0] == "none"


def test_several_abilities_are_not_laid_over_each_other():
    with pytest.raises(InputError, match="values of 'ability'"):
        ablation(pd.concat([invented(), invented().assign(ability="two_hop")]))
