import pandas as pd
import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.figures.formation import formation
from tests.figures.drawn import assert_same_rows, dataset, encodings, parts, spec_of
from tests.figures.invented import STEPS, formation as invented

VALUES = ["size", "step", "seed", "quantity", "component", "value", "ci_low", "ci_high"]


def test_lines_and_bands_are_the_tables_rows():
    chart = formation(invented())
    assert_same_rows(dataset(chart), invented(), VALUES)
    assert {encoding["y"]["field"] for encoding in encodings(chart, "line")} == {"value"}
    bands = {(band["y"]["field"], band["y2"]["field"]) for band in encodings(chart, "area")}
    assert bands == {("ci_low", "ci_high")}


def test_step_zero_shows_on_the_axis():
    scales = [scale for scale in parts(spec_of(formation(invented())), "scale") if scale.get("type") == "symlog"]
    assert scales
    for scale in scales:
        assert scale["domain"] == [0, STEPS[-1]]
        assert scale["constant"] == STEPS[1]


def test_fractions_nats_and_head_scores_do_not_share_an_axis():
    drawn = dataset(formation(invented()))
    assert drawn.groupby("row")["quantity"].unique().map(sorted).to_dict() == {
        "The ability and its circuit, fraction": ["accuracy", "faithfulness"],
        "Log-probability of the answer, nats": ["log_prob"],
        "Attention of heads to what their role attends to, fraction": [
            "duplicate_token",
            "induction",
            "previous_token",
        ],
        "Copying by heads, rise of the predicted token's logit, nats": ["copying"],
    }


def test_the_head_that_scores_highest_at_the_last_step_is_named_once():
    table = invented()
    worse = table[table["quantity"] == "induction"].assign(component="a9.h9", value=0.01)
    drawn = dataset(formation(pd.concat([table, worse], ignore_index=True)))
    named = drawn[drawn["label"].notna() & (drawn["size"] == "1m")]
    assert named.set_index("quantity")["label"].to_dict() == {
        "previous_token": "a0.h1",
        "induction": "a3.h0",
        "copying": "a3.h0",
        "duplicate_token": "a0.h0",
    }
    assert set(named["step"]) == {STEPS[-1]}


def test_other_heads_are_faint_and_all_are_drawn():
    table = invented()
    worse = table[table["quantity"] == "induction"].assign(component="a9.h9", value=-0.1)
    both = pd.concat([table, worse], ignore_index=True)
    drawn = dataset(formation(both))
    assert_same_rows(drawn, both, VALUES)
    assert set(drawn.loc[drawn["faint"], "component"]) == {"a9.h9"}
    assert "a9.h9" not in set(drawn.loc[~drawn["faint"], "component"])


def test_several_abilities_are_not_laid_over_each_other():
    with pytest.raises(InputError, match="values of 'ability'"):
        formation(pd.concat([invented(), invented().assign(ability="two_hop")]))
