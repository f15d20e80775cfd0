"""Lags, onsets, changes of the loss and seeds: the drawn rows are the table's, and open ends are drawn as open."""

import json

import numpy as np
import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.figures.lead_and_lag import lead_and_lag
from interp_emerge.figures.loss_over_training import loss_over_training
from interp_emerge.figures.onset_intervals import onset_intervals
from interp_emerge.figures.role_map import role_map
from interp_emerge.figures.seed_spread import seed_spread
from tests.figures.drawn import assert_same_rows, dataset, encodings, spec_of
from tests.figures.invented import ability, onsets, roles
from tests.figures.invented_further import lags, loss_changes, seeds


def test_lags_are_the_tables_and_unbounded_ends_reach_the_edge_with_an_arrow():
    drawn = dataset(lead_and_lag(lags()))
    values = ["size", "component", "quantity", "log_crossing", "log_crossing_low", "log_crossing_high", "verdict"]
    assert_same_rows(drawn, lags(), values)
    leading = drawn.query("verdict == 'leads'")
    assert leading["open_low"].all() and not leading["open_high"].any()
    reach = drawn["drawn_low"].abs().max()
    assert (leading["drawn_low"] == -reach).all() and (leading["drawn_high"] == -0.2).all()
    assert drawn.query("verdict == 'undefined'")["drawn_low"].isna().all()
    bounds = {
        (rule["x"]["field"], rule["x2"]["field"]) for rule in encodings(lead_and_lag(lags()), "rule") if "x2" in rule
    }
    assert bounds == {("drawn_low", "drawn_high"), ("log_crossing_low", "log_crossing_high")}


def test_onsets_over_steps_are_drawn_and_those_over_sizes_left_out():
    drawn = dataset(onset_intervals(onsets()))
    table = onsets().query("axis == 'step'")
    assert len(drawn) == len(table) == 2
    at = {row["at"]: row for row in drawn.to_dict("records")}
    ends = [at["1m"][end] for end in ("gap_low", "gap_high", "first_with", "ci_low", "ci_high")]
    assert ends == [256, 512, 512, 512, 512]
    assert at["3k"]["never"] == 4000 and np.isnan(at["3k"]["first_with"])
    with pytest.raises(InputError, match="no onset over training steps"):
        onset_intervals(onsets().query("axis == 'size'"))


def test_losses_are_the_tables_and_each_change_has_its_interval():
    table = ability((128, 256, 512, 1024))
    chart = loss_over_training(table, changes=loss_changes())
    once = table.drop_duplicates(["size", "seed", "step"])
    assert_same_rows(dataset(chart), once, ["size", "step", "seed", "loss"])
    changes = loss_changes().query("verdict == 'changes'")
    assert_same_rows(dataset(chart, "changes"), changes, ["size", "seed", "ci_low", "ci_high", "jump"])
    assert '"place"' in json.dumps(spec_of(chart))
    assert spec_of(chart)["title"]["text"].endswith("; 2 of 13 runs have one")
    assert spec_of(loss_over_training(table))["title"]["text"] == ""


def test_the_names_of_sizes_stand_apart():
    ends = dataset(loss_over_training(ability((128, 1024))), "ends").sort_values("at")
    span = ability((128, 1024))["loss"].max() - ability((128, 1024))["loss"].min()
    assert (np.diff(ends["at"]) >= 0.04 * span).all()


def test_no_known_loss_is_refused():
    with pytest.raises(InputError, match="no held-out loss"):
        loss_over_training(ability().assign(loss=np.nan))


def test_every_run_of_every_size_is_drawn_with_the_number_that_succeed():
    chart = seed_spread(seeds())
    assert_same_rows(dataset(chart), seeds(), ["size", "ability", "values", "p_alike", "n_success"])
    runs = dataset(chart, "runs").query("ability == 'induction' and size == '200k'")
    assert runs["value"].tolist() == [0.1, 0.9, 0.88]
    assert set(runs["succeed"]) == {"2 of 3"} and set(runs["spread"]) == {"runs differ"}
    with pytest.raises(InputError, match="accuracies divided by spaces"):
        seed_spread(seeds().assign(values="high"))


def test_a_head_bears_the_roles_that_it_plays_and_no_others():
    table = roles()
    drawn = dataset(role_map(table))
    played = table[table["plays"]].groupby(["size", "node"])["role"].agg(list).to_dict()
    assert len(drawn) == len(table.drop_duplicates(["size", "seed", "node"]))
    for head in drawn.to_dict("records"):
        own = played.get((head["size"], head["node"]), [])
        assert head["role"] == (own[0] if own else "none of these")
        assert head["letters"] == "".join(role[0].upper() for role in own)
    in_circuit = table[table["in_circuit"]].drop_duplicates(["size", "node"])
    assert drawn["in_circuit"].sum() == len(in_circuit) > 0
