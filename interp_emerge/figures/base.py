"""What a figure is: a function from one of a study's tables to a chart, which it returns and never shows or saves.

Its first parameter bears the name of the table that it draws, so that whoever holds a study's tables knows which
one to hand over; what else it takes has a name and a default. It opens with `checked`, which refuses a table that lacks
a column or a row and leaves the caller's table as it was; it closes with `_theme.finish`, which styles this chart alone
and leaves altair's global theme as it was.
"""

from collections.abc import Callable
from typing import Any

import altair as alt
import pandas as pd
from altair.typing import ChartType

from interp_emerge.core.errors import InputError
from interp_emerge.tables.schema import Table

Figure = Callable[..., ChartType]
Panel = alt.LayerChart | alt.FacetChart
"""What `altair.layer` returns."""


def checked(frame: pd.DataFrame, table: Table) -> pd.DataFrame:
    """A copy of the frame with exactly the table's columns, rows numbered from 0.

    Raises:
        InputError: a column is missing, or there is no row.
    """
    rows = table.check(frame)
    if rows.empty:
        raise InputError(
            f"table {table.name!r} has no row, so there is nothing to draw; run the study's stage that fills it"
        )
    return rows.reset_index(drop=True).copy()


def only(frame: pd.DataFrame, column: str, table: Table) -> Any:
    """The one value that the column holds.

    Raises:
        InputError: it holds several, and a figure of them all would lay unlike things over each other.
    """
    values = frame[column].unique()
    if len(values) > 1:
        shown = ", ".join(str(value) for value in values[:8])
        raise InputError(
            f"table {table.name!r} holds {len(values)} values of {column!r} ({shown}); pass the rows of one"
        )
    return values[0]


def last_step(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows taken on the last step of each size and seed."""
    last = frame.groupby(["size", "seed"], sort=False)["step"].transform("max")
    return frame[frame["step"] == last].reset_index(drop=True)
