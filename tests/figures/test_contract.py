"""What holds for every figure; a new figure is checked without an edit here.

The name of a figure's first parameter is that of the table that it draws; the tables here are invented.
"""

import inspect
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import altair as alt
import pandas as pd
import pytest
from altair.typing import ChartType

from interp_emerge.core.errors import InputError
from interp_emerge.emergence.forming.tables import TURNS
from interp_emerge.emergence.sameness.tables import TRANSFER
from interp_emerge.figures import save, shelf
from interp_emerge.study.catalogue import KNOWN_FAULT, all_tables
from tests.figures.drawn import spec_of
from tests.figures.invented import tables
from tests.figures.invented_further import further, transfer, turns

TABLES = {**tables(), **further(), "transfer": transfer(), "turns": turns()}
KNOWN = {**all_tables(), "transfer": TRANSFER, "turns": TURNS}
"""A study's tables, and those that functions return."""
MODELS = {"circuit_graph": ["1m"], "circuits_side_by_side": ["500k", "1m"]}
"""The models of a figure that does not draw those of a whole table."""


def table_of(figure: Callable) -> str:
    return next(iter(inspect.signature(figure).parameters))


def rows_for(figure: Callable) -> pd.DataFrame:
    table = TABLES[table_of(figure)]
    models = MODELS.get(figure.__name__)
    return table[table["size"].isin(models)].reset_index(drop=True) if models else table.copy()


@cache
def drawn(figure: Callable) -> ChartType:
    """The figure's chart, drawn once for the tests that only look at it."""
    return figure(rows_for(figure))


@cache
def drawn_spec(figure: Callable) -> str:
    return json.dumps(spec_of(drawn(figure)), allow_nan=False)


@pytest.fixture(params=shelf.names())
def figure(request) -> Callable:
    return shelf[request.param]


def test_its_first_parameter_names_a_table(figure):
    assert table_of(figure) in KNOWN


def test_its_other_parameters_have_names_and_defaults(figure):
    _, *options = inspect.signature(figure).parameters.values()
    assert all(option.kind is option.KEYWORD_ONLY and option.default is not option.empty for option in options)


def test_its_first_line_says_what_comes_back(figure):
    assert (inspect.getdoc(figure) or "").splitlines()[0].endswith((".", ":"))


def test_it_returns_a_chart_that_altair_can_compile(figure):
    chart = drawn(figure)
    assert alt.typing.is_chart_type(chart)
    assert chart.to_dict(format="vega")["marks"]


@pytest.mark.parametrize("column", [0, -1])
def test_a_missing_column_is_named(figure, column):
    table = rows_for(figure)
    # What a study adds to every table is not needed to draw one.
    gone = [name for name in KNOWN[table_of(figure)].columns if name not in KNOWN_FAULT][column]
    with pytest.raises(InputError, match=f"lacks column '{gone}'"):
        figure(table.drop(columns=gone))


def test_an_empty_table_is_refused(figure):
    with pytest.raises(InputError, match="has no rows"):
        figure(rows_for(figure).head(0))


def test_the_table_is_left_as_it_was(figure):
    table = rows_for(figure)
    before = table.copy(deep=True)
    spec_of(figure(table))
    pd.testing.assert_frame_equal(table, before)


def test_the_callers_style_and_data_settings_are_left_as_they_were(figure):
    def state() -> tuple[object, ...]:
        return (alt.theme.active, alt.data_transformers.active, alt.data_transformers.options, alt.renderers.active)

    before = state()
    spec_of(figure(rows_for(figure)))
    assert state() == before


def test_what_it_draws_does_not_depend_on_the_callers_data_settings(figure):
    with alt.data_transformers.enable("default", max_rows=1, consolidate_datasets=False):
        assert json.dumps(spec_of(figure(rows_for(figure)))) == drawn_spec(figure)


def test_the_same_table_gives_the_same_chart_byte_for_byte(figure):
    assert json.dumps(spec_of(figure(rows_for(figure)))) == drawn_spec(figure)


def test_undefined_values_are_carried_as_null_and_hover_text_says_undefined(figure):
    assert "'undefined'" in drawn_spec(figure)


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_it_can_be_saved_without_a_browser_and_without_network(figure, suffix, tmp_path: Path):
    path = save(drawn(figure), tmp_path / f"figure{suffix}")
    content = path.read_bytes()
    assert content.startswith(b"<svg" if suffix == ".svg" else b"\x89PNG")
    assert len(content) > 4000
