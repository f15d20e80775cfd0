from typing import Any

import numpy as np
import pandas as pd
import pytest
from altair.typing import ChartType

from interp_emerge.core.errors import InputError, UnknownNameError
from interp_emerge.figures._theme import OKABE_ITO, ROLE_COLOURS, palette, palette_of_quantities
from interp_emerge.figures.ability_curve import ability_curve
from interp_emerge.stats.intervals import mean_interval
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


def switch(chart: ChartType) -> dict[str, Any]:
    return next(param for param in chart.to_dict()["params"] if param["name"] == "x_axis")


def trained_in_proportion(table: pd.DataFrame) -> pd.DataFrame:
    """Larger sizes trained on more tokens."""
    tokens = 20.0 * table["n_parameters"]
    return table.assign(tokens=tokens, flops=6 * table["n_parameters"] * tokens)


def test_the_horizontal_axis_switches_between_all_axes_that_tell_the_models_apart():
    chart = ability_curve(trained_in_proportion(ability()))
    assert switch(chart)["bind"]["input"] == "radio"
    assert switch(chart)["bind"]["options"] == ["parameters", "tokens", "flops", "loss"]
    assert switch(chart)["bind"]["labels"] == ["parameters", "training tokens", "training FLOPs", "held-out loss"]
    assert switch(chart)["value"] == "parameters"
    (reverse,) = {str(value) for value in parts(chart.to_dict(), "reverse")}
    assert reverse.count("true") == 1 and "x_axis == 'flops' ? false : true" in reverse
    titles = str(parts(chart.to_dict(), "title"))
    assert all(unit in titles for unit in ("parameters (log", "Tokens of", "FLOPs of", "nats per token (log scale, f"))


def test_an_axis_on_which_all_models_coincide_is_not_offered():
    assert ability()["tokens"].nunique() == 1
    assert switch(ability_curve(ability()))["bind"]["options"] == ["parameters", "flops", "loss"]


@pytest.mark.parametrize(("unknown", "left"), [("loss", ["parameters", "flops"]), ("flops", ["parameters", "loss"])])
def test_nor_is_one_on_which_the_place_of_a_model_is_unknown(unknown, left):
    table = ability()
    table.loc[table["size"] == "25k", unknown] = np.nan
    assert switch(ability_curve(table))["bind"]["options"] == left


def test_the_switch_is_left_out_where_only_parameters_are_known():
    chart = ability_curve(ability().assign(loss=np.nan, tokens=np.nan, flops=np.nan))
    assert "x_axis" not in str(chart.to_dict())
    assert set(dataset(chart)["loss"]) == {None}
    assert "Non-embedding parameters (log scale)" in str(parts(chart.to_dict(), "title"))


def test_the_axis_asked_for_is_shown_first_if_it_can_be_drawn():
    assert switch(ability_curve(ability(), axis="loss"))["value"] == "loss"
    assert switch(ability_curve(ability(), axis="tokens"))["value"] == "parameters"
    with pytest.raises(UnknownNameError, match="unknown axis 'tokns'; did you mean 'tokens'"):
        ability_curve(ability(), axis="tokns")


def test_a_table_of_other_metrics_is_refused():
    table = ability()
    with pytest.raises(InputError, match="accuracy, log_prob"):
        ability_curve(table[table["metric"] == "logit_diff"])


def test_values_of_prompts_are_drawn_as_their_means_and_those_of_one_model_are_refused():
    values = {"3k": [0.0, 0.0, 1.0, 0.0], "7k": [1.0, 1.0, 0.0, 1.0]}
    about = {"step": 10, "seed": 0, "loss": 3.0, "ability": "induction", "metric": "accuracy", "pair": range(4)}
    parts = [pd.DataFrame({"size": size, "n_parameters": int(size[0]) * 1000, **about, "value": own})
             for size, own in values.items()]  # fmt: skip
    drawn = dataset(ability_curve(pd.concat(parts, ignore_index=True))).set_index("size")
    assert drawn["value"].to_dict() == {"3k": 0.25, "7k": 0.75} and (drawn["n_pairs"] == 4).all()
    expected = mean_interval(np.array(values["3k"]), share=True)
    assert [drawn.at["3k", end] for end in ("ci_low", "ci_high")] == [expected.low, expected.high]
    with pytest.raises(
        InputError, match=r"without 'size' cannot be drawn over scale; give the table that ie\.measure_grid"
    ):
        ability_curve(parts[0][["ability", "metric", "pair", "value"]])
    with pytest.raises(InputError, match="several rows of pair 0"):
        ability_curve(pd.concat([parts[0], parts[0].head(1)]))


def test_an_ability_that_is_named_like_a_role_has_a_colour_of_the_palette():
    found = palette(["induction", "markov", "previous_token"]).to_dict()
    assert found["range"] == list(OKABE_ITO[:3])
    assert palette_of_quantities(["markov", "induction"]).to_dict()["range"] == [
        OKABE_ITO[0],
        ROLE_COLOURS["induction"],
    ]
