"""A figure is a function from one of a study's tables to a chart; it returns the chart and never shows or saves it.

Its first parameter has the name of the table that it draws; all others are keywords with a default. It begins with
`checked`, which refuses a table without rows or with a missing column and copies the rest. It ends with
`_theme.finish`, which styles this chart only and does not change altair's global theme.
"""

from collections.abc import Callable, Sequence
from typing import Any

import altair as alt
import pandas as pd
from altair.typing import ChartType

from interp_emerge.core.errors import InputError
from interp_emerge.tables.schema import Table

Figure = Callable[..., ChartType]
Panel = alt.LayerChart | alt.FacetChart
"""What `altair.layer` returns."""


def checked(frame: pd.DataFrame, table: Table, *, optional: Sequence[str] = ()) -> pd.DataFrame:
    """A copy of the frame with exactly the table's columns, rows numbered from 0. No two rows have the same key.

    A study says in several columns of which model and ability a row is. What a function returns for one model has none
    of these; then they are blank, and `optional` columns may be missing too.

    Raises:
        InputError: a column is missing, the table has no rows, or several rows have the same key.
    """
    if len(table.about) > 1 and not any(column in frame.columns for column in table.about):
        blank = {name: 0 if name in ("step", "seed") else "" for name in table.about}
        frame = frame.assign(**blank, **{name: float("nan") for name in optional if name not in frame})
    rows = table.check(frame)
    if rows.empty:
        raise InputError(
            f"table {table.name!r} has no rows, so there is nothing to draw; run the stage of the study that fills it"
        )
    table.require_unique(rows)
    return rows.reset_index(drop=True).copy()


def only(frame: pd.DataFrame, column: str, table: Table) -> Any:
    """The only value in the column.

    Raises:
        InputError: the column has several values, which a figure must not draw on top of each other.
    """
    values = frame[column].unique()
    if len(values) > 1:
        shown = ", ".join(str(value) for value in values[:8])
        raise InputError(
            f"table {table.name!r} has {len(values)} values of {column!r} ({shown}); pass the rows of one value"
        )
    return values[0]


def last_step(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last step of each size and seed."""
    last = frame.groupby(["size", "seed"], sort=False)["step"].transform("max")
    return frame[frame["step"] == last].reset_index(drop=True)
