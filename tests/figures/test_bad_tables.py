"""What is not a table that a figure can draw is refused in one line: no frame, no row, a column less, a row twice."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import pytest

from interp_emerge.core.errors import InputError
from interp_emerge.figures import interval_dots, interval_lines, save, shelf
from tests.figures.test_contract import KNOWN, rows_for, table_of

VALUES = pd.DataFrame({"name": ["a", "b"], "place": [1, 2], "value": [0.5, 1.0], "value_low": 0.1, "value_high": 2.0})
ANY_TABLE: dict[str, Callable[..., Any]] = {
    "interval_dots": partial(interval_dots, thing="name", title="score"),
    "interval_lines": partial(interval_lines, x="place", titles=("size", "score")),
}
ALL = [*shelf.names(), *ANY_TABLE]


def drawing(name: str) -> Callable[..., Any]:
    return ANY_TABLE.get(name) or shelf[name]


def good(name: str) -> pd.DataFrame:
    return VALUES if name in ANY_TABLE else rows_for(shelf[name])


def key_of(name: str) -> tuple[str, ...]:
    keys = {"interval_dots": ("name",), "interval_lines": ("place",)}
    return keys.get(name) or KNOWN[table_of(shelf[name])].key


@pytest.mark.parametrize("name", ALL)
def test_every_table_that_is_drawn_says_what_tells_its_rows_apart(name: str):
    table, key = good(name), key_of(name)
    assert key and {*key} <= {*table.columns}
    assert not table.duplicated([*key]).any()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("bad", ["nothing", "a list", "no column", "no row", "a column less", "a row twice"])
def test_what_cannot_be_drawn_is_refused_in_one_line(name: str, bad: str):
    table, last = good(name), key_of(name)[-1]
    given = {
        "nothing": lambda: (None, r"cannot be None; give a table \(pandas DataFrame\)"),
        "a list": lambda: ([1], r"cannot be a list; give a table \(pandas DataFrame\)"),
        "no column": lambda: (pd.DataFrame(), "lacks "),
        "no row": lambda: (table.head(0), "has no rows"),
        "a column less": lambda: (table.drop(columns=last), f"lacks (column '{last}'|{last})"),
        "a row twice": lambda: (pd.concat([table, table.head(1)], ignore_index=True), "has several rows of "),
    }
    frame, says = given[bad]()
    with pytest.raises(InputError, match=says) as refused:
        drawing(name)(frame)
    assert "\n" not in str(refused.value)


def test_a_row_that_stands_twice_is_named_by_what_tells_it_apart():
    table = rows_for(shelf["ablation"])
    row = table.iloc[3]
    with pytest.raises(InputError, match="several rows of") as refused:
        shelf["ablation"](pd.concat([table, table.iloc[[3]].assign(accuracy=0.0)]))
    for column in ("size", "condition", "draw"):
        assert f"{column} {row[column]}" in str(refused.value)


@pytest.mark.parametrize("density", ["2", None, 0.0, float("nan"), float("inf"), True])
def test_a_density_that_is_no_positive_number_is_refused(density: Any, tmp_path):
    chart = ANY_TABLE["interval_dots"](VALUES)
    with pytest.raises(InputError, match=r"density cannot be .*; give (pixels per point, )?a number"):
        save(chart, tmp_path / "figure.png", density=density)
