"""Values with their intervals from any table: the table's rows are drawn, without undefined values."""

import numpy as np
import pandas as pd
import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.figures._export import save
from interp_emerge.figures._intervals import interval_dots, interval_lines
from interp_emerge.figures._theme import OKABE_ITO


def measured() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "thing": ["a", "a", "b", "b"],
            "metric": ["accuracy", "log_prob"] * 2,
            "over": ["sizes", "sizes", "steps", "steps"],
            "step": [0, 0, 10, 100],
            "score": [0.5, 0.3, 0.9, np.nan],
            "score_low": [0.4, 0.2, 0.8, 0.1],
            "score_high": [0.6, 0.5, 1.0, 0.2],
            "not drawn": [1, 2, 3, 4],
        }
    )


def test_dots_carry_the_rows_of_the_table_with_both_ends_of_each_interval() -> None:
    frame = measured()
    chart = interval_dots(frame, thing="thing", value="score", title="score, nats", colour="metric", panel="over")
    rows = chart.datasets["rows"]

    assert [row["score_low"] for row in rows] == [0.4, 0.2, 0.8, 0.1]
    assert [row["score"] for row in rows] == [0.5, 0.3, 0.9, None]
    assert "not drawn" not in rows[0]
    assert "score, nats" in str(chart.to_dict())
    pd.testing.assert_frame_equal(frame, measured())


def test_lines_leave_out_zero_on_a_logarithmic_axis_and_keep_it_on_a_symmetric_one() -> None:
    about = {"x": "step", "value": "score", "titles": ("training step", "score"), "colour": "metric"}

    assert len(interval_lines(measured(), scales=("log", "linear"), **about).datasets["rows"]) == 2
    assert len(interval_lines(measured(), scales=("symlog", "linear"), **about).datasets["rows"]) == 4


def test_lines_without_intervals_are_drawn_without_them() -> None:
    bare = measured().drop(columns=["score_low", "score_high"])
    about = {"x": "step", "value": "score", "titles": ("step", "score"), "colour": "metric"}

    assert "'rule'" not in str(interval_lines(bare, scales=("symlog", "linear"), **about).to_dict())
    assert "'rule'" in str(interval_lines(measured(), scales=("symlog", "linear"), **about).to_dict())


@pytest.mark.parametrize("draw", [interval_dots, interval_lines])
@pytest.mark.parametrize("steps", [[0, 32], ["0", "32"], [0.5, 1.5], [True, False]], ids=str)
def test_every_colour_is_drawn_whatever_its_column_holds(draw, steps, tmp_path) -> None:
    frame = pd.DataFrame({"at": [1, 2, 1, 2], "value": [1.0, 2, 2, 1], "step": np.repeat(steps, 2)})
    frame = frame.assign(value_low=frame["value"] - 0.1, value_high=frame["value"] + 0.1)
    about = {"thing": "at", "title": "a"} if draw is interval_dots else {"x": "at", "titles": ("a", "b")}
    save(draw(frame, colour="step", **about), tmp_path / "drawn.svg")
    drawn = (tmp_path / "drawn.svg").read_text()
    marks = [line for line in drawn.split("<path")[1:] if "translate(6,6)" not in line]
    for colour in OKABE_ITO[:2]:
        assert sum(f'="{colour}"' in mark for mark in marks) >= 2, "beside the legend's"


def test_both_can_be_saved(tmp_path) -> None:
    dots = interval_dots(
        measured(), thing="thing", value="score", title="score", colour="metric", scale="symlog", mark=0.5
    )
    lines = interval_lines(measured(), x="step", value="score", titles=("step", "score"), colour="metric", panel="over")

    assert save(dots, tmp_path / "dots.svg").read_text().startswith("<svg")
    assert save(lines, tmp_path / "lines.svg").read_text().startswith("<svg")


def test_a_missing_column_is_named_and_an_empty_table_refused() -> None:
    with pytest.raises(InputError, match="the table lacks value, value_low, value_high; its columns are thing, metric"):
        interval_dots(measured(), thing="thing", title="value")
    with pytest.raises(InputError, match="no rows, so there is nothing to draw"):
        interval_lines(measured().iloc[:0], x="step", value="score", titles=("step", "score"))


ODD = {
    "a name that Vega reads otherwise": ({"x": "at.0"}, "rename it without"),
    "text on an axis": ({"x": "step"}, "give finite numbers"),
    "an infinite value": ({"value": "far"}, "give finite numbers"),
    "no value at all": ({"value": "none"}, "every 'none' is undefined"),
    "one end": ({"value": "half"}, "without the other end"),
    "zero on a logarithmic axis": ({"value": "low", "scales": ("log", "log")}, "choose the scale symlog"),
    "two kinds of one name": ({"colour": "mixed"}, "cannot tell colours apart"),
    "an axis as a colour": ({"colour": "at"}, "cannot tell colours apart"),
}


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_what_would_be_drawn_wrong_or_not_at_all_is_refused(odd: str) -> None:
    frame = pd.DataFrame({"at": [1.0, 2], "at.0": [1.0, 2], "value": [1.0, 2], "step": ["a", "b"], "far": [1, np.inf]})
    frame = frame.assign(none=np.nan, half=1.0, half_low=0.5, low=1.0, low_low=0.0, low_high=2.0)
    given, says = ODD[odd]
    with pytest.raises(InputError, match=says):
        interval_lines(frame.assign(mixed=[1, "1"]), **{"x": "at", "titles": ("a", "b"), **given})
