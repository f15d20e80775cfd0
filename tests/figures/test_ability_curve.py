import numpy as np
import pandas as pd
import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.figures.ability_curve import ability_curve
from tests.figures.drawn import assert_same_rows, dataset, encodings, parts
from tests.figures.invented import ability

VALUES = ["ability", "size", "step", "seed", "n_parameters", "loss", "metric", "value", "ci_low", "ci_high", "chance"]


def test_points_and_intervals_are_the_tables_rows_of_the_two_metrics():
    table = ability()
    chart = ability_curve(table)
    assert_same_rows(dataset(chart), table[table["metric"].isin(["accuracy", "log_prob"])], VALUES)
    assert {encoding["y"]["field"] for encoding in encodings(chart, "point")} == {"value"}
    bars = [encoding for encoding in encodings(chart, "rule") if "y2" in encoding]
    assert [(bar["y"]["field"], bar["y2"]["field"]) for bar in bars] == [("ci_low", "ci_high")] * 2


def test_lines_run_through_the_mean_over_seeds():
    table = ability()
    lines = dataset(ability_curve(table), "means").set_index(["metric", "ability", "size"])
    own = table[(table["metric"] == "accuracy") & (table["ability"] == "induction") & (table["size"] == "200k")]
    assert len(own) == 3
    assert lines.loc[("accuracy", "induction", "200k"), "value"] == pytest.approx(own["value"].mean())
    assert lines.loc[("accuracy", "induction", "200k"), "loss"] == pytest.approx(own["loss"].mean())


def test_only_the_last_step_is_drawn():
    table = ability()
    both = pd.concat([table.assign(step=10, value=0.0), table])
    assert_same_rows(dataset(ability_curve(both)), dataset(ability_curve(table)), VALUES)


def test_controls_are_dashed_and_chance_is_dotted_at_its_level():
    chart = ability_curve(ability())
    lines = dataset(chart, "means")
    assert set(lines.loc[lines["line"] == "control", "ability"]) == {"markov"}
    assert dataset(chart, "chance").set_index("ability")["chance"].to_dict() == {
        "induction": 0.04,
        "indirect_object": 0.5,
        "two_hop": 0.04,
        "markov": 0.04,
    }


def test_the_horizontal_axis_switches_between_parameters_and_loss():
    switch = next(param for param in ability_curve(ability()).to_dict()["params"] if param["name"] == "x_axis")
    assert switch["bind"]["input"] == "radio"
    assert switch["bind"]["options"] == ["parameters", "loss"]
    assert {"expr": "x_axis == 'loss'"} in parts(ability_curve(ability()).to_dict(), "reverse")


def test_the_switch_is_left_out_where_a_loss_is_unknown():
    chart = ability_curve(ability().assign(loss=np.nan))
    assert "x_axis" not in str(chart.to_dict())
    assert set(dataset(chart)["loss"]) == {None}


def test_a_table_of_other_metrics_is_refused():
    table = ability()
    with pytest.raises(InputError, match="accuracy, log_prob"):
        ability_curve(table[table["metric"] == "logit_diff"])
