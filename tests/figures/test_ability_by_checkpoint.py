"""Abilities at every checkpoint: one point per size, step and seed, over an axis that all sizes share."""

import numpy as np
import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.figures.ability_by_checkpoint import ability_by_checkpoint
from tests.figures.drawn import assert_same_rows, dataset, encodings, parts
from tests.figures.invented import LAST, ability

VALUES = ["ability", "size", "step", "seed", "loss", "tokens", "flops", "metric", "value", "ci_low", "ci_high"]
TABLE = ability((0, 64, 512, LAST))


def test_points_and_intervals_are_the_tables_rows_at_every_step():
    chart = ability_by_checkpoint(TABLE)
    assert_same_rows(dataset(chart), TABLE[TABLE["metric"].isin(["accuracy", "log_prob"])], VALUES)
    bars = [encoding for encoding in encodings(chart, "rule") if "y2" in encoding]
    assert [(bar["y"]["field"], bar["y2"]["field"]) for bar in bars] == [("ci_low", "ci_high")] * 2


def test_a_line_follows_each_run_through_its_training():
    for line in encodings(ability_by_checkpoint(TABLE), "line"):
        assert line["order"]["field"] == "step"
        assert (line["color"]["field"], line["detail"]["field"]) == ("size", "seed")


def test_the_axis_switches_between_loss_tokens_and_flops():
    (switch,) = ability_by_checkpoint(TABLE).to_dict()["params"]
    assert switch["bind"]["options"] == ["loss", "tokens", "flops"]
    assert switch["value"] == "loss"
    assert ability_by_checkpoint(TABLE, axis="flops").to_dict()["params"][0]["value"] == "flops"
    assert ability_by_checkpoint(TABLE, axis="parameters").to_dict()["params"][0]["value"] == "loss"


def test_models_before_training_have_no_place_among_tokens_and_are_left_out_there():
    assert (TABLE["tokens"] == 0).any()
    spec = ability_by_checkpoint(TABLE).to_dict()
    assert "datum.x > 0" in parts(spec, "filter")
    places = " ".join(str(values) for values in parts(spec, "values"))
    assert "-inf" not in places and "NaN" not in places


def test_where_only_the_loss_is_known_it_falls_to_the_right_without_a_switch():
    spec = ability_by_checkpoint(TABLE.assign(tokens=np.nan, flops=np.nan)).to_dict()
    assert "params" not in spec
    assert set(parts(spec, "reverse")) == {True}


def test_a_table_that_no_axis_can_express_is_refused():
    unknown = TABLE.assign(tokens=np.nan, flops=np.nan, loss=np.nan)
    with pytest.raises(InputError, match="cannot be drawn over loss, tokens, flops: their places are unknown"):
        ability_by_checkpoint(unknown)


def test_a_table_of_other_metrics_is_refused():
    with pytest.raises(InputError, match="accuracy, log_prob"):
        ability_by_checkpoint(TABLE[TABLE["metric"] == "logit_diff"])
